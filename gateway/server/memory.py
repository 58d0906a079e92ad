"""Gives memory back to the system after a crowd of clients has left.

What a thousand connections needed is free afterwards, but in pieces that are kept for the next crowd.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sized
from typing import Final

from gateway.live.free_memory import give_back

CROWD: Final = 200  # connections from which it is worth it
INTERVAL: Final = 2.0  # seconds


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
