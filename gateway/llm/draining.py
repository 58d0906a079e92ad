"""Streams whose clients went away, read to their end for the sake of an exact bill: so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

SECONDS: Final = 600.0  # that one may take


class Stream(Protocol):
    """The rest of a stream."""

    async def following(self) -> bytes:
        """The next piece; b"" at the end."""
        ...


class Drains:
    """Those of one gateway."""

    def __init__(self) -> None:
        self.most = 0
        self._running: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """How many are read now."""
        return len(self._running)

    def take(self, stream: Stream, over: Callable[[], None]) -> bool:
        """Read a stream to its end, and call `over` then; False where there are as many as there may be."""
        if len(self._running) >= self.most:
            return False
        task = asyncio.get_running_loop().create_task(self._drain(stream, over))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    async def _drain(self, stream: Stream, over: Callable[[], None]) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                while await stream.following():
                    pass
        except TimeoutError:
            pass  # what came of it is counted
        finally:
            over()

    async def stop(self) -> None:
        """Give all of them up: what came of them is counted."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
