"""Long work of the event loop, a little in each of its turns, between which requests are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Final, TypeVar

SLICE: Final = 0.001  # seconds of a turn of the loop
PAUSE: Final = 0.001  # seconds until the next such turn
PIECES_AT_ONCE: Final = 50  # that are freed in a turn

T = TypeVar("T")


async def paced(steps: Generator[None, None, T], pause: float = PAUSE) -> T:
    """The result of work in steps, of which each takes less than a SLICE."""
    ends = time.perf_counter() + SLICE
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if time.perf_counter() >= ends:
            await asyncio.sleep(pause)
            ends = time.perf_counter() + SLICE


async def let_go(pieces: list[object]) -> None:
    """Free what nothing else uses any more little by little: at once it would hold up requests for long."""
    while pieces:
        del pieces[-PIECES_AT_ONCE:]
        await asyncio.sleep(0)
