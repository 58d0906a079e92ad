"""How long to wait for something outside, without taking a delay of this process for one of it.

A plain timer cannot distinguish a slow store from a busy event loop: after a turn of half a second the timer
is due, and the answer, which came in the first millisecond, is not read yet. And an answer takes several turns of the
loop from the socket to the request that waits for it. So time is counted here in slices, and a turn of the loop that
took longer counts as one: before time is up, the loop has looked at its sockets `SLICES` times. While the loop turns
freely, this is an ordinary time limit.
"""

from __future__ import annotations

import asyncio
import time
from heapq import heappop, heappush
from typing import Any, Final, TypeVar

T = TypeVar("T")

SLICES: Final = 20
SHORTEST: Final = 0.001  # seconds of a slice: the resolution of the loop's timers
MOST: Final = 1.5  # slices that count of a turn that was a little late, as timers are


class LoopTime:
    """The time in which an event loop turned, and the time limits that are counted in it. One timer for all of them.

    `seconds` is the usual limit.
    """

    def __init__(self, seconds: float) -> None:
        self.now = 0.0  # seconds; it stands still while nothing is waited for
        self._slice = max(SHORTEST, seconds / SLICES)
        self._waits: list[tuple[float, int, asyncio.Future[Any]]] = []
        self._number = 0
        self._looked = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def limit(self, answer: asyncio.Future[T | None], due: float) -> None:
        """Set it to None when it is not done by then."""
        self._number += 1  # in the order in which they came
        heappush(self._waits, (due, self._number, answer))
        if self._timer is None:
            self._looked = time.monotonic()
            self._wind()

    def _wind(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._slice, self._tick)

    def _tick(self) -> None:
        looked, self._looked = self._looked, time.monotonic()
        passed = self._looked - looked
        late = passed > 2 * self._slice + SHORTEST
        self.now += self._slice if late else min(passed, MOST * self._slice)
        waits = self._waits
        while waits and (waits[0][0] <= self.now or waits[0][2].done()):
            _, _, answer = heappop(waits)
            if not answer.done():
                answer.set_result(None)
        self._timer = None
        if waits:
            self._wind()


class Patience:
    """Seconds of a LoopTime that may be spent waiting, in one wait or in several after each other."""

    __slots__ = ("_due", "_time", "begun")

    def __init__(self, loop_time: LoopTime, seconds: float) -> None:
        self._time = loop_time
        self._due = loop_time.now + seconds
        self.begun = False  # whether there was a wait

    @property
    def over(self) -> bool:
        """Whether all of it is spent."""
        return self._time.now >= self._due

    async def wait(self, answer: asyncio.Future[T | None]) -> T | None:
        """The result of this future, which has no other waiter; None after the time limit."""
        self.begun = True
        self._time.limit(answer, self._due)
        return await answer
