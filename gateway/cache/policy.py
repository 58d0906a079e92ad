"""Answers from the response cache where it may, and removes from it what a request changed."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from gateway.cache.cache import Cache
from gateway.cache.invalidation import invalidated
from gateway.cache.request import PLAIN_METHODS
from gateway.cache.route import RouteCache
from gateway.cache.wanted import SAFE
from gateway.http import Decision, Exchange, Handler, Response


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
