"""Watches what comes of requests: looks every ten seconds at what is counted, and keeps windows of it.

The event loop does all of it in small pieces, beside requests. What a minute brought is written to a file, and read
again at the start; a kill -9 loses the last minute at most.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from gateway.events import HealthFeedback
from gateway.live.paced import PAUSE, paced
from gateway.live.tasks import Tasks
from gateway.monitor.feedback import Feedback
from gateway.monitor.readings import Counted, Readings, Service
from gateway.monitor.slices import Slice, Steps, Subjects, Written, sealed, summed, written
from gateway.monitor.tallies import ALL, Figures, Kind, Subject, pack
from gateway.monitor.traffic import Traffic
from gateway.monitor.window_file import FILE, Kept, Row, WindowFile, row
from gateway.monitor.windows import COARSE, FINE, KEPT, MINUTE, Point, Windows

logger = logging.getLogger("gateway.monitor")

SERVICE: Final = ("monitor",)
"""The one identity under which it lives."""

NAMES_BYTES: Final = 10 * 1024**2
OWN_BYTES: Final = 30 * 1024**2
OTHERS_BYTES: Final = 10 * 1024**2
"""With what is known of the last look, and what is at work, 64 MiB."""

ROWS_BYTES: Final = 128 * 1024  # of a minute, in the counts by subject
LIVE: Final = 300  # seconds
EARLY: Final = 0.002  # seconds by which a timer may be early: a second is not to be one of a millisecond


class Second(NamedTuple):
    """What came in one second."""

    at: float  # Unix time of its end
    requests: int
    errors: int
    seconds: float  # that it really took


class Monitor:
    """The windows of one process. What it looks at is on the same event loop. Times are Unix times."""

    def __init__(
        self,
        traffic: Traffic,
        services: Callable[[], Iterable[Service]],
        group: Callable[[Counted], Hashable] = lambda _: None,
    ) -> None:
        """`group`: endpoints of a service are compared with those of which it is the same."""
        self.tasks = Tasks()
        self.enabled = False
        self.subjects = Subjects(NAMES_BYTES)
        self.windows = Windows(self.subjects, OWN_BYTES)
        self.live: deque[Second] = deque(maxlen=LIVE)
        self.after_slice: list[Callable[[float], None]] = []  # called with the time of each slice that is complete
        self.send: Callable[[HealthFeedback], None] | None = None  # tells discovery of endpoints that stand out
        self.traffic = traffic
        self._readings = Readings(traffic, services, self.subjects)
        self._services = services
        self._feedback = Feedback(self.windows.tally, group)
        self._file: WindowFile | None = None
        self._looked = 0.0
        self._totals: tuple[float, int, int] | None = None
        self._minute: list[Slice] = []  # of ten seconds, that came to this process and are not written yet
        self._busy = asyncio.Lock()
        self._changed = asyncio.Event()

    # What it says.

    def figures(self, subject: Subject, seconds: int, now: float) -> Figures:
        """What came of a subject in the last so many seconds: a multiple of 10, up to 3,600."""
        tally, watched = self.windows.tally(subject, seconds, now)
        return tally.figures(watched)

    def names(self, kind: Kind) -> list[tuple[str, int]]:
        """The names and numbers of all subjects of a kind that had requests in the last hour."""
        return self.subjects.of_kind(kind)

    def counts(self, number: int, seconds: int, now: float) -> tuple[int, int]:
        """The requests and errors of the subject with this number."""
        return self.windows.counts(number, seconds, now)

    def history(self, subject: Subject, step: int, now: float) -> list[Point]:
        """The last five minutes by ten seconds, or the last hour by minutes."""
        return self.windows.history(subject, step, now)

    async def days(self, subject: Subject, now: float) -> list[Point]:
        """The last three days by five minutes."""
        if self._file is None:
            return []
        return await self._file.history(subject, now, others=True)

    @property
    def left_out(self) -> int:
        """Of how many subjects something is not kept, in the slice of which most is lacking."""
        return max((piece.left_out for step in KEPT for piece in self.windows.all(step)), default=0)

    # How it lives.

    def configure(self, directory: Path, *, enabled: bool) -> None:
        """Watch, or do not, and keep there what is to outlive the process."""
        if enabled and not self.enabled:
            self.tasks.supervise("the monitor", self._watch)
            self.tasks.supervise("the monitor's live rates", self._watch_live)
        elif self.enabled and not enabled:
            self.tasks.cancel()
        self.enabled = enabled
        self.keep_in(directory)

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
            self.windows.drop(now)
            if self.send is not None:
                for message in await paced(self._feedback.judge(list(self._services()), now)):
                    self.send(message)
            for call in self.after_slice:
                call(now)

    async def finish(self, now: float) -> None:
        """The process ends: take in what came since the last slice, and write what is not written yet."""
        async with self._busy:
            await self._slice(int(now) - int(now) % FINE, now, pause=0.0)
            await self._close_minute(now, pause=0.0)

    async def _slice(self, start: int, now: float, pause: float = PAUSE) -> None:
        """What came since the last look, as the slice that begins then."""
        if self._minute and self._minute[0].start // MINUTE != start // MINUTE:
            await self._close_minute(now, pause)  # its last slices were missed
        seconds = now - self._looked if 0 < now - self._looked < MINUTE else float(FINE)
        self._looked = now
        pending = await paced(self._readings.look(), pause)
        piece = await paced(self.windows.sealed(FINE, start, seconds, pending), pause)
        self._minute.append(piece)
        await paced(self.windows.put(FINE, piece), pause)

    async def _close_minute(self, now: float, pause: float = PAUSE) -> None:
        """Put its slices together, and write them."""
        pieces, self._minute = self._minute, []
        if not pieces:
            return
        start = pieces[0].start - pieces[0].start % MINUTE
        minute = await paced(self.windows.together(MINUTE, start, pieces), pause)
        await paced(self.windows.put(MINUTE, minute), pause)
        await self._write(pieces, minute, now, pause)
        if (start + MINUTE) % COARSE == 0:
            await paced(self.windows.combine(COARSE, start, MINUTE), pause)
            await paced(self._forget(), pause)

    def _forget(self) -> Steps[None]:
        numbers = yield from self.windows.numbers()
        yield from self.subjects.forget_all_but(numbers)

    # What outlives the process.

    async def restore(self, now: float) -> None:
        """Go on with what the process before this one has written."""
        await self._take_others(now)
        for start in range(int(now) - int(now) % COARSE - COARSE * KEPT[COARSE], int(now) - COARSE, COARSE):
            await paced(self.windows.combine(COARSE, start, MINUTE))

    async def _take_others(self, now: float) -> None:
        """What other processes with this file have written: the one before this, or one that goes on beside it."""
        for kept in await self._file.read(now) if self._file is not None else ():
            try:
                piece = await paced(self._parsed(kept))
            except ValueError as error:
                logger.warning("%s of the monitor has a slice that is left out: %s", FILE, error)
                continue
            await paced(self.windows.put(kept.step, piece))
            coarse = piece.start - piece.start % COARSE
            if kept.step == MINUTE and self.windows.get(COARSE, coarse) is not None:
                await paced(self.windows.put(COARSE, piece))

    def _parsed(self, kept: Kept) -> Steps[Slice]:
        read, pending = Written(kept.data), dict[int, bytes]()
        for subject, packed in read.read():
            number = self.subjects.number(*subject)
            if number in pending:
                pending[number] = summed([pending[number], packed])
            else:
                pending[number] = packed
            yield
        start = read.start - read.start % kept.step
        return (yield from self.windows.sealed(kept.step, start, read.seconds, pending, read.left_out))

    async def _write(self, pieces: list[Slice], minute: Slice, now: float, pause: float) -> None:
        await self._take_others(now)
        if self._file is None:
            return
        find = self.subjects.subject
        kept = [Kept(FINE, each.start, await paced(written(each, find), pause)) for each in pieces]
        kept.append(Kept(MINUTE, minute.start, await paced(written(minute, find), pause)))
        rows = await paced(self._rows(minute, others=False), pause)
        await self._file.write(kept, rows, now)

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
        if self._totals is not None:
            at, former_requests, former_errors = self._totals
            self.live.append(Second(now, requests - former_requests, errors - former_errors, now - at))
        self._totals = now, requests, errors
