"""Keeps the endpoints of one service fresh: asks its source for ever, and gives what it says to the Upstream."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Mapping
from typing import Final

from gateway.live import Tasks
from gateway.outside.throttled_log import ThrottledLog
from gateway.registry.source import Instances, Source, SourceLost
from gateway.upstream.service import Upstream

logger = logging.getLogger("gateway.registry")

FIRST_PAUSE: Final = 0.2  # seconds until a lost source is asked again; doubled each time, spread by a half
LONGEST_PAUSE: Final = 10.0


class Discovery:
    """One service and its source, live. It is the `Sink` of the source.

    While the source is lost, the last set stays in use, marked as stale. Times are those of time.perf_counter().
    """

    def __init__(self, upstream: Upstream, source: Source) -> None:
        self.upstream = upstream
        self.source = source
        self.tasks = Tasks()
        self.revision = ""
        self.answered_at: float | None = None  # when the source last sent anything
        self.lost = ""  # why the set is stale; empty while it is not
        self.changes = 0
        self.faults = 0
        self.seconds_to_use = 0.0  # of the last change: from the source's event until it was used
        self._failures = 0  # in a row
        self._log = ThrottledLog(logger.warning, seconds=60.0)

    async def start(self) -> None:
        """Begin to ask. A source that does not answer is no reason to refuse a configuration."""
        self.tasks.supervise(f"the discovery of {self.upstream.name}", self._run)

    async def stop(self) -> None:
        """Ask no more; the endpoints stay what they are."""
        await self.tasks.end()

    # What the source says.

    def deliver(self, instances: Instances) -> None:
        """See `Sink`."""
        self.alive()
        self.revision = instances.revision
        if tuple(instances.members) == self.upstream.members:
            return
        self.upstream.replace(instances.members)
        self.changes += 1
        if instances.happened is not None:
            self.seconds_to_use = time.perf_counter() - instances.happened
        logger.info("%s has %d instances now (%s)", self.upstream.name, len(self.upstream.endpoints), self.source.place)

    def alive(self) -> None:
        """See `Sink`."""
        self.answered_at = time.perf_counter()
        self._failures = 0
        if self.lost:
            self._log.always("%s: %s answers again", self.upstream.name, self.source.place)
            self.lost = ""

    def fault(self, kind: str) -> None:
        """See `Sink`."""
        self.faults += 1
        logger.warning("%s: %s: %s", self.upstream.name, self.source.place, kind)

    # What operators see.

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if self.lost:
            age = "never answered" if self.answered_at is None else f"answered {self._age():.0f} s ago"
            yield f"the endpoints of {self.upstream.name} are stale: {self.source.place} {age}: {self.lost}"

    def measures(self) -> Mapping[str, float]:
        """See `Measured`."""
        return {
            "gateway_discovery_changes_total": self.changes,
            "gateway_discovery_faults_total": self.faults,
            "gateway_discovery_stale_services": 1 if self.lost else 0,
        }

    def _age(self) -> float:
        return time.perf_counter() - (self.answered_at or 0.0)

    async def _run(self) -> None:
        while True:
            try:
                await self.source.watch(self)
                reason = "its watch ended"
            except SourceLost as error:
                reason = str(error)
            self.lost = reason
            self._failures += 1
            self._log.line(
                "%s: %s is lost, the last %d instances stay in use: %s",
                self.upstream.name,
                self.source.place,
                len(self.upstream.endpoints),
                reason,
            )
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures - 1, 10))
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
