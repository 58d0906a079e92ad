"""Recent failures of an endpoint, counted as if those requests were still in flight there.

A fast failure makes an endpoint look idle and fast, which would bring it more requests. So each failure keeps its place
for a while: it counts as one request, and decays. One number and one time constant stand for all of them: the constant
is the mean time for which the failures that still count are to be kept.
"""

from __future__ import annotations

import math
from typing import Final

_NOTHING: Final = 0.01  # requests, below which it counts as none


class HeldSlots:
    """The held slots of one endpoint. Times are seconds of one clock."""

    __slots__ = ("_at", "_held", "_seconds")

    def __init__(self) -> None:
        self._held = 0.0
        self._seconds = 1.0  # until it has decayed to 1 / e
        self._at = 0.0

    def hold(self, seconds: float, now: float) -> None:
        """A request failed: keep its place for about so long."""
        held = self.held(now)
        self._seconds = (held * self._seconds + seconds) / (held + 1)
        self._held = held + 1
        self._at = now

    def held(self, now: float) -> float:
        """How many requests they count for now; 0 once it is next to nothing."""
        held = self._held * math.exp(-max(0.0, now - self._at) / self._seconds)
        return held if held > _NOTHING else 0.0
