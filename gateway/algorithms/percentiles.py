"""Percentiles of durations from counts in buckets whose borders grow by a constant factor (DDSketch, VLDB 2019).

The factor is 2 ** (1 / 32), that of exponential histograms of scale 5, so that a sketch can be exported as one. Every
percentile is within 1.1% of the value that it stands for.
"""

from __future__ import annotations

import math
from typing import Final

_PER_OCTAVE: Final = 32
_FACTOR: Final = 2.0 ** (1 / _PER_OCTAVE)
_SMALLEST: Final = 2.0**-20  # a microsecond; what is shorter counts as nothing
_HIGHEST: Final = 44 * _PER_OCTAVE  # index; longer than a lifetime. So there are never more than 2,048 buckets
ERROR: Final = (_FACTOR - 1) / (_FACTOR + 1)


class Sketch:
    """How often each duration, in seconds, has been seen."""

    __slots__ = ("buckets", "count", "zeros")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}  # number i holds what is in (factor ** (i - 1), factor ** i]
        self.zeros = 0
        self.count = 0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        if seconds <= _SMALLEST:
            self.zeros += 1
            return
        index = min(math.ceil(math.log2(seconds) * _PER_OCTAVE), _HIGHEST)
        self.buckets[index] = self.buckets.get(index, 0) + 1

    def merge(self, other: Sketch) -> None:
        """Count all that the other has counted, too."""
        self.count += other.count
        self.zeros += other.zeros
        for index, count in other.buckets.items():
            self.buckets[index] = self.buckets.get(index, 0) + count

    def quantile(self, q: float) -> float:
        """The value of rank q * (count - 1) in ascending order, of [0, 1]; 0 where nothing was counted."""
        seen, rank = self.zeros, q * (self.count - 1)
        if seen > rank or not self.count:
            return 0.0
        for index in sorted(self.buckets):
            seen += self.buckets[index]
            if seen > rank:
                return 2.0 * math.exp2(index / _PER_OCTAVE) / (_FACTOR + 1)
        raise AssertionError("the last bucket completes the count")


class RecentQuantile:
    """One quantile of what came lately: in the last `seconds` to twice as long. Computed once a second at most."""

    __slots__ = ("_computed", "_current", "_former", "_minimum", "_q", "_renewed", "_seconds", "_value")

    def __init__(self, q: float, seconds: float = 30.0, minimum: int = 20) -> None:
        """Below `minimum` values there is no answer."""
        self._q = q
        self._seconds = seconds
        self._minimum = minimum
        self._current = Sketch()
        self._former = Sketch()
        self._renewed = -math.inf  # when the current one was begun
        self._computed = -math.inf
        self._value: float | None = None

    def add(self, seconds: float, now: float) -> None:
        """Count one."""
        if now >= self._renewed + self._seconds:
            self._renew(now)
        self._current.add(seconds)

    def value(self, now: float) -> float | None:
        """Seconds; None where too little is known."""
        if now >= self._computed + 1:
            if now >= self._renewed + self._seconds:
                self._renew(now)
            both = Sketch()
            both.merge(self._current)
            both.merge(self._former)
            self._computed = now
            self._value = both.quantile(self._q) if both.count >= self._minimum else None
        return self._value

    def _renew(self, now: float) -> None:
        self._former = self._current if now < self._renewed + 2 * self._seconds else Sketch()
        self._current = Sketch()
        self._renewed = now
