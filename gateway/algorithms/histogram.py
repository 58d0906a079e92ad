"""How often something took how long, as Prometheus has it."""

from __future__ import annotations

from bisect import bisect_left


class Histogram:
    """Durations, in seconds, counted between `bounds`, which are in ascending order."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.total = 0.0  # of all durations
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)

    def observe(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Each bound, and how many took at most so long."""
        running, buckets = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            buckets.append((bound, float(running)))
        return buckets
