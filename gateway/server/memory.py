"""Gives memory back to the system after a crowd of clients has left.

What a thousand connections needed is free afterwards, but in pieces that the C library keeps for the next crowd.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable, Sized
from typing import Final

CROWD: Final = 200  # connections from which it is worth it
INTERVAL: Final = 2.0  # seconds


def _trim() -> Callable[[int], int] | None:
    """What glibc has for it; other C libraries give back what is free by themselves, or not at all."""
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return trim


async def give_memory_back(connections: Sized) -> None:
    """Look at the number of connections from time to time, for ever."""
    trim = _trim()
    most = 0
    while True:
        await asyncio.sleep(INTERVAL)
        now = len(connections)
        if most >= CROWD and now < most // 4:
            gc.collect()  # of what has come since the last reload: all else is frozen
            if trim is not None:
                trim(0)
            most = 0
        most = max(most, now)
