"""Active health checks: every endpoint of a service is asked regularly, and is out while it does not answer well."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
import time
from collections.abc import Mapping
from typing import Final

from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import NOT_CHECKED, Checked, Signal
from gateway.upstream.probe import Check, probed
from gateway.upstream.service import Upstream

logger = logging.getLogger("gateway.upstream")


SPARE: Final = 16  # entries of endpoints that are gone, which stay in the queue until their time
EARLY: Final = 0.002  # seconds; timers count in milliseconds, and wake up before their time
AT_A_TIME: Final = 500  # endpoints that join before requests get a turn


class ProbeTurns:
    """Keeps the checks of all services apart: after a start with many of them, each waits for its turn."""

    PER_SECOND: Final = 500
    AT_ONCE: Final = 200  # under way; each may have a socket for as long as its time-out

    def __init__(self) -> None:
        self.room = asyncio.Semaphore(self.AT_ONCE)
        self._next = 0.0

    def when(self, now: float) -> float:
        """The next moment that is free."""
        turn = self._next = max(now, self._next + 1 / self.PER_SECOND)
        return turn


class _Watched:
    """One endpoint, as its checks go."""

    __slots__ = ("due", "endpoint", "failures", "gone", "passes", "passes_ejected", "task", "turn")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.due = 0.0  # time.perf_counter()
        self.turn = False  # whether `due` is its turn among all services
        self.passes = 0  # in a row
        self.passes_ejected = 0  # the same, since it was ejected for what became of requests
        self.failures = 0  # in a row
        self.task: asyncio.Task[None] | None = None
        self.gone = False


class Prober:
    """Checks the endpoints of one service, spread over the interval, and says to the service what came of it.

    An endpoint that joins is checked at once. What a former check has found stays true until this one says otherwise.
    """

    def __init__(self, upstream: Upstream, check: Check, turns: ProbeTurns) -> None:
        self.upstream = upstream
        self.check = check
        self.checks = 0
        self.failures = 0
        self._turns = turns
        self._watched: dict[Endpoint, _Watched] = {}
        self._queue: list[tuple[float, int, _Watched]] = []  # a heap; the number makes each unlike the others
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Begin to check. The former prober of the service, if there is one, goes on until it is retired."""
        self.upstream.followers.append(self)
        self.follow()

    def retire(self) -> None:
        """Check no more. Where no other prober has taken over, nothing is said any more of the endpoints."""
        if self in self.upstream.followers:
            self.upstream.followers.remove(self)
        for watched in self._watched.values():
            self._end(watched)
        self._watched, self._queue = {}, []
        if self._timer is not None:
            self._timer.cancel()
        if not any(isinstance(follower, Prober) for follower in self.upstream.followers):
            for endpoint in self.upstream.endpoints:
                self.upstream.forget(endpoint, Signal.PROBE)
                endpoint.health.checked = None

    async def stop(self) -> None:
        """The same, at the end of the process."""
        self.retire()

    def follow(self) -> None:
        """See `Follower`."""
        now, present = time.perf_counter(), set(self.upstream.endpoints)
        for endpoint in [each for each in self._watched if each not in present]:
            self._end(self._watched.pop(endpoint))
        if len(self._queue) > 2 * len(self._watched) + SPARE:
            self._queue = [entry for entry in self._queue if not entry[2].gone]
            heapq.heapify(self._queue)
        joined = [endpoint for endpoint in self.upstream.endpoints if endpoint not in self._watched]
        for endpoint in joined[:AT_A_TIME]:
            watched = self._watched[endpoint] = _Watched(endpoint)
            if not self.check.initially_up and endpoint.health.verdict(Signal.PROBE, now) is None:
                self.upstream.report(endpoint, Signal.PROBE, up=False, reason=NOT_CHECKED, now=now)
            self._plan(watched, now)
        if len(joined) > AT_A_TIME:
            asyncio.get_running_loop().call_soon(self._follow_on)
        self._set_timer(now)

    def _follow_on(self) -> None:
        if self in self.upstream.followers:
            self.follow()

    def measures(self) -> Mapping[str, float]:
        """See `Measured`."""
        return {"gateway_health_checks_total": self.checks, "gateway_health_check_failures_total": self.failures}

    def _end(self, watched: _Watched) -> None:
        watched.gone = True
        if watched.task is not None:
            watched.task.cancel()

    def _plan(self, watched: _Watched, due: float) -> None:
        watched.due = due
        heapq.heappush(self._queue, (due, next(self._numbers), watched))

    def _set_timer(self, now: float) -> None:
        """Wake up for the next check."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and self._queue[0][2].gone:
            heapq.heappop(self._queue)
        if self._queue:
            delay = max(0.0, self._queue[0][0] - now)
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        now = time.perf_counter()
        while self._queue and self._queue[0][0] <= now + EARLY:
            watched = heapq.heappop(self._queue)[2]
            if watched.gone:
                continue
            turn = now if watched.turn else self._turns.when(now)
            watched.turn = turn > now + EARLY
            if watched.turn:
                self._plan(watched, turn)
            else:
                watched.task = asyncio.create_task(self._probe(watched))
        self._set_timer(now)

    async def _probe(self, watched: _Watched) -> None:
        endpoint, started = watched.endpoint, time.perf_counter()
        first = endpoint.health.checked is None
        try:
            async with self._turns.room:
                answered = endpoint.answered
                checked = await probed(endpoint, self.check)
            if not watched.gone:
                endpoint.health.checked = checked
                self._judge(watched, checked)
                if not checked.passed and endpoint.answered == answered:
                    self.upstream.move_waiting(endpoint, checked.seconds)
        except Exception:  # one that goes wrong must not be the last
            logger.exception("the health check of %s went wrong", endpoint.label)
        watched.task = None
        if not watched.gone:
            # At first, checks are spread over the interval; from then on, they must not fall into step.
            spread = random.uniform(0.1, 1.0) if first else random.uniform(0.9, 1.1)
            self._plan(watched, started + self.check.interval * spread)
            self._set_timer(time.perf_counter())

    def _judge(self, watched: _Watched, checked: Checked) -> None:
        """Say to the service what has become certain by this check."""
        now, endpoint = time.perf_counter(), watched.endpoint
        verdict = endpoint.health.verdict(Signal.PROBE, now)
        self.checks += 1
        if not checked.passed:
            self.failures += 1
            watched.failures, watched.passes, watched.passes_ejected = watched.failures + 1, 0, 0
            if watched.failures >= self.check.unhealthy_after:
                reason = f"{watched.failures} checks failed: {checked.result}"
                self.upstream.report(endpoint, Signal.PROBE, up=False, reason=reason, now=now)
            return
        watched.failures, watched.passes = 0, watched.passes + 1
        watched.passes_ejected = watched.passes_ejected + 1 if endpoint.health.record.ejected else 0
        # Where every endpoint is out, there is nothing to lose by taking the first that is well at once.
        needed = self.check.healthy_after if any(_is_in(each, now) for each in self.upstream.endpoints) else 1
        if verdict is None or (not verdict.up and (endpoint.health.awaits_check(now) or watched.passes >= needed)):
            self.upstream.report(endpoint, Signal.PROBE, up=True, reason="its checks pass", now=now)
        if watched.passes_ejected >= needed:
            self.upstream.passed_checks(endpoint)


def _is_in(endpoint: Endpoint, now: float) -> bool:
    return endpoint.health.out(now) is None
