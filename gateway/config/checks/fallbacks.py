"""Fallbacks that can never be used."""

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.problems import Fault


def without_cache(configuration: Configuration) -> Iterator[Fault]:
    """Stale copies of responses that are not stored."""
    anywhere = configuration.middleware.cache
    for index, route in enumerate(configuration.routes.routes):
        stored = (
            route.cache.enabled if route.cache is not None else anywhere is not None and anywhere.applies_to(route.id)
        )
        if route.fallback is not None and route.fallback.stale and not stored:
            message = "this has no effect: no response of the route is stored; give it a cache, or another fallback"
            yield Fault(("routes", index, "fallback", "stale"), message)
