"""Settings of the response cache that have no effect."""

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.problems import Fault


def idle_on_routes(configuration: Configuration) -> Iterator[Fault]:
    """Routes with a cache that nothing is ever stored for."""
    for index, route in enumerate(configuration.routes.routes):
        if route.cache is None or not route.cache.enabled:
            continue
        place = ("routes", index, "cache")
        if route.answered_here:
            yield Fault(
                place, f"what {route.answered_here} says is answered by the gateway itself, and not stored; remove this"
            )
        elif route.methods is not None and not {"GET", "HEAD"}.intersection(route.methods):
            yield Fault(place, "only answers to GET and HEAD are stored, and the route takes neither; remove this")


def credentials_everywhere(configuration: Configuration) -> Iterator[Fault]:
    """Routes with a cache that no request may use, because all that pass have an identity, anonymous ones too."""
    for index, route in enumerate(configuration.routes.routes):
        if route.cache is None or not route.cache.enabled or route.cache.with_credentials:
            continue
        if configuration.auth.default if route.auth is None else route.auth:
            message = "it has no effect: every caller has an identity, and what such a request gets is not stored; add "
            message += "with_credentials: true where all may share what responses declare public, or remove this"
            yield Fault(("routes", index, "cache"), message, show_value=False)


def larger_than_memory(configuration: Configuration) -> Iterator[Fault]:
    """Bodies that are allowed, and that memory does not take."""
    config = configuration.middleware.cache
    if config is not None and config.store == "memory" and config.max_body > config.size // 16:
        message = f"memory keeps nothing larger than a sixteenth of cache.size, {config.size // 16} bytes"
        yield Fault(("cache", "max_body"), f"{message}; make size larger, or this smaller")
