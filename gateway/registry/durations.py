"""How long something took, as a histogram."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BUCKETS: Final = (0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 30.0)  # seconds


class Durations:
    """A histogram of durations."""

    __slots__ = ("_counts", "last", "total")

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0
        self.last: float | None = None

    def observe(self, seconds: float) -> None:
        """One more."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds
        self.last = seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """In Prometheus's terms: bounds, and how many were at most that long."""
        running, buckets = 0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self._counts, strict=True):
            running += count
            buckets.append((bound, float(running)))
        return buckets
