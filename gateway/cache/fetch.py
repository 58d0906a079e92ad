"""Asking the backend, and storing what it answers where that may be done.

A fetch has an owner of its own for what must be closed when it is over: a body that is stored is read to its end
whatever becomes of the client that asked for it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.algorithms.http_cache.directives import http_date
from gateway.algorithms.http_cache.reuse import ERRORS, may_be_stale_copy, may_replace_error, verdict
from gateway.algorithms.http_cache.terms import Terms, initial_age, terms_of
from gateway.algorithms.http_cache.validation import CONDITIONS, conditions_for, differs, is_confirmed, updated
from gateway.algorithms.http_cache.vary import vary_names
from gateway.cache.cache import Cache
from gateway.cache.flights import Flight, Landing
from gateway.cache.recording import Recording
from gateway.cache.request import Asked, Rules
from gateway.cache.responses import add_cache_status, conditional, from_store
from gateway.cache.store import Stored
from gateway.errors import GatewayError
from gateway.http import Body, Headers, Response
from gateway.http.messages import Deferred

FALLBACK: Final = "fallback"
"""The rule of the decision by which a route's fallback says that it answered (`upstream/fallback.py`)."""

_NOT_STORED: Final = frozenset({b"age", b"content-length", b"cache-status"})
"""Fields that are generated each time a stored response is sent."""


