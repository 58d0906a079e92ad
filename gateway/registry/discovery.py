"""Keeps the endpoints of one service fresh: asks its source without end, and gives what it delivers to the Upstream."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.algorithms.percentiles import Sketch
from gateway.live import Tasks
from gateway.outside.throttled_log import ThrottledLog
from gateway.plurals import counted
from gateway.registry.allowed import AllowedNetworks
from gateway.registry.source import Instances, Source, SourceLost, one_line
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.member import Member
from gateway.upstream.service import Upstream
from gateway.upstream.steps import STEP

logger = logging.getLogger("gateway.registry")

FIRST_PAUSE: Final = 0.2  # seconds until a lost source is asked again; doubled each time, spread by a half
LONGEST_PAUSE: Final = 10.0
FAULT_LINES: Final = 20  # in the log, of FAULT_LINES_SECONDS: ten thousand would hold up all else
FAULT_LINES_SECONDS: Final = 10.0
LISTED: Final = 5  # instances in the log, added and removed
SHOWN: Final = 3  # instances, of those that are dropped


@dataclass(frozen=True, slots=True)
class Caution:
    """How far a source is trusted."""

    hold_empty: float = 30.0  # seconds that the last instances stay in use when it says that there are none
    allowed: AllowedNetworks = field(default_factory=lambda: AllowedNetworks(()))  # where instances may be
    first_answer: float = 10.0  # seconds that a gateway which starts is not ready without it


class Discovery:
    """One service and its source, live. It is the `Sink` of the source.

    While the source is lost, the last set stays in use, marked as stale. Times are those of time.perf_counter().
    """

    def __init__(self, upstream: Upstream, source: Source, caution: Caution | None = None) -> None:
        self.upstream = upstream
        self.source = source
        self.tasks = Tasks()
        self.revision = ""
        self.answered_at: float | None = None  # when the source last sent anything
        self.lost = ""  # why the set is stale; empty while it is not
        self.changes = 0
        self.faults = 0
        self._fault_lines = 0
        self._fault_lines_until = 0.0
        self.dropped = 0  # instances outside of what is allowed, in the last set
        self.use = Sketch()  # from the source's event until a change was used
        self._caution = caution or Caution()
        self._known = asyncio.Event()  # the source has said once which instances there are
        self._tried = asyncio.Event()  # it has, or it has failed
        self._patient_until = 0.0  # loop time
        self._news = asyncio.Event()
        self._last: Instances | None = None  # what the source said
        self._empty_since: float | None = None
        self._outside: Sequence[str] = ()  # some of those that are dropped
        self._why_outside = ""  # why the first of these is
        self._log = ThrottledLog(logger.warning, seconds=60.0)

    async def start(self) -> None:
        """Begin to ask. A source that does not answer is no reason to refuse a configuration."""
        self._patient_until = asyncio.get_running_loop().time() + self._caution.first_answer
        self.tasks.supervise(f"the discovery of {self.upstream.name}", self._run)
        self.tasks.supervise(f"using the discovered endpoints of {self.upstream.name}", self._use)

    @property
    def known(self) -> bool:
        """Whether the source has said once which instances there are, and they are used."""
        return self._known.is_set()

    async def first_answer(self, *, or_failure: bool) -> None:
        """Wait until the source has said once which instances there are, and they are used; not longer than is set."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._patient_until):
                await (self._tried if or_failure else self._known).wait()

    async def stop(self) -> None:
        """Ask no more; the endpoints stay what they are."""
        await self.tasks.end()

    # What the source says.

    def deliver(self, instances: Instances) -> None:
        """See `Sink`. It is used beside this; of several sets that come quickly, the last."""
        self.alive()
        self._last = instances
        self._news.set()

    def alive(self) -> None:
        """See `Sink`."""
        self.answered_at = time.perf_counter()
        if self.lost:
            self._log.always("%s: %s answers again", self.upstream.name, self.source.place)
            self.lost = ""

    def failing(self, reason: str) -> None:
        """See `Sink`."""
        self.lost = reason = one_line(reason)
        self._tried.set()
        self._log.line(
            "%s: %s is lost, the last set of %s stays in use: %s",
            self.upstream.name,
            self.source.place,
            counted(len(self.upstream.endpoints), "instance"),
            reason,
        )

    def fault(self, kind: str) -> None:
        """See `Sink`."""
        self.faults += 1
        now = time.perf_counter()
        if now >= self._fault_lines_until:
            self._fault_lines_until, self._fault_lines = now + FAULT_LINES_SECONDS, 0
        self._fault_lines += 1
        if self._fault_lines <= FAULT_LINES:
            logger.warning("%s: %s: %s", self.upstream.name, self.source.place, one_line(kind))

    # What operators see.

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        name, place = self.upstream.name, self.source.place
        if self.lost:
            meanwhile = "have it answer again; the endpoints that it had are used until then"
            yield f"the endpoints of {name} are stale: {self.why_none()}; {meanwhile}"
        elif self.answered_at is None:
            yield f"the endpoints of {name} are not known: {self.why_none()}; see that it runs, and can be reached"
        elif self._empty_since is not None:
            stay = f"the last ones stay for {self._held():.0f} s"
            yield f"{place} says that {name} has no instances any more; {stay}; start one, or see why none is listed"
        elif not self.upstream.endpoints:
            yield f"{name} has no endpoints: {self.why_none()}"
        if self._last is not None and self._last.faults:
            faults = self._last.faults
            more = f"; {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
            said = "; ".join(map(one_line, faults[:SHOWN]))
            yield f"{place}, {name}: {said}{more}; correct it where it is registered"
        if self.dropped:
            some = ", ".join(self._outside)
            yield f"{counted(self.dropped, 'instance')} of {name} ({some}) not used: {self._why_outside}"

    def why_none(self) -> str:
        """The last error of the source, if the service has no endpoints."""
        place = self.source.place
        if self.lost:
            age = (
                "never answered"
                if self.answered_at is None
                else f"answered {(self.age(time.perf_counter()) or 0.0):.0f} s ago"
            )
            return f"{place} {age}: {self.lost}"
        return f"{place} has not answered yet" if self.answered_at is None else f"{place} says that there are none"

    def age(self, now: float) -> float | None:
        """Seconds since the source last sent anything; None where it never did."""
        return None if self.answered_at is None else now - self.answered_at

    def _held(self) -> float:
        """How long an empty set is held back still."""
        since = self._empty_since if self._empty_since is not None else float("-inf")
        return max(0.0, since + self._caution.hold_empty - time.perf_counter())

    # Using it.

    async def _use(self) -> None:
        """Replace the endpoints when the source has said something, a part of them at a time."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._last is None:
                continue
            said = self._last
            members = await self._allowed(said.members)
            if members or not self.upstream.endpoints:
                self._empty_since = None
            elif self._empty_since is None:
                self._empty_since = time.perf_counter()
                if self._held() > 0:
                    logger.warning("%s", next(iter(self.troubles())))
            if self._empty_since is not None and (left := self._held()) > 0:
                asyncio.get_running_loop().call_later(left, self._news.set)
            else:
                await self._replace(members, said)
            self._known.set()
            self._tried.set()

    async def _replace(self, members: Sequence[Member], said: Instances) -> None:
        before, endpoints = self.upstream.replaced, self.upstream.endpoints
        for _ in self.upstream.replacing(members):
            await asyncio.sleep(0)
        self.revision, self._empty_since = said.revision, None
        if self.upstream.replaced == before:
            return
        self.changes += 1
        if said.happened is not None and members:  # an empty set may have been held back
            self.use.add(time.perf_counter() - said.happened)
        count = counted(len(self.upstream.endpoints), "instance")
        changes = "; ".join(_changes(endpoints, self.upstream.endpoints))
        logger.info("%s has %s now (%s): %s", self.upstream.name, count, self.source.place, changes)

    async def _allowed(self, members: Sequence[Member]) -> Sequence[Member]:
        """Those in the allowed networks."""
        networks, why = self._caution.allowed, ""
        inside: list[Member] = []
        outside: list[str] = []
        for start in range(0, len(members), STEP):
            for member in members[start : start + STEP]:
                reason = networks.why_not(member.address)
                if reason is None:
                    inside.append(member)
                else:
                    why = why or reason
                    outside.append(str(member.address))
            await asyncio.sleep(0)
        shown = outside[:SHOWN]
        if shown != self._outside or len(outside) != self.dropped:
            self._outside, self.dropped, self._why_outside = shown, len(outside), why
            for trouble in self.troubles() if outside else ():
                logger.warning("%s", trouble)
        return inside

    async def _run(self) -> None:
        pause = 0.0
        while True:
            began = time.perf_counter()
            try:
                await self.source.watch(self)
                reason = "its watch ended"
            except SourceLost as error:
                reason = str(error)
            self.failing(reason)
            # One that answers something and fails at once, such as a registry that may be listed but not watched, is
            # not asked all the more often for that.
            held = self.answered_at is not None and self.answered_at >= began and time.perf_counter() - began > pause
            pause = FIRST_PAUSE if held or not pause else min(LONGEST_PAUSE, 2 * pause)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))


def _changes(before: Sequence[Endpoint], after: Sequence[Endpoint]) -> Iterator[str]:
    """Added and removed endpoints, for the log."""
    known, listed = frozenset(before), frozenset(after)
    joined, left = [each for each in after if each not in known], [each for each in before if each not in listed]
    for endpoints, what in ((joined, "new"), (left, "removed")):
        labels = [each.label for each in endpoints[:LISTED]]
        more = [f"{len(endpoints) - LISTED} more"] if len(endpoints) > LISTED else []
        if labels:
            yield f"{what}: {', '.join(labels + more)}"
    if not joined and not left:
        yield "none is new or removed"
