"""Time that does not jump, whatever becomes of the clock of the machine."""

from __future__ import annotations

import time


class SteadyClock:
    """Begins at Unix time, and goes on evenly."""

    def __init__(self) -> None:
        self._base = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds."""
        return self._base + time.monotonic()

    def offset(self) -> float:
        """The offset to Unix time: how far the clock of the machine was set since."""
        return time.time() - self.now()
