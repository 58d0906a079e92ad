"""How long an answer of the admin port keeps everything else of the gateway waiting."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support import slowness


@asynccontextmanager
async def short_turns(seconds: float) -> AsyncIterator[None]:
    """Have the block's work in turns of the event loop of which each computes for less than this."""
    longest, ended = 0.0, False

    async def watch() -> None:
        nonlocal longest
        while not ended:
            began = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - began)

    gc.collect()
    gc.disable()  # what other tests have left is none of this
    try:
        before = slowness()
        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)  # it has begun
        yield
        ended = True
        await watching
    finally:
        ended = True
        gc.enable()
    assert longest < seconds * max(before, slowness()), f"the loop was held for {longest:.3f} s"
