"""Answers from the response cache where it may, and removes from it what a request changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.cache.wanted import SAFE, has_cache
from gateway.config.models import RouteConfig
from gateway.context import Context
from gateway.middleware.declaration import Declaration

if TYPE_CHECKING:
    from gateway.cache.policy import ResponseCache


def for_route(context: Context, route: RouteConfig) -> ResponseCache | None:
    """None where no route has a cache, or this one can neither use nor change what is stored."""
    others = context.configuration.routes.routes
    if not context.once("cache anywhere", lambda: any(has_cache(context, each) for each in others)):
        return None
    from gateway.cache.configured import cache_of, route_cache  # noqa: PLC0415
    from gateway.cache.policy import ResponseCache  # noqa: PLC0415

    if has_cache(context, route):
        found = route_cache(context, route)
        return ResponseCache(found.cache, found)
    if route.answered_here or (route.methods is not None and SAFE.issuperset(route.methods)):
        return None
    return ResponseCache(cache_of(context), None)


_REFUSED: Final = "stored responses go to callers whom it would refuse"

DECLARATION: Final[Declaration] = Declaration(
    "cache",
    for_route,
    behind={
        "maintenance": _REFUSED,
        "blocklist": _REFUSED,
        "ip_allow": _REFUSED,
        "compression": "responses are stored as one client wants them compressed",
        "authentication": _REFUSED,
        "blocked_consumers": _REFUSED,
        "authorization": _REFUSED,
        "rate_limits": "responses from the cache are not counted",
        "quotas": "responses from the cache are not counted",
        "policies": "responses from the cache do not pass them",
    },
)
