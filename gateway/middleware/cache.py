"""Answers from the response cache where it may, and removes from it what a request changed."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from gateway.cache.cache import Cache
from gateway.cache.configured import cache_of, has_cache, route_cache
from gateway.cache.invalidation import SAFE, invalidated
from gateway.cache.request import PLAIN_METHODS
from gateway.cache.route import RouteCache
from gateway.config.models import RouteConfig
from gateway.context import Context
from gateway.http import Decision, Exchange, Handler, Response
from gateway.middleware.declaration import Declaration


@dataclass(frozen=True, slots=True)
class ResponseCache:
    """The cache of one route; None: it stores nothing, and changes what other routes have stored."""

    cache: Cache
    route: RouteCache | None

    def __repr__(self) -> str:
        return "ResponseCache()" if self.route is not None else "Invalidation()"

    def wrap(self, handler: Handler) -> Handler:
        """A handler that asks `handler` for what is not stored."""
        route = self.route

        def cached(exchange: Exchange) -> Awaitable[Response]:
            if exchange.method in SAFE:
                plain = route is not None and exchange.method in PLAIN_METHODS
                return route.answer(exchange, handler) if plain and route is not None else handler(exchange)
            return self._changing(exchange, handler)

        return cached

    async def _changing(self, exchange: Exchange, handler: Handler) -> Response:
        response = await handler(exchange)
        for resource in invalidated(exchange, response):
            await self.cache.invalidate(resource)
        return response

    async def explain(self, exchange: Exchange) -> Decision | None:
        """The expected decision about a cacheable request."""
        if self.route is None or exchange.method not in PLAIN_METHODS:
            return None
        return Decision("cache", "allow", self.route.explain(exchange))


def for_route(context: Context, route: RouteConfig) -> ResponseCache | None:
    """None where no route has a cache, or this one can neither use nor change what is stored."""
    found = route_cache(context, route)
    if found is not None:
        return ResponseCache(found.cache, found)
    if route.answered_here or (route.methods is not None and SAFE.issuperset(route.methods)):
        return None
    others = context.configuration.routes.routes
    anywhere = context.once("cache anywhere", lambda: any(has_cache(context, each) for each in others))
    return ResponseCache(cache_of(context), None) if anywhere else None


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
