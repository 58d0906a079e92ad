"""Which routes have a cache. What the caches are made of is imported for those that have one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.config.models import RouteConfig
from gateway.context import Context

if TYPE_CHECKING:
    from gateway.cache.route import RouteCache

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"})
"""Methods that change nothing (RFC 9110, 9.2.1); of any other one, that is assumed."""


def has_cache(context: Context, route: RouteConfig) -> bool:
    """Whether responses of a route are stored."""
    if route.answered_here:
        return False
    if route.cache is not None:
        return route.cache.enabled
    config = context.configuration.middleware.cache
    return config is not None and config.applies_to(route.id)


def cache_of_route(context: Context, route: RouteConfig) -> RouteCache | None:
    """The cache of a route, the same for all that ask for it; None where it has none."""
    if not has_cache(context, route):
        return None
    from gateway.cache.configured import route_cache  # noqa: PLC0415

    return route_cache(context, route)
