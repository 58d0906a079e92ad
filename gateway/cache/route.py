"""How requests of one route are answered: from what is stored where it may be used; otherwise by a fetch, which one
request makes for all that ask for the same."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from copy import copy
from hashlib import blake2b
from typing import Final

from gateway.algorithms.http_cache.reuse import Verdict, may_be_stale_copy, may_replace_error, verdict
from gateway.cache.cache import MOST_REFRESHES, Cache
from gateway.cache.fetch import Fetch
from gateway.cache.flights import Flight
from gateway.cache.keys import Keys
from gateway.cache.request import Asked, Rules, why_not
from gateway.cache.responses import add_cache_status, from_store
from gateway.cache.store import Stored
from gateway.deadlines import NEVER
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Handler, Response
from gateway.upstream.request import prefix_before

logger = logging.getLogger("gateway.cache")

ROUNDS: Final = 3  # that a request waits for others


class RouteCache:
    """The cache as one route uses it."""

    def __init__(self, cache: Cache, keys: Keys, rules: Rules) -> None:
        self.cache = cache
        self.rules = rules
        self._keys = keys
        self._choose: Callable[[Exchange], str] | None = None

    def split_by(self, choose: Callable[[Exchange], str]) -> None:
        """The route leads to several services: `choose` says to which one a request goes, which only answers it."""
        self._choose = choose

    async def answer(self, exchange: Exchange, handler: Handler) -> Response:
        """The answer to a request that `handler` would forward. Raises GatewayError."""
        credential = self._keys.has_credential(exchange)
        asked = None if self._why_not(exchange, credential=credential) else self._asked(exchange, handler, credential)
        if asked is None or asked.wish.no_store:
            return await self._pass(exchange, handler)
        until, collapsed = time.monotonic() + self.rules.wait, False
        for _ in range(ROUNDS):
            stored = await self._find(asked)
            if (response := self._use(asked, stored, collapsed=collapsed)) is not None:
                return response
            what = self._what(asked)
            flight = self._other(asked, what)
            left = until - time.monotonic()
            if flight is None or left <= 0:
                break
            collapsed = True
            if await flight.wait(left) in ("apart", "failed"):
                return await self._fetch(asked, stored, what)
        else:
            return await self._fetch(asked, stored, what)
        leads = self._may_be_shared(asked, what)
        return await self._fetch(asked, stored, what, self.cache.flights.begin(what) if leads else None)

    async def stale(self, exchange: Exchange) -> Response | None:
        """A stored response, however old, for a request that failed; None where there is none that may be used."""
        credential = self._keys.has_credential(exchange)
        if self._why_not(exchange, credential=credential):
            return None
        asked = self._asked(exchange, _never_forwarded, credential)
        stored = await self._find(asked)
        if stored is None or not may_be_stale_copy(stored.terms):
            return None
        age = stored.age(self.cache.store.now())
        exchange.cache = "stale"
        self.cache.counts.stale += 1
        said = b"fwd=stale; ttl=%d; detail=fallback" % (stored.terms.lifetime - age)
        return from_store(exchange, stored, age, said)

    def explain(self, exchange: Exchange) -> str:
        """The expected decision, without access to an external store."""
        credential = self._keys.has_credential(exchange)
        if reason := self._why_not(exchange, credential=credential):
            return f"passed by: {reason}"
        asked = self._asked(exchange, _never_forwarded, credential)
        if asked.wish.no_store:
            return "passed by: the client says no-store"
        stored = self.cache.store.peek(asked.key, asked.variant_of)
        if stored is None or (credential and not stored.terms.for_all):
            local = self.cache.store.local
            return "nothing is stored for it" if local else "Redis is asked first, which is not done for an explanation"
        age = stored.age(self.cache.store.now())
        said = verdict(stored.terms, age, asked.wish, self.rules.leeway)
        return f"{_SAID[said]}: its age is {age:.0f} s, its lifetime {stored.terms.lifetime:.0f} s"

    def _why_not(self, exchange: Exchange, *, credential: bool) -> str:
        if credential and not self.rules.with_credentials:
            return "it has an identity or a credential"
        return why_not(exchange)

    def _asked(self, exchange: Exchange, handler: Handler, credential: bool) -> Asked:
        target = self.rules.target if self._choose is None else self._choose(exchange)
        route = f"{self.rules.route} {target}"
        if self.rules.by_prefix:
            route += f" {prefix_before(exchange, exchange.path).decode('latin-1')}"
        return Asked(exchange, handler, self._keys, route, credential=credential)

    async def _pass(self, exchange: Exchange, handler: Handler) -> Response:
        """Forward it, and leave the store alone."""
        exchange.cache = "bypass"
        self.cache.counts.bypassed += 1
        response = await handler(exchange)
        if response.session is None:
            add_cache_status(response.headers, b"fwd=bypass")
        return response

    # What is stored.

    async def _find(self, asked: Asked) -> Stored | None:
        """A whole response answers HEAD, too, while it may be used without asking."""
        stored = await self.cache.store.find(asked.get_key, asked.variant_of)
        if asked.key is not asked.get_key and (stored is None or self._verdict(asked, stored)[0] == "validate"):
            stored = await self.cache.store.find(asked.key, asked.variant_of)
        return None if stored is None or (asked.credential and not stored.terms.for_all) else stored

    def _verdict(self, asked: Asked, stored: Stored) -> tuple[Verdict, float]:
        age = stored.age(self.cache.store.now())
        return verdict(stored.terms, age, asked.wish, self.rules.leeway), age

    def _use(self, asked: Asked, stored: Stored | None, *, collapsed: bool) -> Response | None:
        """The stored response, if it may be used. Raises GatewayError if it must be used, and may not."""
        if stored is not None:
            said, age = self._verdict(asked, stored)
            if (
                said == "validate"
                and not asked.wish.no_cache
                and self.cache.flights.failed_lately(self._what(asked), time.monotonic())
            ):
                said = "stale" if may_replace_error(stored.terms, age, asked.wish, self.rules.leeway) else said
            if said != "validate":
                if said == "refresh":
                    self._refresh(asked, stored, self._what(asked))
                return self._serve(asked, stored, age, fresh=said == "fresh", collapsed=collapsed)
        if asked.wish.only_if_cached:
            raise GatewayError(ErrorKind.NOT_CACHED, "the request allows a stored response only, and there is none")
        return None

    def _serve(self, asked: Asked, stored: Stored, age: float, *, fresh: bool, collapsed: bool) -> Response:
        counts = self.cache.counts
        if collapsed:
            asked.exchange.cache = "collapsed"
            counts.collapsed += 1
        elif fresh:
            asked.exchange.cache = "hit"
            counts.hits += 1
        else:
            asked.exchange.cache = "stale"
            counts.stale += 1
        said = b"fwd=miss; collapsed" if collapsed else b"hit"
        return from_store(asked.exchange, stored, age, said + b"; ttl=%d" % (stored.terms.lifetime - age))

    # What is not.

    def _what(self, asked: Asked) -> bytes:
        """The key of a fetch: requests with the same key wait for it."""
        key, names = asked.key, self.cache.vary(asked.key)
        text = f"{key.resource}\0{key.selector}\0".encode()
        return blake2b(text + asked.variant_of(names), digest_size=16).digest()

    def _may_be_shared(self, asked: Asked, what: bytes) -> bool:
        wish = asked.wish
        asks_anew = wish.no_cache or wish.max_age is not None or bool(wish.min_fresh)
        return not asks_anew and not self.cache.flights.goes_apart(what, time.monotonic())

    def _other(self, asked: Asked, what: bytes) -> Flight | None:
        """A fetch of another request to wait for."""
        return self.cache.flights.under_way(what) if self._may_be_shared(asked, what) else None

    async def _fetch(self, asked: Asked, stored: Stored | None, what: bytes, flight: Flight | None = None) -> Response:
        why = b"fwd=miss" if stored is None else b"fwd=request" if asked.wish.no_cache else b"fwd=stale"
        plain = stored is not None or not self.cache.flights.goes_apart(what, time.monotonic())
        return await Fetch(self.cache, self.rules, asked, what, why, stored, flight, plain).response()

    def _refresh(self, asked: Asked, stored: Stored, what: bytes) -> None:
        """Ask for a new one while the stale one is used, once for all."""
        cache = self.cache
        flights, whole = cache.flights, asked.exchange.method == "GET"
        busy = flights.under_way(what) is not None or flights.failed_lately(what, time.monotonic())
        if whole and not busy and cache.refreshing < MOST_REFRESHES:
            cache.refreshing += 1
            cache.run(self._refreshed(asked, stored, what, flights.begin(what)))

    async def _refreshed(self, asked: Asked, stored: Stored, what: bytes, flight: Flight) -> None:
        exchange = copy(asked.exchange)
        exchange.deferred = None
        exchange.early_hints = exchange.expectation = None
        exchange.attempts = ()
        exchange.span = None
        exchange.deadline = NEVER
        try:
            again = self._asked(exchange, asked.handler, asked.credential)
            response = await Fetch(self.cache, self.rules, again, what, b"fwd=stale", stored, flight).response()
            if not isinstance(response.body, bytes):
                response.body.close()
        except GatewayError as error:
            self.cache.flights.failed(what, time.monotonic())
            logger.debug("a stale response could not be refreshed: %s", error)
        finally:
            exchange.close()
            self.cache.refreshing -= 1


_SAID: Final[dict[Verdict, str]] = {
    "fresh": "a stored response is used",
    "stale": "a stored response is used, as the client takes stale ones",
    "refresh": "a stale stored response is used, while a new one is fetched",
    "validate": "a stored response is validated first",
}


async def _never_forwarded(exchange: Exchange) -> Response:
    raise GatewayError(ErrorKind.INTERNAL, "a request that is only looked up is not forwarded")
