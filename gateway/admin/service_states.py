"""How services are: down where nothing gets an answer, degraded where a part of it fails, up where nothing does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from gateway.admin.failing_endpoints import Failing
from gateway.live import Owner
from gateway.monitor.recent_requests import RecentRequests
from gateway.monitor.watch import Monitor
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.service import Upstream

State = Literal["up", "degraded", "down"]

STATES: Final[tuple[State, ...]] = ("up", "degraded", "down")
"""States of a service, from best to worst."""

AT_ONCE: Final = 200  # endpoints that are looked at before requests get a turn
FRESH: Final = 1.0  # seconds for which what was found is shown again


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service at one moment."""

    state: State
    usable: int  # endpoints that get requests
    failing: int  # of those, which fail what they get
    of: int
    reason: str | None


def state_of(upstream: Upstream, failing: Failing, now: float) -> ServiceState:
    """How it is. `now`: time.perf_counter()."""
    usable, bad, dead, first = 0, 0, 0, None
    for endpoint in upstream.endpoints:
        wrong, answers = why_out(endpoint, now), False
        if wrong is None:
            usable += 1
            failure = failing.endpoint(upstream.name, endpoint.label)
            wrong, answers = (None, True) if failure is None else (failure.said, not failure.whole)
        dead += not answers
        if wrong is not None:
            bad += 1
            first = first or f"{endpoint.label}: {wrong}"
    of = len(upstream.endpoints)
    state: State = "down" if dead == of else "degraded" if bad else "up"
    more = f"; {bad - 1} more" if bad > 1 else ""
    reason = f"{first}{more}" if first else None if of else "it has no endpoints"
    return ServiceState(state, usable, bad - (of - usable), of, reason)


def why_out(endpoint: Endpoint, now: float) -> str | None:
    """Why an endpoint gets no requests; None where it does."""
    out = endpoint.health.out(now)
    return None if out is None else f"{out[0].value}: {out[1].reason} (for {now - out[1].since:.0f} s)"


class ServiceStates:
    """The states of all services, looked at in steps, and no more often than they are asked for."""

    def __init__(self, owner: Owner, recent: RecentRequests) -> None:
        self.monitor = next(owner.all(Monitor), None)
        self._owner = owner
        self._recent = recent
        self._looked = float("-inf")  # time.perf_counter()
        self.last: Mapping[Upstream, ServiceState] = {}  # as they were looked at last
        self._looking = asyncio.Lock()

    async def now(self) -> Mapping[Upstream, ServiceState]:
        """Those of a moment ago at the oldest."""
        async with self._looking:
            if time.perf_counter() - self._looked > FRESH:
                upstreams = self._owner.all(Upstream)
                failing, states, seen = self.failing(), {}, 0
                for upstream in list(upstreams):
                    states[upstream] = state_of(upstream, failing, time.perf_counter())
                    seen += 1 + len(upstream.endpoints)
                    if seen >= AT_ONCE:
                        seen = 0
                        await asyncio.sleep(0)
                self.last = states
                self._looked = time.perf_counter()
        return self.last

    def failing(self) -> Failing:
        """Current failures."""
        return Failing(self._recent, self.monitor, self._owner.all(Upstream))
