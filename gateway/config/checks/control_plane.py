"""How a gateway calls its control plane."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.checks.alerts import is_here
from gateway.config.models import Configuration
from gateway.config.problems import Fault


def in_the_open(configuration: Configuration) -> Iterator[Fault]:
    """A token, and configurations, that others of the network can read and change."""
    group = configuration.middleware.control_plane
    if group is not None and group.url is not None:
        parts = urlsplit(group.url)
        if parts.scheme == "http" and not is_here(parts.hostname or ""):
            message = "the token of this gateway goes over the network unencrypted; use https"
            yield Fault(("control_plane", "url"), message)
