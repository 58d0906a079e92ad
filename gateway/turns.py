"""Whose turn it is to have more of its bytes parsed.

A read of 64 KiB can hold ten thousand chunks of one byte, which take milliseconds to parse, and a thousand clients may
send such bodies. Each gets a small share at once; for more, it waits in a queue that has a bounded time in each turn of
the loop, so that others, who sent little, are not held up.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final, Protocol

BUDGET: Final = 0.002  # seconds of each turn of the loop, for all who wait


class Waiting(Protocol):
    """Who has more to do than its share."""

    def go_on(self) -> None:
        """Do a share of it, and join the queue again if that was not all."""
        ...


class Turns:
    """The queue of one loop."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()

    def join(self, waiting: Waiting) -> None:
        """Go on in this turn of the loop if there is time, or in one of the next."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        self._waiting.append(waiting)

    def _run(self) -> None:
        waiting = self._waiting
        ends = time.perf_counter() + BUDGET
        while True:
            # The first stays in the queue meanwhile: who joins then starts no second run.
            waiting[0].go_on()
            waiting.popleft()
            if not waiting:
                return
            if time.perf_counter() >= ends:
                asyncio.get_running_loop().call_soon(self._run)
                return
