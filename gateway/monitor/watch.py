"""Watches what comes of requests: looks every ten seconds at what is counted, and keeps windows of it.

The event loop does all of it in small pieces, beside requests. What a minute brought is written to a file, and read
again at the start; a kill -9 loses the last minute at most.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from gateway.events import HealthFeedback
from gateway.live.paced import PAUSE, paced
from gateway.live.tasks import Tasks
from gateway.monitor.feedback import Feedback
from gateway.monitor.merged import Merged
from gateway.monitor.over_bus import Heard
from gateway.monitor.readings import Counted, Readings, Service
from gateway.monitor.replicas import Replicas
from gateway.monitor.slices import Slice, Steps, sealed, written
from gateway.monitor.tallies import ALL, Subject, pack
from gateway.monitor.traffic import Traffic
from gateway.monitor.window_file import FILE, Kept, Row, WindowFile, row
from gateway.monitor.windows import COARSE, FINE, KEPT, MINUTE, Point
from gateway.outside.redis_link import RedisLink

logger = logging.getLogger("gateway.monitor")

SERVICE: Final = ("monitor",)
"""The one identity under which it lives."""

ROWS_BYTES: Final = 128 * 1024  # of a minute, in the counts by subject
LIVE: Final = 300  # seconds
EARLY: Final = 0.002  # seconds by which a timer may be early: a second is not to be one of a millisecond


class Second(NamedTuple):
    """The counts of one second."""

    at: float  # Unix time of its end
    requests: int
    errors: int
    seconds: float  # that it really took


class Monitor(Merged):
    """The windows of one process. What it looks at is on the same event loop. Times are Unix times."""

    def __init__(
        self,
        traffic: Traffic,
        services: Callable[[], Iterable[Service]],
        group: Callable[[Counted], Hashable] = lambda _: None,
    ) -> None:
        """`group`: endpoints of a service are compared with those of which it is the same."""
        super().__init__()
        self.tasks = Tasks()
        self.enabled = False
        self.since = math.inf  # when it was switched on; inf: it is not
        self.live: deque[Second] = deque(maxlen=LIVE)
        self.after_slice: list[Callable[[float], None]] = []  # called with the time of each slice that is complete
        self.link: RedisLink | None = None  # by which it knows others
        self.send: Callable[[HealthFeedback], None] | None = None  # reports endpoints that stand out to discovery
        self.traffic = traffic
        self.heard = Heard()  # of routers in processes that have no monitor
        every = [traffic, self.heard.traffic]
        self._readings = Readings(every, lambda: chain(services(), self.heard.services()), self.subjects)
        self._services = services
        self._feedback = Feedback(self.own.tally, group)
        self._file: WindowFile | None = None
        self._replicas: Replicas | None = None
        self._sent = 0  # messages to discovery
        self._looked = 0.0
        self._totals: tuple[float, int, int] | None = None
        self._minute: list[Slice] = []  # of ten seconds, that came to this process and are not written yet
        self._busy = asyncio.Lock()

    # What it says.

    async def catch_up(self, now: float) -> None:
        """Called before windows are read: they then include the last minutes of other gateways."""
        if self._replicas is not None and self._replicas.asked():
            async with self._busy:
                await self._follow(now)

    @property
    def consumers(self) -> Mapping[str, int]:
        """The requests of each."""
        heard = self.heard.traffic.consumers
        return Counter(self.traffic.consumers) + Counter(heard) if heard else self.traffic.consumers

    @property
    def gateways(self) -> int:
        """Whose numbers these are."""
        return 1 + (self._replicas.number if self._replicas is not None else 0)

    @property
    def alone(self) -> bool:
        """Whether there may be others, of which nothing is known now."""
        return self._replicas is not None and not self._replicas.available

    async def days(self, subject: Subject, now: float) -> list[Point]:
        """The last three days by five minutes."""
        if self._file is None:
            return []
        return await self._file.history(subject, now, others=True)

    @property
    def left_out(self) -> int:
        """The number of subjects whose history is incomplete, because there are too many."""
        return self.own.left_out + self.subjects.overflow

    # How it lives.

    def configure(self, directory: Path, link: RedisLink | None, *, enabled: bool) -> None:
        """Watch, or do not; keep there what is to outlive the process, and share it with other gateways by Redis."""
        if enabled and not self.enabled:
            self.tasks.supervise("the monitor", self._watch)
            self.tasks.supervise("the monitor's live rates", self._watch_live)
            self.since = time.time()
        elif self.enabled and not enabled:
            self.tasks.cancel()
            self.since = math.inf
        self.enabled = enabled
        self.keep_in(directory)
        self.link = link

    def keep_in(self, directory: Path) -> None:
        """Keep what is to outlive the process there."""
        if self._file is None or self._file.path != directory / FILE:
            if self._file is not None:
                self.tasks.supervise("the end of the monitor's former file", self._file.close)
            self._file = WindowFile(directory / FILE)

    async def stop(self) -> None:
        """Look once more, and write what is not written yet."""
        self.tasks.cancel()
        if self.enabled:
            await self.finish(time.time())
        if self._file is not None:
            await self._file.close()

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if self._file is not None:
            yield from self._file.troubles()

    def measures(self) -> dict[str, float]:
        """See `Measured`."""
        return {
            "gateway_monitor_bytes": self.own.size + self.others.size if self.enabled else 0,
            "gateway_monitor_left_out": self.left_out,
            "gateway_monitor_feedback_total": self._sent,
        }

    async def _watch(self) -> None:
        async with self._busy:
            now = time.time()
            if self._looked == 0.0:
                await self.restore(now)
            elif now - self._looked > MINUTE:  # it was off: what came meanwhile is of no slice
                await paced(self._readings.look())
            self._looked = now
        while True:
            now = time.time()
            due = now - now % FINE + FINE
            await asyncio.sleep(due - now)
            woke = time.time()
            # A timer may be a little early; a clock that was set back is another matter.
            await asyncio.shield(self.tick(due if due - 1 < woke < due else woke))

    async def tick(self, now: float) -> None:
        """Ten seconds are over: make a slice of them, and what follows of that."""
        async with self._busy:
            start = int(now) - int(now) % FINE - FINE
            await self._slice(start, now)
            if (start + FINE) % MINUTE == 0:
                await self._close_minute(now)
            await self._follow(now)
            self.drop(now)
            if self.send is not None:
                for message in await paced(self._feedback.judge(list(self._services()), now)):
                    self._sent += 1
                    self.send(message)
            for call in self.after_slice:
                call(now)

    async def finish(self, now: float) -> None:
        """The process ends: take in what came since the last slice, and write what is not written yet."""
        async with self._busy:
            await self._slice(int(now) - int(now) % FINE, now, pause=0.0)
            await self._close_minute(now, pause=0.0)

    async def _slice(self, start: int, now: float, pause: float = PAUSE) -> None:
        """The counts since the last look, as the slice that begins then."""
        if self._minute and self._minute[0].start // MINUTE != start // MINUTE:
            await self._close_minute(now, pause)  # its last slices were missed
        seconds = now - self._looked if 0 < now - self._looked < MINUTE else float(FINE)
        self._looked = now
        pending = await paced(self._readings.look(), pause)
        piece = await paced(self.own.sealed(start, seconds, pending), pause)
        self._minute.append(piece)
        await paced(self.own.put(FINE, piece), pause)
        await self._share(FINE, piece, pause)

    async def _close_minute(self, now: float, pause: float = PAUSE) -> None:
        """Put its slices together, and write them."""
        pieces, self._minute = self._minute, []
        if not pieces:
            return
        start = pieces[0].start - pieces[0].start % MINUTE
        minute = await paced(self.own.together(start, pieces), pause)
        await paced(self.own.put(MINUTE, minute), pause)
        await self._write(pieces, minute, now, pause)
        await self._share(MINUTE, minute, pause)
        if (start + MINUTE) % COARSE == 0:
            for windows in (self.own, self.others):
                await paced(windows.combine(COARSE, start, MINUTE), pause)
            await paced(self.forget(), pause)

    # What other gateways serve.

    async def _share(self, step: int, piece: Slice, pause: float) -> None:
        if self.link is None and self._replicas is not None:
            self._replicas = None
            self.others.clear()
        elif self.link is not None and (self._replicas is None or self._replicas.link is not self.link):
            name = await self._file.name() if self._file is not None else None
            self.others.clear()  # it is read anew
            self._replicas = Replicas(self.link, name or uuid.uuid4().hex, self.others)
        if self._replicas is not None:
            await self._replicas.push(step, piece, pause)

    async def _follow(self, now: float) -> None:
        if self._replicas is not None:
            async for followed in self._replicas.follow(now):
                if self._file is not None:
                    await self._file.add_others(await paced(self._rows(followed.piece, others=True)), followed.number)

    # What outlives the process.

    async def restore(self, now: float) -> None:
        """Go on with what the process before this one has written."""
        await self._take_others(now)
        for start in range(int(now) - int(now) % COARSE - COARSE * KEPT[COARSE], int(now) - COARSE, COARSE):
            await paced(self.own.combine(COARSE, start, MINUTE))

    async def _take_others(self, now: float) -> None:
        """Data that other processes with this file have written: the one before this, or one that runs beside it."""
        while self._file is not None and (some := await self._file.read(now)):
            for kept in some:
                try:
                    piece = await paced(self.own.read(kept.step, kept.data))
                except ValueError as error:
                    logger.warning("%s of the monitor has a slice that is left out: %s", FILE, error)
                    continue
                await paced(self.own.put(kept.step, piece))

    async def _write(self, pieces: list[Slice], minute: Slice, now: float, pause: float) -> None:
        await self._take_others(now)
        if self._file is None:
            return
        for step, piece in [*((FINE, each) for each in pieces), (MINUTE, minute)]:
            kept = Kept(step, piece.start, await paced(written(piece, self.subjects.subject), pause))
            rows = await paced(self._rows(minute, others=False), pause) if step == MINUTE else ()
            await self._file.write([kept], rows, now)

    def _rows(self, minute: Slice, *, others: bool) -> Steps[list[Row]]:
        """The counts of a minute, of the busiest subjects, and of the others together."""
        fewer = yield from sealed(minute.start, 0, dict(minute), ROWS_BYTES, self.subjects.other)
        rows = [row(minute.start, ALL, pack(0, 0, {}), others=others)]  # it was watched
        for number, packed in fewer:
            subject = self.subjects.subject(number)
            if subject is not None:
                rows.append(row(minute.start, subject, packed, others=others))
            yield
        return rows

    # What is live.

    async def _watch_live(self) -> None:
        while True:
            now = time.time()
            await asyncio.sleep(1.0 - now % 1.0 + EARLY)
            await self.second(time.time())

    async def second(self, now: float) -> None:
        """A second is over: what came in it."""
        requests, errors = await paced(self._readings.totals())
        if self._totals is not None and self._totals[0] < now:  # the clock may be set back
            at, former_requests, former_errors = self._totals
            self.live.append(Second(now, requests - former_requests, errors - former_errors, now - at))
        self._totals = now, requests, errors
