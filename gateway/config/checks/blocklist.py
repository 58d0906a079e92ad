"""The blocklist of middleware.yaml."""

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.problems import Fault


def changed_default(configuration: Configuration) -> Iterator[Fault]:
    """Automatic bans that rely on a default which was another once."""
    automatic = configuration.middleware.blocklist.automatic
    if automatic is not None and "per" not in automatic.model_fields_set:
        message = "per is not given, and is [address] now; write per: [address], or per: [address, consumer] as before"
        yield Fault(("blocklist", "automatic"), message)
