"""Usage of one quota in the current window of the calendar, stored durably.

Requests are counted in memory, and written in batches: every `WRITE_SECONDS`, and when this process ends in order. So a
crash (kill -9, a power cut) loses at most what was counted in the last `WRITE_SECONDS` and the time of one write. The
first request of each key waits until its count is read, as long as the book's `patience` is. Where keys have to leave
the table, those near their limit leave last: they would seem to have used nothing where that takes longer.

Several replicas that count in one place learn of each other when they write: what they let through beyond the quota is
at most what the others count in `WRITE_SECONDS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice
from typing import Protocol
from zoneinfo import ZoneInfo

from gateway.algorithms.calendar_windows import Length, Span, span_at
from gateway.limits.forgotten import Forgotten
from gateway.limits.table import Table
from gateway.live import Supervised, Tasks
from gateway.outside.patience import LoopTime, Patience

WRITE_SECONDS = 0.25
READ_SECONDS = 0.02  # how long a request waits for its count, where the book says nothing else
BATCH = 500
MOST_KEYS = 100_000
MOST_COUNTED = 1_000_000  # keys of one window that the book keeps apart
SHARED = ""  # what all further ones share: together they have the budget of one, and no request passes uncounted
CREDIT = "~"  # begins the key of the counter of what was forgiven of a key; no key of a caller begins so
MOST_NEAR = 1000  # keys that are known to be near their limit
KEPT_SECONDS = 3600  # how long a count is kept after its window: other processes may still write it


@dataclass(frozen=True, slots=True)
class Increment:
    """An addition to a counter of the book, and its former value as this process knew it."""

    quota: str
    key: str
    span: Span
    known: int
    added: int


class Book(Protocol):
    """Where counts are kept."""

    @property
    def keeps(self) -> bool:
        """Whether it has what was written, and can be asked again."""
        ...

    @property
    def available(self) -> bool:
        """Whether it answered the last time, and anything may be added to what it has."""
        ...

    @property
    def outages(self) -> int:
        """How often it was lost: afterwards it may have lost counts."""
        ...

    @property
    def patience(self) -> float:
        """Seconds that a request may wait for a count."""
        ...

    @property
    def replicas(self) -> int:
        """How many processes count in it, this one included, as far as it knows."""
        ...

    async def write(self, increments: Sequence[Increment]) -> Sequence[int] | None:
        """Add to the counters, and answer with their totals. None: it does not answer. Never raises."""
        ...


class _Count:
    __slots__ = ("added", "forgiven", "forgiven_known", "key", "known", "near", "read", "sent", "span")

    def __init__(self, key: str, span: Span) -> None:
        self.key = key
        self.span = span
        self.read = False
        self.known = 0  # by the book
        self.added = 0  # since
        self.sent = 0  # of these, under way to the book
        self.forgiven_known = 0  # what was forgiven of the count, as the book knows it
        self.forgiven = 0  # since
        self.near = False  # to its limit

    @property
    def used(self) -> int:
        """The counted part. Both counters only grow, so that the states of replicas can be merged."""
        return max(0, self.known + self.added - self.forgiven_known - self.forgiven)


class Ledger:
    """One quota. `clock` gives seconds since 1970."""

    def __init__(
        self,
        name: str,
        unit: Length,
        zone: ZoneInfo,
        book: Book,
        clock: Callable[[], float] = time.time,
        most: int = MOST_KEYS,
    ) -> None:
        self.name = name
        self.book = book
        self._unit = unit
        self._zone = zone
        self._clock = clock
        self._most = most
        self._span = Span(0, 0)
        self._table = self._new_table()
        self._forgotten: Forgotten | None = None  # what keys have used that have left the table, if no book keeps it
        self._unwritten: dict[tuple[int, str], _Count] = {}
        self._asked: dict[tuple[int, str], _Count] = {}  # of these, those that somebody waits for
        self._unreported: list[_Count] = []  # what is known of them, to a book that may have lost it
        self._unread = asyncio.Event()
        self._waiting: list[asyncio.Future[bool | None]] = []  # for the write that is under way
        self._time = LoopTime(READ_SECONDS)
        self._outages = 0
        self.tasks = Tasks()
        self._writer: Supervised | None = None
        self._stopping = False
        self._near: dict[str, tuple[int, int]] = {}

    async def start(self) -> None:
        """Begin to write."""
        self._writer = self.tasks.supervise(f"the writer of the quota {self.name}", self._work)

    async def stop(self) -> None:
        """Write what is left, if the book takes it."""
        self._stopping = True
        self._unread.set()
        if self._writer is not None:
            await self._writer.finish()

    def span(self) -> Span:
        """The current window. It only ever moves forward, even where the clock does not."""
        now = self._clock()
        if now >= self._span.ends:
            self._span = span_at(self._unit, self._zone, now)
            self._table = self._new_table()  # what is unwritten of the old window still will be
            self._forgotten = None
            self._near = {}
        return self._span

    def seconds_left(self) -> int:
        """Until the window ends, rounded up."""
        return max(1, int(self.span().ends - self._clock()) + 1)

    def used(self, key: str) -> int | None:
        """The usage of this key; None if it is not read yet (see `read`)."""
        count = self._count(key)
        return count.used if count.read else None

    def peek(self, key: str) -> int | None:
        """The same, without keeping anything of the key."""
        self.span()
        count = self._table.peek(key)
        if count is None and self._forgotten is not None:
            return self._forgotten.used(key)
        return count.used if count is not None and count.read else None

    def add(self, key: str, amount: int = 1, span: Span | None = None) -> None:
        """Count so much: one request, where nothing is said. `span`: in that window, which may be over."""
        if span is None or span == self.span():
            count = self._count(key)
        else:
            count = self._unwritten.get((span.starts, key)) or _Count(key, span)
        count.added += amount
        self._unwritten[count.span.starts, count.key] = count

    def known(self, key: str, span: Span) -> tuple[int, int]:
        """The known state of the book for a key, and what was forgiven of it; zero if the window is over."""
        if span != self.span():
            return 0, 0
        count = self._count(key)
        return count.known, count.forgiven_known

    def learn(self, key: str, span: Span, total: int, forgiven: int) -> None:
        """Note the state of the book for a key, and what was forgiven of it, by others than this ledger."""
        if span == self.span():
            count = self._count(key)
            count.known = max(count.known, total)
            count.forgiven_known = max(count.forgiven_known, forgiven)
            count.read = True

    async def read(self, key: str) -> bool:
        """Have the count of a key read. False: the book does not answer in time."""
        count = self._count(key)
        self._ask(count)
        self._unread.set()
        patience = Patience(self._time, self.book.patience)
        while not count.read and self.book.available and not patience.over:
            written: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
            self._waiting.append(written)
            await patience.wait(written)
        return count.read

    def assume(self, key: str) -> int:
        """The usage as far as this process knows; the book's state is added when it answers again."""
        return self._count(key).used

    def limit(self, key: str, limit: int) -> int:
        """What this process may let a key use in all: while the book does not answer, no more than what it knew, and a
        share of the rest, as the others that count in it go on by themselves, too."""
        if self.book.available:
            return limit
        count = self._count(key)
        heard = max(0, count.known - count.forgiven_known)
        return min(limit, heard + max(0, limit - heard) // self.book.replicas)

    def note_near(self, key: str, used: int, limit: int) -> None:
        """So much of the limit of a key is used that people may want to know."""
        self.keep(key)
        if key in self._near or len(self._near) < MOST_NEAR:
            self._near[key] = used, limit

    @property
    def near(self) -> Mapping[str, tuple[int, int]]:
        """The usage of each limit, by key, of those that were recorded in the current window."""
        self.span()
        return self._near

    async def refresh(self, keys: Sequence[str]) -> None:
        """Have these counts read again, as they are in the book by now, if it answers in time."""
        for key in keys:
            self.look(key)
        patience = Patience(self._time, self.book.patience)
        for _ in range(-(-self.pending // BATCH)):  # writes that it takes
            self._unread.set()
            written: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
            self._waiting.append(written)
            await patience.wait(written)

    def largest(self, most: int) -> list[tuple[str, int]]:
        """The keys of the current window of which most was used, as far as this process knows, with how much."""
        self.span()
        used = ((count.key, count.used) for count in self._table.slots() if count.used)
        return nlargest(most, used, key=lambda each: each[1])

    def look(self, key: str) -> None:
        """Have the count of a key read again with the next batch."""
        self._ask(self._count(key))

    def keep(self, key: str) -> None:
        """Have other keys leave the table before this one, which is near its limit: until it is read again, it would
        seem to have used nothing."""
        count = self._table.by_key.get(key)
        if count is not None:
            count.near = True

    async def reset(self, key: str) -> int | None:
        """Forgive what was used of this key, here at once, and for others that count in the same book when they look
        next. Answers how much it was; None where the book does not answer."""
        if self.used(key) is None and not await self.read(key):
            return None
        count = self._count(key)
        used = count.used
        count.forgiven += used
        count.near = False
        self._near.pop(key, None)
        self._unwritten[count.span.starts, count.key] = count
        self._unread.set()
        return used

    @property
    def pending(self) -> int:
        """Counts that are still to be written, or read."""
        return len(self._unwritten) + len(self._unreported)

    def _count(self, key: str) -> _Count:
        self.span()
        return self._table.slot(key, 0)

    def _new_table(self) -> Table[_Count]:
        if self.book.keeps:
            return Table(self._make, _idle, self._most, last=_is_near)
        return Table(self._make, _idle_here, self._most, self._forget)

    def _ask(self, count: _Count) -> None:
        place = count.span.starts, count.key
        self._unwritten[place] = count
        if not count.read:
            self._asked[place] = count

    def _make(self, key: str, shared: _Count | None) -> _Count:
        count = _Count(key, self._span)
        if self._forgotten is not None:
            count.known = self._forgotten.used(key)
        return count

    def _forget(self, count: _Count) -> None:
        if count.known:
            self._forgotten = self._forgotten or Forgotten()
            self._forgotten.note(count.key, count.known)

    # In the background.

    async def _work(self) -> None:
        wrote = True
        while not self._stopping or (wrote and (self._unwritten or self._unreported)):
            if self._outages != self.book.outages:
                # The book was unavailable, and may have lost its data: report all that is known here.
                self._outages = self.book.outages
                self._unreported = [count for count in self._table.slots() if count.read]
            batch = self._batch()
            wrote = not batch or await self._write(batch)
            # Those who wait for a count: it may be read now.
            waiting, self._waiting = self._waiting, []
            for written in waiting:
                if not written.done():
                    written.set_result(True)
            if not self._stopping and not (wrote and self._has_much):
                # Until it is time to write, or, where that helps, until a request waits for a count.
                if not wrote:
                    self._unread.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(WRITE_SECONDS):
                        await self._unread.wait()
                self._unread.clear()
                wrote = True  # as far as is known: it is tried once more before this ends

    def _batch(self) -> Sequence[_Count]:
        """What to write next: reports, and then what is not read yet, before all else while nothing may be added, and
        otherwise in half of the batch, so that the others are written, too."""
        if self._unreported:
            return self._unreported[:BATCH]
        if not self._may_add and (unread := [count for count in self._unwritten.values() if not count.read]):
            return unread[:BATCH]
        others = (count for place, count in self._unwritten.items() if place not in self._asked)
        rest = list(islice(others, BATCH - min(len(self._asked), BATCH // 2)))
        return [*islice(self._asked.values(), BATCH - len(rest)), *rest]

    @property
    def _may_add(self) -> bool:
        return not self._unreported and (self.book.available or self._stopping)

    @property
    def _has_much(self) -> bool:
        return bool(self._unreported) or (self._may_add and len(self._unwritten) >= BATCH)

    async def _write(self, batch: Sequence[_Count]) -> bool:
        """False: the book did not answer."""
        reported = len(batch) if self._unreported else 0
        adding = self._may_add
        credits = [count.forgiven if adding else 0 for count in batch]
        increments = []
        for count, credit in zip(batch, credits, strict=True):
            count.sent = count.added if adding else 0
            increments.append(Increment(self.name, count.key, count.span, count.known, count.sent))
            increments.append(Increment(self.name, CREDIT + count.key, count.span, count.forgiven_known, credit))
        totals = await self.book.write(increments)
        if totals is None:
            return False
        for count, credit, total, forgiven_known in zip(batch, credits, totals[::2], totals[1::2], strict=True):
            count.known, count.forgiven_known = total, forgiven_known
            count.added -= count.sent
            count.forgiven -= credit
            count.read = True
            self._asked.pop((count.span.starts, count.key), None)
            if not count.added and not count.forgiven:
                self._unwritten.pop((count.span.starts, count.key), None)
        del self._unreported[:reported]
        return True


def _idle(count: _Count, now: int) -> bool:
    """Whether it may be forgotten: the book knows it all, and can be asked again."""
    return count.read and not count.added and not count.forgiven


def _is_near(count: _Count) -> bool:
    return count.near


def _idle_here(count: _Count, now: int) -> bool:
    """The same where only what was used is kept: what was forgiven of it stays in the table."""
    return _idle(count, now) and not count.forgiven_known
