"""Draws by weight, one number or two different ones, of running sums: cheap to make anew whenever weights change."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate


class WeightedDraw:
    """Numbers from 0, each in proportion to its weight. `random` is drawn from [0, 1)."""

    __slots__ = ("_even", "_number", "_sums", "_total", "_weights")

    def __init__(self, weights: Sequence[float]) -> None:
        """Any number of weights, all above zero."""
        self._number = len(weights)
        self._weights = list(weights)
        self._sums = list(accumulate(weights))
        self._total = self._sums[-1] if weights else 0.0
        self._even = not weights or min(weights) == max(weights)

    def draw(self, random: float) -> int:
        """One of them. There is at least one."""
        if self._even:
            return int(random * self._number)
        return self._at(random * self._total)

    def draw_other(self, first: int, random: float) -> int:
        """One that is not the first, in proportion to the weights of the rest. There are at least two."""
        if self._even:
            other = int(random * (self._number - 1))
            return other + 1 if other >= first else other
        weight = self._weights[first]
        point = random * (self._total - weight)
        other = self._at(point + weight if point >= self._sums[first] - weight else point)
        if other == first:  # by rounding
            return first - 1 if first else 1
        return other

    def _at(self, point: float) -> int:
        return min(bisect_right(self._sums, point), self._number - 1)
