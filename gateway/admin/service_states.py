"""How services are: down where nothing gets an answer, degraded where a part of it fails, up where nothing does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from gateway.admin.failing_endpoints import Failing, Failure
from gateway.live import Owner
from gateway.live.thread import on_thread
from gateway.monitor.recent_requests import RecentRequests
from gateway.monitor.watch import Monitor
from gateway.outside.host_lookups import HostLookups
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.service import Upstream

State = Literal["up", "degraded", "down"]

STATES: Final[tuple[State, ...]] = ("up", "degraded", "down")
"""States of a service, from best to worst."""

AT_ONCE: Final = 200  # endpoints that are looked at before requests get a turn
FRESH: Final = 1.0  # seconds for which what was found is shown again
NAMES: Final = 10.0  # the same, of names that do not resolve
NAME_SECONDS: Final = 1.0  # for these to be looked up
MOST_NAMES: Final = 100


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
            failure = why_failing(upstream, endpoint, failing)
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


def why_failing(upstream: Upstream, endpoint: Endpoint, failing: Failing) -> Failure | None:
    """What an endpoint fails that gets requests: all of it where its name has no address."""
    unresolved = upstream.connector.resolver.unresolved.get(endpoint.address.host)
    if unresolved is not None:
        return Failure(unresolved, whole=True)
    return failing.endpoint(upstream.name, endpoint.label)


class ServiceStates:
    """The states of all services, looked at in steps, and no more often than they are asked for."""

    def __init__(self, owner: Owner, recent: RecentRequests) -> None:
        self.monitor = next(owner.all(Monitor), None)
        self._owner = owner
        self._recent = recent
        self._looked = float("-inf")  # time.perf_counter()
        self.last: Mapping[Upstream, ServiceState] = {}  # as they were looked at last
        self._looking = asyncio.Lock()
        self._named = float("-inf")  # the same, of names

    async def now(self) -> Mapping[Upstream, ServiceState]:
        """Those of a moment ago at the oldest."""
        async with self._looking:
            if time.perf_counter() - self._looked > FRESH:
                await self._look_up_again()
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

    async def one(self, upstream: Upstream, failing: Failing) -> ServiceState:
        """That of one service, at this moment."""
        async with self._looking:
            await self._look_up_again()
        return state_of(upstream, failing, time.perf_counter())

    async def _look_up_again(self) -> None:
        """Names that did not resolve, lest one is said not to that does, and of which no request came since."""
        upstreams = list(self._owner.all(Upstream))
        unresolved = upstreams[0].connector.resolver.unresolved if upstreams else {}
        if not unresolved or time.perf_counter() - self._named < NAMES:
            return
        used = {endpoint.address.host for upstream in upstreams for endpoint in upstream.endpoints}
        names = [name for name in list(unresolved) if name in used][:MOST_NAMES]  # threads add more
        lookups = HostLookups(names, NAME_SECONDS)
        for name, failure in await on_thread("names", lambda: [*lookups.answered()]):
            if failure is None:
                unresolved.pop(name, None)
        self._named = time.perf_counter()

    def failing(self) -> Failing:
        """Current failures."""
        return Failing(self._recent, self.monitor, self._owner.all(Upstream))
