"""A second attempt beside a slow first one (Dean and Barroso, "The Tail at Scale"; gRPC A6)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final

from gateway.algorithms.percentiles import RecentQuantile
from gateway.errors import GatewayError
from gateway.http import Exchange, Handler, Response
from gateway.http.messages import Attempt
from gateway.upstream.cluster import Cluster

HEDGED: Final = "hedged"  # another attempt was made beside it, whose answer was taken
USUAL: Final = 0.95  # share of the answers that come before a second attempt is made
_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Latencies:
    """How long the answers of one route and target take, until their head. An Observer."""

    __slots__ = ("quantile", "sent", "won")

    def __init__(self) -> None:
        self.quantile = RecentQuantile(USUAL)
        self.sent = 0  # second attempts
        self.won = 0  # of those, whose answer was taken

    def ended(self, attempt: Attempt) -> None:
        """An attempt is over."""
        if attempt.seconds is not None:
            self.quantile.add(attempt.waited + attempt.seconds, time.perf_counter())


@dataclass(frozen=True, slots=True)
class Hedged:
    """A cluster that is asked twice where it is slow. A Handler."""

    cluster: Cluster
    second: Cluster  # the same, without retries
    latencies: Latencies
    after: float | None  # seconds; None: what is usual

    async def __call__(self, exchange: Exchange) -> Response:
        """Raises GatewayError."""
        delay = self.after if self.after is not None else self.latencies.quantile.value(time.perf_counter())
        if delay is None or exchange.method not in _METHODS or exchange.body is not None or exchange.websocket:
            return await self.cluster(exchange)
        first = asyncio.ensure_future(self.cluster(exchange))
        tasks = [first]
        try:
            await asyncio.wait(tasks, timeout=delay)
            if first.done() or not self._may_be_asked_again():
                return await first
            twin, asked = copy(exchange), {attempt.endpoint for attempt in exchange.attempts}
            twin.attempts = ()
            avoided = [each for each in self.cluster.upstream.endpoints if each.label in asked]
            tasks.append(asyncio.ensure_future(self.second(twin, avoided)))
            return await self._first_good(exchange, twin, tasks)
        finally:
            for task in tasks:
                task.cancel()

    def _may_be_asked_again(self) -> bool:
        endpoints, budget = self.cluster.upstream.endpoints, self.cluster.retries.budget
        return len(endpoints) > 1 and budget.withdraw(time.perf_counter())

    async def _first_good(
        self, exchange: Exchange, twin: Exchange, tasks: Sequence[asyncio.Future[Response]]
    ) -> Response:
        """The first answer below 500, or else the last. The other one is given up."""
        self.latencies.sent += 1
        first, second = tasks
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        winner = next((task for task in done if _is_good(task)), None)
        if winner is None and pending:
            await asyncio.wait(pending)
            winner = next((task for task in pending if _is_good(task)), None)
        winner = winner or first
        lost, won = (exchange.attempts, twin.attempts) if winner is second else (twin.attempts, exchange.attempts)
        # Say of the last of these that the answer of another one was taken, and how long it had waited until then.
        for attempt in lost[-1:]:
            attempt.retry = HEDGED
            if not attempt.status and attempt.failure is None:
                attempt.took = time.perf_counter() - attempt.started
        exchange.attempts = lost + won  # what the client got is the last
        self.latencies.won += winner is second
        _give_up(second if winner is first else first)
        return winner.result()

    def describe(self, exchange: Exchange) -> str:
        """See `Layer`."""
        usual = self.latencies.quantile.value(time.perf_counter())
        delay = self.after if self.after is not None else usual
        return f"hedge: {'not yet, too few answers' if delay is None else f'after {delay * 1000:.0f} ms'}"

    def inner(self, exchange: Exchange) -> Handler:
        """See `Layer`."""
        return self.cluster


def _is_good(task: asyncio.Future[Response]) -> bool:
    return not task.cancelled() and task.exception() is None and task.result().status < 500


def _give_up(task: asyncio.Future[Response]) -> None:
    """End an attempt whose answer is not taken."""
    if not task.done():
        task.cancel()
    elif not task.cancelled() and not isinstance(task.exception(), GatewayError):
        body = task.result().body
        if not isinstance(body, bytes):
            body.close()
