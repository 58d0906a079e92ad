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


def missing_files(configuration: Configuration) -> Iterator[Fault]:
    """Files with instances that are not there."""
    for name, service in configuration.routes.services.items():
        file = service.discovery.file if service.discovery is not None else None
        if file is not None and not (configuration.base / file).exists():
            message = f"the file does not exist in {configuration.base}; until it does, the service has no endpoints"
            yield Fault(("services", name, "discovery", "file"), message)


def open_prefixes(configuration: Configuration) -> Iterator[Fault]:
    """Prefixes of etcd that other services' keys may begin with, too."""
    for name, service in configuration.routes.services.items():
        etcd = service.discovery.etcd if service.discovery is not None else None
        if etcd is not None and not etcd.prefix.endswith("/"):
            message = "keys of other services may begin with this, too; end it with /"
            yield Fault(("services", name, "discovery", "etcd", "prefix"), message)
