"""Sources of endpoints that need something of another file."""

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.problems import Fault


def without_redis(configuration: Configuration) -> Iterator[Fault]:
    """Services whose instances register themselves in Redis, where there is none."""
    if configuration.middleware.redis is None:
        for name, service in configuration.routes.services.items():
            if service.discovery is not None and service.discovery.redis is not None:
                message = "it is found in the Redis of middleware.yaml, which has no redis: with its url; add that"
                yield Fault(("services", name, "discovery", "redis"), message)
