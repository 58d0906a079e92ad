"""Active health checks: every endpoint of a service is asked regularly, and is out while it does not answer well."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import NOT_CHECKED, Checked, Signal
from gateway.upstream.plain_probe import PlainProbe
from gateway.upstream.probe import Check, probed
from gateway.upstream.probe_turns import ProbeTurns
from gateway.upstream.service import Upstream

logger = logging.getLogger("gateway.upstream")

AT_A_TIME: Final = 500  # endpoints that join or leave before requests get a turn


class UnderWay(Protocol):
    """A check that has begun."""

    def cancel(self) -> object:
        """Cancel it; its result is discarded."""
        ...


class _Watched:
    """One endpoint, as its checks go."""

    __slots__ = (
        "answered",
        "due",
        "endpoint",
        "failures",
        "gone",
        "passes",
        "passes_ejected",
        "placed",
        "probe",
        "prober",
    )

    def __init__(self, endpoint: Endpoint, prober: Prober, due: float) -> None:
        self.endpoint = endpoint
        self.prober = prober
        self.due = due  # time.perf_counter()
        self.placed = False  # whether that is its own place in the interval
        self.passes = 0  # in a row
        self.passes_ejected = 0  # the same, since it was ejected for what became of requests
        self.failures = 0  # in a row
        self.probe: UnderWay | None = None
        self.answered = 0  # attempts that had been answered when that began
        self.gone = False

    def begin(self) -> None:
        """See `Due`."""
        self.prober.begin(self)


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
        self._changed: list[Endpoint] = []  # joined or left, and not followed yet

    async def start(self) -> None:
        """Begin to check. The former prober of the service, if there is one, goes on until it is retired."""
        self.upstream.followers.append(self)
        self.follow(self.upstream.endpoints)

    def retire(self) -> None:
        """Check no more. Where no other prober has taken over, nothing is said any more of the endpoints."""
        if self in self.upstream.followers:
            self.upstream.followers.remove(self)
        for watched in self._watched.values():
            self._end(watched)
        self._watched, self._changed = {}, []
        if not any(isinstance(follower, Prober) for follower in self.upstream.followers):
            for endpoint in self.upstream.endpoints:
                self.upstream.forget(endpoint, Signal.PROBE)
                endpoint.health.checked = None

    async def stop(self) -> None:
        """The same, at the end of the process."""
        self.retire()

    def follow(self, changed: Sequence[Endpoint]) -> None:
        """See `Follower`."""
        self._changed += changed
        if len(self._changed) == len(changed):  # those before are followed already
            self._follow()

    def _follow(self) -> None:
        """Follow changes of endpoints, a few in each turn of the loop."""
        some, self._changed = self._changed[:AT_A_TIME], self._changed[AT_A_TIME:]
        now = time.perf_counter()
        for endpoint in some:
            if not self.upstream.has(endpoint):
                if endpoint in self._watched:
                    self._end(self._watched.pop(endpoint))
            elif endpoint not in self._watched:
                watched = self._watched[endpoint] = _Watched(endpoint, self, now)
                if not self.check.initially_up and endpoint.health.verdict(Signal.PROBE, now) is None:
                    self.upstream.report(endpoint, Signal.PROBE, up=False, reason=NOT_CHECKED, now=now)
                self._turns.plan(watched, now)
        if self._changed:
            asyncio.get_running_loop().call_soon(self._follow)

    def measures(self) -> Mapping[str, float]:
        """See `Measured`."""
        return {"gateway_health_checks_total": self.checks, "gateway_health_check_failures_total": self.failures}

    def _end(self, watched: _Watched) -> None:
        watched.gone = True
        if watched.probe is None:
            self._turns.left()
        else:
            watched.probe.cancel()
            self._turns.ended()

    def begin(self, watched: _Watched) -> None:
        """Check it: its time has come."""
        endpoint = watched.endpoint
        watched.answered = endpoint.answered
        try:
            if endpoint.is_plain:
                watched.probe = PlainProbe(endpoint, self.check, partial(self._ended, watched))
            else:
                watched.probe = asyncio.create_task(self._ask(watched))
        except Exception as error:
            self._went_wrong(watched, error)

    async def _ask(self, watched: _Watched) -> None:
        try:
            checked = await probed(watched.endpoint, self.check)
        except Exception as error:
            self._went_wrong(watched, error)
        else:
            self._ended(watched, checked)

    def _ended(self, watched: _Watched, checked: Checked) -> None:
        """A check has come to an end."""
        endpoint = watched.endpoint
        endpoint.health.checked = checked
        try:
            if checked.asked:
                self._judge(watched, checked)
                if not checked.passed and endpoint.answered == watched.answered:
                    self.upstream.move_waiting(endpoint, checked.seconds)
        except Exception as error:
            self._went_wrong(watched, error)
        else:
            self._plan_next(watched)

    def _went_wrong(self, watched: _Watched, error: Exception) -> None:
        """One that goes wrong must not be the last."""
        logger.error("the health check of %s went wrong", watched.endpoint.label, exc_info=error)
        self._plan_next(watched)

    def _plan_next(self, watched: _Watched) -> None:
        """At first, checks are spread over the interval; from then on, they must not fall into step.

        That one had to wait for its turn moves none that follow. After a start with many endpoints, all would stay in
        the wake of that.
        """
        intervals = random.uniform(0.9, 1.1) if watched.placed else random.uniform(0.0, 1.0)
        watched.due = max(watched.due + self.check.interval * intervals, time.perf_counter())
        watched.placed, watched.probe = True, None
        self._turns.ended()
        self._turns.plan(watched, watched.due)

    def _judge(self, watched: _Watched, checked: Checked) -> None:
        """Report the verdict of this check to the service."""
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
        needed = (
            self.check.healthy_after if any(each.health.out(now) is None for each in self.upstream.endpoints) else 1
        )
        if verdict is None or (not verdict.up and (endpoint.health.awaits_check(now) or watched.passes >= needed)):
            self.upstream.report(endpoint, Signal.PROBE, up=True, reason="its checks pass", now=now)
        if watched.passes_ejected >= needed:
            self.upstream.ejection.passed_checks(endpoint)
