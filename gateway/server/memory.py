"""Memory of a process that serves: given back after a crowd of clients has left, and in huge pages once it is large.

What a thousand connections needed is free afterwards, but in pieces that are kept for the next crowd.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sized
from typing import Final

from gateway.live.free_memory import give_back
from gateway.live.huge_pages import anonymous_bytes, use_huge_pages

CROWD: Final = 200  # connections from which it is worth it
INTERVAL: Final = 2.0  # seconds
LARGE: Final = 64 * 1024**2  # bytes, of which processors remember enough where they are
GROWN: Final = 16 * 1024**2  # bytes that have come, from which it is worth it
STILL: Final = 1024**2  # bytes that may come between two looks once it grows no more


async def give_memory_back(connections: Sized) -> None:
    """Look at the number of connections from time to time, for ever."""
    most = 0
    while True:
        await asyncio.sleep(INTERVAL)
        now = len(connections)
        if most >= CROWD and now < most // 4:
            gc.collect()  # of what has come since the last reload: all else is frozen
            give_back()
            most = 0
        most = max(most, now)


async def keep_in_huge_pages() -> None:
    """Look at the memory from time to time, for ever, and see to its pages once it has grown, and has done so."""
    before, done = 0, LARGE
    while True:
        await asyncio.sleep(INTERVAL)
        now = anonymous_bytes()
        if now - done >= GROWN and now - before < STILL:
            await asyncio.to_thread(use_huge_pages)
            done = anonymous_bytes()
        before, done = now, max(LARGE, min(done, now))
