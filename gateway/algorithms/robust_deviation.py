"""How far a value is from what is usual, not misled by what was unusual before (Iglewicz and Hoaglin, 1993)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

UNUSUAL: Final = 3.5
"""A value that is farther away than this is an anomaly."""
_OF_NORMAL: Final = 1.4826  # what the median absolute deviation of a normal distribution times this is: its deviation


class Usual:
    """Median and deviation of some values. `floor` is the least deviation, in their unit."""

    __slots__ = ("deviation", "middle")

    def __init__(self, values: Sequence[float], floor: float) -> None:
        """Computes it for at least one value."""
        self.middle = median(values)
        spread = median(abs(value - self.middle) for value in values)
        self.deviation = max(_OF_NORMAL * spread, floor)

    def distance(self, value: float) -> float:
        """In deviations, without a sign."""
        return abs(value - self.middle) / self.deviation
