"""How late the event loop is: by how much a timer is called after its time."""

from __future__ import annotations

import asyncio
from typing import Final

TICK: Final = 0.05  # seconds
_KEPT: Final = 0.7  # of the former value, where the new one is lower


class LoopLag:
    """Looks at the loop twenty times a second, from `start` on."""

    __slots__ = ("_due", "_loop", "_timer", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0  # rises at once, and falls over some ticks
        self._loop: asyncio.AbstractEventLoop
        self._timer: asyncio.TimerHandle
        self._due = 0.0

    async def start(self) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        self._begin()

    async def stop(self) -> None:
        """End."""
        self._timer.cancel()

    def measures(self) -> dict[str, float]:
        """See `Measured`."""
        return {"gateway_loop_lag_seconds": self.seconds}

    def _begin(self) -> None:
        self._due = self._loop.time() + TICK
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        late = max(0.0, self._loop.time() - self._due)
        self.seconds = max(late, _KEPT * self.seconds + (1 - _KEPT) * late)
        self._begin()
