"""Decides whether, when and where a request is retried. `Cluster` asks after every failed attempt."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.algorithms.backoff import full_jitter
from gateway.algorithms.retry_budget import BudgetSettings, RetryBudget
from gateway.errors import ErrorKind
from gateway.http.bodies import Headers
from gateway.http.messages import Attempt, Exchange
from gateway.http.retry_after import seconds_to_wait
from gateway.plurals import counted
from gateway.upstream.request import Rereadable

if TYPE_CHECKING:
    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.service import Upstream

NOT_REACHED: Final = "not reached"  # the endpoint has seen nothing of the request
FOUND_DOWN: Final = "found down"  # by a probe, while the request waited: it will hardly be answered any more
STALE: Final = "stale connection"  # to the same endpoint, on a fresh connection
UNANSWERED: Final = "no answer"  # the endpoint may have acted on the request, but not a byte of an answer came

NOT_IDEMPOTENT: Final = "not idempotent"  # and without an Idempotency-Key, and an endpoint may have acted on it
LONG_BODY: Final = "body too long"  # of the request, to be sent once more
NO_ATTEMPTS: Final = "no attempts left"
NO_ENDPOINT: Final = "no other endpoint"
NO_TIME: Final = "no time left"  # of the total time-out, or for the Retry-After of the response
NO_BUDGET: Final = "budget empty"

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110, 9.2.2, without TRACE, which is never forwarded."""

LONGEST_RETRY_AFTER: Final = 5.0
"""Seconds of a Retry-After that are waited for; a response that asks for more is passed on."""

FREE: Final = -1.0

_FULL: Final = (ErrorKind.OVERLOADED, ErrorKind.CONCURRENCY_LIMIT)
"""There is no connection: to ask the same endpoint again would wait in the same queue."""


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """The retries of a route, with the maximal number of attempts.

    `on` has `connect` (the endpoint was not reached: for any method), `reset` (the connection ended before an answer),
    `timeout` (no answer came in time) and status codes, of responses and of failures alike.
    """

    attempts: int = 3  # in all, without those that follow a stale connection
    unreached: int = 10  # the same, after an endpoint that was not reached
    on: frozenset[str] = frozenset({"connect", "reset", "timeout"})
    statuses: frozenset[int] = frozenset()
    over_again: bool = False  # where all endpoints were tried, those are tried once more


@dataclass(frozen=True, slots=True)
class ServiceBudget:
    """The retry budget of one service, which all routes to it share."""

    service: str
    budget: RetryBudget


class NextAttempt:
    """The next attempt: when, and where."""

    __slots__ = ("drawn", "endpoint", "pause", "why")

    def __init__(self, why: str, endpoint: Endpoint, pause: float = 0.0, drawn: float = FREE) -> None:
        self.why = why  # STALE: on a fresh connection to the same endpoint
        self.endpoint = endpoint
        self.pause = pause  # seconds, before it
        self.drawn = drawn  # when the budget paid for it; FREE: it did not have to


