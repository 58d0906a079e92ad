"""Schedules health checks: one queue and one timer for the endpoints of all services."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Final, Protocol

from gateway.deadlines import NEVER

TOGETHER: Final = 0.01  # seconds; what is due within them begins together, which is cheaper than one by one
SPARE: Final = 1024  # entries of removed endpoints, which may stay in the queue until their time


class Due(Protocol):
    """An entry of the queue."""

    gone: bool  # it is not checked any more

    def begin(self) -> None:
        """Its time has come. It calls `ended` afterwards, at once or later. Must not raise."""
        ...


class ProbeTurns:
    """Keeps the checks of all services apart: after a start with many of them, each waits for its turn."""

    def __init__(self, per_second: float = 500.0, at_once: int = 200) -> None:
        """`at_once` may be under way; each has a socket for as long as its time-out."""
        self._apart = 1 / per_second
        self._at_once = at_once
        self._queue: list[tuple[float, int, Due]] = []  # a heap; the number makes each unlike the others
        self._numbers = itertools.count()
        self._gone = 0  # how many of the queue are
        self._under_way = 0
        self._free = 0.0  # the next moment that no check has taken
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = 0.0  # when that fires

    @property
    def next_due(self) -> float:
        """The due time of the first pending check; time.perf_counter()."""
        return self._queue[0][0] if self._queue else NEVER

    def plan(self, watched: Due, due: float) -> None:
        """Begin it then, or as soon as there is room. `due` is time.perf_counter()."""
        heapq.heappush(self._queue, (due, next(self._numbers), watched))
        if self._timer is None or due < self._wakes:
            self._set_timer()

    def left(self) -> None:
        """A planned endpoint was removed."""
        self._gone += 1
        if self._gone > SPARE and 2 * self._gone > len(self._queue):
            self._queue = [entry for entry in self._queue if not entry[2].gone]
            heapq.heapify(self._queue)
            self._gone = 0

    def ended(self) -> None:
        """One that was begun has ended."""
        self._under_way -= 1
        if self._timer is None:
            self._set_timer()

    def _wake(self) -> None:
        self._timer = None
        now = time.perf_counter()
        while self._queue and self._under_way < self._at_once:
            due, _, watched = self._queue[0]
            if not watched.gone:
                turn = max(due, self._free)
                if turn > now + TOGETHER:
                    break
                self._free = max(now, turn) + self._apart
                self._under_way += 1
            heapq.heappop(self._queue)
            if watched.gone:
                self._gone -= 1
            else:
                watched.begin()
        self._set_timer()

    def _set_timer(self) -> None:
        """Set the timer for the next one. Without a free slot, the end of a running one sets it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queue and self._under_way < self._at_once:
            self._wakes = max(self._queue[0][0], self._free)
            delay = max(0.0, self._wakes - time.perf_counter())
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)
