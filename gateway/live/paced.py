"""Long work of the event loop, a little in each of its turns, between which requests are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Final, TypeVar

SLICE: Final = 0.001  # seconds of a turn of the loop
PAUSE: Final = 0.001  # seconds until the next such turn

T = TypeVar("T")


async def paced(steps: Generator[None, None, T], pause: float = PAUSE) -> T:
    """What comes of work that is done in steps, of which each takes less than a SLICE."""
    ends = time.perf_counter() + SLICE
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if time.perf_counter() >= ends:
            await asyncio.sleep(pause)
            ends = time.perf_counter() + SLICE