class Retries:
    """Decides what is tried again, within the budget of the service.

    Never anything of which a client has seen a part; and of what an endpoint may have acted on, only what is idempotent
    or has an Idempotency-Key, as long as its body can be sent once more.
    """

    __slots__ = ("budget", "settings")

    def __init__(self, settings: RetrySettings | None = None, budget: RetryBudget | None = None) -> None:
        self.settings = settings or RetrySettings()
        self.budget = budget or RetryBudget(BudgetSettings())

    def prepare(self, exchange: Exchange) -> None:
        """The request, which has a body, is about to be sent: keep of that what another attempt will need."""
        body = exchange.body
        if body is not None and not isinstance(body, Rereadable) and may_be_repeated(exchange):
            exchange.body = Rereadable(body)

    def after(
        self, exchange: Exchange, attempt: Attempt, upstream: Upstream, tried: list[Endpoint], headers: Headers
    ) -> NextAttempt | None:
        """The next step after an attempt that failed, or was answered with one of the statuses; None if there is none.

        `tried` has the endpoint of each attempt so far, `headers` are those of the response.
        """
        why = self._why(attempt)
        if not why:
            return None
        reason = why_not_again(exchange) if attempt.connected else ""
        if why == STALE and not reason:
            return NextAttempt(STALE, tried[-1])
        again = reason or self._next(why, exchange, attempt, upstream, tried, headers)
        if isinstance(again, NextAttempt):
            return again
        if self.settings.unreached > 1:  # where nothing ever follows, nothing is to be said
            attempt.why_not = again
        return None

    def _next(
        self,
        why: str,
        exchange: Exchange,
        attempt: Attempt,
        upstream: Upstream,
        tried: list[Endpoint],
        headers: Headers,
    ) -> NextAttempt | str:
        """When and where to retry, or why not."""
        settings, now = self.settings, time.perf_counter()
        if len(tried) >= (settings.attempts if attempt.connected else settings.unreached):
            return NO_ATTEMPTS
        following, pause = upstream.pick(exchange, now, tried), 0.0
        if following is None and settings.over_again and attempt.failure not in _FULL:
            following = upstream.pick(exchange, now, ())
        if following is None:
            return NO_ENDPOINT
        if attempt.connected or following in tried:
            asked = next((value for name, value in headers if name == b"retry-after"), None)
            pause = max(full_jitter(len(tried), random.random()), seconds_to_wait(asked, time.time()))
        if pause > LONGEST_RETRY_AFTER or asyncio.get_running_loop().time() + pause >= exchange.deadline:
            return NO_TIME
        return NextAttempt(why, following, pause, now) if self.budget.withdraw(now) else NO_BUDGET

    def describe(self, exchange: Exchange, upstream: Upstream) -> str:
        """The handling of failures of a request, for `explain`."""
        settings, left = self.settings, self.budget.available(time.perf_counter())
        if settings.unreached == 1:
            return "none"
        among = _to_try(upstream, settings)
        if among == 1:
            return f"none, as there is {NO_ENDPOINT}"
        tries, unreached = min(settings.attempts, among), min(settings.unreached, among)
        each = ", one at each endpoint" if among < settings.attempts else ""
        if may_be_repeated(exchange):
            on, more = settings.on, ""
            if "connect" in on and unreached != tries:
                on, more = on - {"connect"}, f", and up to {unreached} after connect"
            after = ", ".join(sorted(on | {str(status) for status in settings.statuses}))
            said = f"up to {counted(tries, 'attempt')}{each}, after {after}{more}"
        else:
            attempts = counted(unreached, "attempt")
            said = f"up to {attempts}, until an endpoint is reached, as it is {NOT_IDEMPOTENT}"
        return f"{said}; the budget {f'has {left} left' if left else 'is empty, so that there are none now'}"

    async def wait(self, again: NextAttempt) -> None:
        """Wait before another attempt. Where that is not made after all, because the client went away, it is free."""
        try:
            await asyncio.sleep(again.pause)
        except BaseException:
            self.budget.give_back(again.drawn, time.perf_counter())
            raise

    def _why(self, attempt: Attempt) -> str:
        """Why it may be retried, according to the attempt; empty if it may not."""
        settings, failure = self.settings, attempt.failure
        if failure is None:
            return f"status {attempt.status}" if attempt.status in settings.statuses else ""
        if not attempt.unanswered:
            return ""
        if attempt.connected and attempt.reused and failure is ErrorKind.UPSTREAM_RESET:
            return STALE
        if failure is ErrorKind.UPSTREAM_DOWN:
            return FOUND_DOWN
        wanted = failure.status in settings.statuses
        if not attempt.connected:
            return NOT_REACHED if wanted or "connect" in settings.on else ""
        word = "timeout" if failure is ErrorKind.UPSTREAM_TIMEOUT else "reset"
        return UNANSWERED if wanted or word in settings.on else ""


def _to_try(upstream: Upstream, settings: RetrySettings) -> int:
    """How many attempts there is an endpoint for, as things stand: each gets one, unless all are tried over again."""
    levels = upstream.chosen_from(time.perf_counter())
    among = {endpoint for level, _ in levels for endpoint, _ in level.weighted}
    among.update(each for each in upstream.endpoints if each.health.record.ejected and each.member.weight > 0)
    return settings.unreached if settings.over_again or not among else len(among)


def may_be_repeated(exchange: Exchange) -> bool:
    """Whether sending a request twice does what sending it once does."""
    return exchange.method in IDEMPOTENT or b"idempotency-key" in exchange.fields


def can_be_sent_again(exchange: Exchange) -> bool:
    """Whether it may be repeated, and its body begins anew."""
    return not why_not_again(exchange)


def why_not_again(exchange: Exchange) -> str:
    """Why what an endpoint may have acted on is not sent once more; empty where it may be, and its body begins anew."""
    body = exchange.body
    if not may_be_repeated(exchange):
        return NOT_IDEMPOTENT
    return "" if body is None or (isinstance(body, Rereadable) and body.rewind()) else LONG_BODY
