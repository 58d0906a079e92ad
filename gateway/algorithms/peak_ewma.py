"""A moving average of response times that believes bad news at once and good news slowly (Finagle's peak EWMA)."""

from __future__ import annotations

import math
from typing import Final

DECAY: Final = 10.0  # seconds, after which a former time counts 1 / e
UNKNOWN: Final = float(2**63 >> 16) / 1e9  # seconds: dearer than any known time


class PeakEwma:
    """The cost of one endpoint, in seconds."""

    __slots__ = ("_at", "_cost")

    def __init__(self) -> None:
        self._cost = 0.0
        self._at = 0.0

    def observe(self, seconds: float, now: float) -> None:
        """Record a latency. For failures and refusals, pass the time for which to avoid the endpoint."""
        cost = self.cost(now)
        kept = math.exp(-max(0.0, now - self._at) / DECAY)
        self._cost = seconds if seconds > self._cost else cost + seconds * (1 - kept)
        self._at = max(self._at, now)

    def cost(self, now: float) -> float:
        """The average as of now: what has not been asked for a while becomes cheaper."""
        return self._cost * math.exp(-max(0.0, now - self._at) / DECAY)

    def load(self, in_flight: float, now: float) -> float:
        """The estimated latency of one more request. Until the first answer, no other request should follow."""
        if self._cost == 0.0 and in_flight:
            return UNKNOWN + in_flight
        return self.cost(now) * (in_flight + 1)
