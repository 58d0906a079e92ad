"""Resilience settings of a route without effect."""

from collections.abc import Iterator, Sequence

from gateway.config.models import Configuration
from gateway.config.problems import Fault

_FORWARDING: Sequence[str] = ("split", "sticky", "mirror", "retry", "breaker", "fallback", "hedge")
_UNASKED: Sequence[str] = (*_FORWARDING, "timeout", "preserve_host", "set", "rewrite_back")
_OF_CONNECTIONS: Sequence[str] = ("retry", "hedge")


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """Keys without an effect."""
    for index, route in enumerate(configuration.routes.routes):
        if route.answered_here:
            keys, why = _UNASKED, f"the route has {route.answered_here}, and asks no backend"
        elif route.target.startswith("asgi:") and not route.split:
            keys, why = _OF_CONNECTIONS, "the target is an application in this process, which is always there"
        else:
            continue
        for key in keys:
            if key in route.model_fields_set and configuration.says_itself(index, key):
                yield Fault(("routes", index, key), f"this has no effect: {why}; remove it", show_value=False)


def needing_others(configuration: Configuration) -> Iterator[Fault]:
    """A second attempt where there is one endpoint, and a fallback to what has failed."""
    services = configuration.routes.services
    for index, route in enumerate(configuration.routes.routes):
        service = services.get(route.target)
        alone = service is not None and len(service.endpoints) == 1
        if route.hedge is not None and not route.split and alone and configuration.says_itself(index, "hedge"):
            message = (
                f"it has no effect: {route.target} has one endpoint, and a second attempt goes to another; remove it"
            )
            yield Fault(("routes", index, "hedge"), message, show_value=False)
        if route.fallback is not None and route.fallback.target == route.target and not route.split:
            message = "it is the target of the route, which has failed; name another service"
            yield Fault(("routes", index, "fallback", "target"), message)


def idle_content_types(configuration: Configuration) -> Iterator[Fault]:
    """A content type of no body."""
    for index, route in enumerate(configuration.routes.routes):
        fallback = route.fallback
        if fallback is not None and "content_type" in fallback.model_fields_set and not fallback.body:
            yield Fault(("routes", index, "fallback", "content_type"), "it has no effect without a body; remove it")


def stale_without_cache(configuration: Configuration) -> Iterator[Fault]:
    """Stale copies of responses that are not stored."""
    anywhere = configuration.middleware.cache
    for index, route in enumerate(configuration.routes.routes):
        own = route.cache
        stored = own.enabled if own is not None else anywhere is not None and anywhere.applies_to(route.id)
        if route.fallback is not None and route.fallback.stale and not stored:
            message = "this has no effect: no response of the route is stored; give it a cache, or another fallback"
            yield Fault(("routes", index, "fallback", "stale"), message)
