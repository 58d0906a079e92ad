from __future__ import annotations

import asyncio
import time
from collections.abc import Generator

from gateway.live.paced import paced


async def test_long_work_lets_others_run() -> None:
    """Between the steps of long work the loop turns, and what comes of it is answered."""
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_later(0.0005, turn)

    def work() -> Generator[None, None, str]:
        for _ in range(20):
            ends = time.perf_counter() + 0.0003
            while time.perf_counter() < ends:
                pass
            yield
        return "done"

    turn()
    assert await paced(work()) == "done"
    assert turns >= 5