@dataclass(slots=True)
class Fetch:
    """One request to the backend. `what`: for whom else it is; `flight`: where those wait; `why`: by RFC 9211."""

    cache: Cache
    rules: Rules
    asked: Asked
    what: bytes
    why: bytes
    stored: Stored | None = None
    flight: Flight | None = None
    plain: bool = True  # ask without the client's conditions, for a response that can be stored
    began: float = 0.0  # by the store's clock
    sent_at: float = 0.0
    _fell_back: bool = False
    _held: Deferred = field(default_factory=Deferred)

    async def response(self) -> Response:
        """The client's response. Raises GatewayError."""
        try:
            return await self._settle(await self._ask())
        except GatewayError as error:
            self._held.close()
            self._land("failed")
            if error.kind.status in ERRORS and (stale := self._instead(error.kind.status)) is not None:
                return stale
            raise
        except BaseException:
            self._held.close()
            self._land("lost")
            raise

    async def _ask(self) -> Response:
        """One request, of which `_held` closes what must be closed."""
        exchange = self.asked.exchange
        exchange.cache = "miss"
        before = exchange.hidden_headers, exchange.extra_headers, exchange.deferred
        if self.plain:
            exchange.hidden_headers = exchange.hidden_headers | CONDITIONS
        if self.stored is not None:
            exchange.extra_headers += tuple(conditions_for(list(self.stored.headers)))
        exchange.deferred = self._held = Deferred()
        self.began, self.sent_at = self.cache.store.now(), time.monotonic()
        decided = len(exchange.decisions)
        try:
            answer = await self.asked.handler(exchange)
            self._fell_back = any(decision.rule == FALLBACK for decision in exchange.decisions[decided:])
            return answer
        finally:
            exchange.hidden_headers, exchange.extra_headers, exchange.deferred = before

    async def _settle(self, answer: Response) -> Response:
        stored = self.stored
        if self._fell_back:
            return self._fallen_back(answer)
        if answer.status == 304 and stored is not None and stored.terms.has_validator:
            self._held.close()
            if is_confirmed(list(stored.headers), answer.headers):
                return await self._confirmed(stored, answer)
            self.stored = None  # it is about something else: ask for the whole
            return await self._settle(await self._ask())
        if answer.status in ERRORS and (stale := self._instead(answer.status)) is not None:
            self._held.close()
            self._land("failed")
            return stale
        return await self._new(answer)

    def _fallen_back(self, answer: Response) -> Response:
        """The route's fallback answered: a stale response goes before it, and nothing of it is stored."""
        self._land("failed")
        if (stale := self._instead(502)) is not None:
            self._held.close()
            return stale
        self.asked.exchange.defer(self._held.close)
        if self.asked.exchange.cache != "stale":  # which is a copy of this cache
            add_cache_status(answer.headers, self.why)
        return answer

    # What is stored is used.

    def _instead(self, status: int) -> Response | None:
        """A stale response in the place of an error, where that is allowed."""
        if self.stored is None:
            return None
        age = self.stored.age(self.cache.store.now())
        if not may_replace_error(self.stored.terms, age, self.asked.wish, self.rules.leeway):
            return None
        self.cache.flights.failed(self.what, time.monotonic())
        self.asked.exchange.cache = "stale"
        self.cache.counts.stale += 1
        said = b"fwd=stale; fwd-status=%d; ttl=%d; detail=stale-if-error" % (status, self.stored.terms.lifetime - age)
        return from_store(self.asked.exchange, self.stored, age, said)

    async def _confirmed(self, stored: Stored, answer: Response) -> Response:
        headers = updated(list(stored.headers), answer.headers)
        now = time.time()
        terms = terms_of(stored.status, headers, now, heuristic=self.rules.heuristic)
        fresh = replace(
            stored,
            headers=tuple(_dated(headers, now)),
            initial_age=initial_age(answer.headers, time.monotonic() - self.sent_at, now),
            at=self.cache.store.now(),
            terms=terms,
        )
        if terms.refusal:
            self._land("apart")
        else:
            await self._store(fresh)
        self.asked.exchange.cache = "revalidated"
        self.cache.counts.revalidated += 1
        said = b"fwd=stale; fwd-status=304" + (b"" if terms.refusal else b"; stored")
        return from_store(self.asked.exchange, fresh, fresh.initial_age, said)

    # What came is used.

    async def _new(self, answer: Response) -> Response:
        exchange = self.asked.exchange
        self.cache.counts.misses += 1
        now = time.time()
        terms = terms_of(answer.status, answer.headers, now, heuristic=self.rules.heuristic)
        age = initial_age(answer.headers, time.monotonic() - self.sent_at, now)
        refusal = terms.refusal or self._refusal(answer, terms, age)
        if refusal:
            exchange.defer(self._held.close)
            self._land("apart" if answer.status not in ERRORS else "failed")
            if terms.refusal and answer.status < 500 and self.stored is not None and not self.asked.credential:
                await self.cache.store.drop(self.asked.key.resource)
        elif isinstance(answer.body, bytes):
            self._held.close()
            await self._put(self._made(answer, terms, age, now), answer.body)
        else:
            self._record(answer, answer.body, self._made(answer, terms, age, now))
        if exchange.method == "HEAD" and answer.status == 200:
            # A HEAD may show that the whole response that is stored is not the present one (RFC 9111, 4.3.5).
            head = answer.headers
            whole = await self.cache.store.find(self.asked.get_key, self.asked.variant_of)
            if whole is not None and differs(list(whole.headers), head):
                await self.cache.store.drop(self.asked.key.resource)
        said = b"; fwd-status=%d" % answer.status + (b"" if refusal else b"; stored")
        add_cache_status(answer.headers, self.why + said)
        return conditional(exchange, answer) if self.plain else answer

    def _refusal(self, answer: Response, terms: Terms, age: float) -> str:
        """Why a response that may be stored is not; empty where it is."""
        if self.asked.credential and not terms.for_all:
            return "the request has a credential"
        attempts = self.asked.exchange.attempts
        if attempts and attempts[-1].open_ended:
            return "it is not known whether it is whole"
        length = dict(answer.headers).get(b"content-length", b"")
        if self.asked.exchange.method != "HEAD" and length.isdigit() and int(length) > self.rules.max_body:
            return "it is larger than max_body"
        if isinstance(answer.body, bytes) and len(answer.body) > self.rules.max_body:
            return "it is larger than max_body"
        return "" if self._is_of_use(terms, age) else "nothing could use it"

    def _is_of_use(self, terms: Terms, age: float) -> bool:
        leeway = self.rules.leeway
        if terms.has_validator or verdict(terms, age, leeway=leeway) != "validate":
            return True
        return may_replace_error(terms, age, leeway=leeway) or (self.rules.stale_copies and may_be_stale_copy(terms))

    def _made(self, answer: Response, terms: Terms, age: float, now: float) -> Stored:
        """The response as it is stored, as yet without its body."""
        headers = _dated([line for line in answer.headers if line[0] not in _NOT_STORED], now)
        if self.asked.exchange.method == "HEAD":
            headers += [line for line in answer.headers if line[0] == b"content-length"]
        said = vary_names(answer.headers) or ()
        coded = [b"accept-encoding"] if any(name == b"content-encoding" for name, _ in headers) else []
        vary = tuple(sorted({*said, *coded, *self.rules.vary}))
        at = self.cache.store.now()
        return Stored(answer.status, tuple(headers), b"", age, at, vary, self.asked.variant_of(vary), terms)

    def _record(self, answer: Response, body: Body, made: Stored) -> None:
        """Stream the body into the store, and from there to the client."""

        def kept(whole: bytes | None) -> None:
            if whole is None:
                self._land("apart" if recording.passes_on else "failed")
            else:
                self.cache.run(self._put(made, whole))

        recording = Recording(body, self.rules.max_body, self.cache.room, kept, self._held.close)
        answer.body = recording
        self.asked.exchange.defer(recording.close)
        self.cache.run(recording.run())

    async def _put(self, made: Stored, body: bytes) -> None:
        """The whole response is here; it is stored at once, or where that may take long, beside what goes on."""
        headers = made.headers
        if self.asked.exchange.method != "HEAD" and made.status != 204:
            headers += ((b"content-length", b"%d" % len(body)),)
        await self._store(replace(made, headers=headers, body=body))

    async def _store(self, stored: Stored) -> None:
        if self.cache.store.local:
            await self._keep(stored)
        else:
            self.cache.run(self._keep(stored))

    async def _keep(self, stored: Stored) -> None:
        seconds = max(0.0, stored.terms.lifetime - stored.initial_age) + self.rules.keep_stale
        try:
            kept = await self.cache.keep(self.asked.key, stored, self.began, seconds)
        except asyncio.CancelledError:
            self._land("lost")
            raise
        self._land(_landing(stored, kept=kept))

    def _land(self, landing: Landing) -> None:
        if self.flight is not None:
            self.cache.flights.end(self.what, self.flight, landing, time.monotonic())
        elif landing == "stored":
            self.cache.flights.came(self.what)


def _landing(stored: Stored, *, kept: bool) -> Landing:
    if stored.terms.lifetime <= stored.initial_age or stored.terms.validated_always:
        return "apart"
    return "stored" if kept else "failed"


def _dated(headers: Headers, now: float) -> Headers:
    """With a Date, as a stored response must have one (RFC 9110, 6.6.1)."""
    if any(name == b"date" and http_date(value) is not None for name, value in headers):
        return headers
    made = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now)).encode()
    return [*(line for line in headers if line[0] != b"date"), (b"date", made)]
