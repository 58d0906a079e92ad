"""Percentiles of durations from counts in buckets whose borders grow by a constant factor (DDSketch, VLDB 2019).

The factor is 2 ** (1 / 32), that of exponential histograms of scale 5, so that a sketch can be exported as one. Every
percentile is within 1.1% of the value that it stands for.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

SCALE: Final = 5  # of the exponential histogram that a sketch is
PER_OCTAVE: Final = 2**SCALE
SMALLEST: Final = 2.0**-20  # a microsecond; what is shorter counts as nothing
HIGHEST: Final = 44 * PER_OCTAVE  # index; longer than a lifetime. So there are never more than 2,048 buckets
LOWEST: Final = 1 - 20 * PER_OCTAVE  # index
_FACTOR: Final = 2.0 ** (1 / PER_OCTAVE)
ERROR: Final = (_FACTOR - 1) / (_FACTOR + 1)
_HEAD: Final = struct.Struct("<dQ")  # total, zeros


class Sketch:
    """How often each duration, in seconds, has been seen.

    `counts[i]` is of what is in (factor ** (first + i - 1), factor ** (first + i)]. A bucket takes eight bytes, from
    the shortest to the longest that was seen. What two processes counted is added up by `merge`.
    """

    __slots__ = ("count", "counts", "first", "total", "zeros")

    def __init__(self) -> None:
        self.counts = array("Q")
        self.first = 0
        self.zeros = 0
        self.count = 0
        self.total = 0.0  # seconds

    def add(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        self.total += seconds
        if seconds <= SMALLEST:
            self.zeros += 1
            return
        at = math.ceil(math.log2(seconds) * PER_OCTAVE) - self.first
        if not 0 <= at < len(self.counts):
            # Make room for one that is outside of what there is. Answers where it is then.
            index = min(max(at + self.first, LOWEST), HIGHEST)
            self.cover(index, index)
            at = index - self.first
        self.counts[at] += 1

    def cover(self, lowest: int, highest: int) -> None:
        """Extend the array to hold indexes from this to that one."""
        if not self.counts:
            self.first = lowest
        below = max(0, self.first - lowest)
        above = max(0, highest + 1 - self.first - len(self.counts))
        if below or above:
            self.counts = array("Q", bytes(8 * below)) + self.counts + array("Q", bytes(8 * above))
            self.first -= below

    def merge(self, other: Sketch) -> None:
        """Count all that the other has counted, too."""
        self.count += other.count
        self.zeros += other.zeros
        self.total += other.total
        if not other.counts:
            return
        self.cover(other.first, other.first + len(other.counts) - 1)
        counts, at = self.counts, other.first - self.first
        for count in other.counts:
            if count:
                counts[at] += count
            at += 1

    def merge_within(self, other: Sketch) -> None:
        """The same without taking more memory, where anything was counted: what is outside counts at the ends."""
        self.count += other.count
        self.total += other.total
        self.zeros += other.zeros
        last = len(self.counts) - 1
        for index, count in other.filled():
            self.counts[min(max(index - self.first, 0), last)] += count

    def copy(self) -> Sketch:
        """The same, as of now."""
        made = Sketch()
        made.counts, made.first, made.zeros = self.counts[:], self.first, self.zeros
        made.count, made.total = self.count, self.total
        return made

    def minus(self, earlier: Sketch) -> Sketch:
        """The counts since `earlier`, a copy of this."""
        made = Sketch()
        made.zeros, made.count = self.zeros - earlier.zeros, self.count - earlier.count
        made.total = self.total - earlier.total
        known = dict(earlier.filled())
        fresh = [(index, count - known.get(index, 0)) for index, count in self.filled()]
        made._take([(index, count) for index, count in fresh if count > 0])
        return made

    def _take(self, filled: Sequence[tuple[int, int]]) -> None:
        if filled:
            self.cover(filled[0][0], filled[-1][0])
            for index, count in filled:
                self.counts[index - self.first] = count

    def filled(self) -> Iterator[tuple[int, int]]:
        """Each index of which there is a count, and that; in ascending order, without what counts as nothing."""
        first = self.first
        return ((first + at, count) for at, count in enumerate(self.counts) if count)

    def quantile(self, q: float) -> float:
        """The value of rank q * (count - 1) in ascending order, of [0, 1]; 0 where nothing was counted."""
        seen, rank = self.zeros, q * (self.count - 1)
        if seen > rank or not self.count:
            return 0.0
        for index, count in self.filled():
            seen += count
            if seen > rank:
                return middle(index)
        raise AssertionError("the last bucket completes the count")

    def cumulative(self, bounds: tuple[float, ...]) -> list[int]:
        """How many took at most so long, for each of `bounds` (in ascending order), and how many there are at all.

        A bucket is on the side of a bound on which its middle is: what is within 1.1% of it may be on either.
        """
        at_most, running, begin, counts = [], self.zeros, 0, self.counts
        for last in _last_within(bounds):
            end = min(last + 1 - self.first, len(counts))
            if end > begin:
                running += sum(counts[begin:end])
                begin = end
            at_most.append(running)
        return [*at_most, self.count]

    def to_bytes(self) -> bytes:
        """All of it in a few bytes for each bucket that is not empty, for `from_bytes`."""
        written, former = bytearray(_HEAD.pack(self.total, self.zeros)), LOWEST
        for index, count in self.filled():
            _write(written, index - former)
            _write(written, count)
            former = index
        return bytes(written)

    @classmethod
    def from_bytes(cls, data: bytes) -> Sketch:
        """Raises ValueError for what `to_bytes` does not make."""
        if len(data) < _HEAD.size:
            raise ValueError("a sketch begins with a sum and a count")
        made = cls()
        made.total, made.zeros = _HEAD.unpack_from(data)
        numbers, index = list(_read(data, _HEAD.size)), LOWEST
        if len(numbers) % 2:
            raise ValueError("an index of a sketch has no count")
        filled = []
        for gap, count in zip(numbers[::2], numbers[1::2], strict=True):
            index += gap
            filled.append((index, count))
        if index > HIGHEST or not math.isfinite(made.total) or any(not 0 < count < 2**63 for _, count in filled):
            raise ValueError("a sketch has an index or a count that is out of range")
        made._take(filled)
        made.count = made.zeros + sum(count for _, count in filled)
        return made


def middle(index: int) -> float:
    """The value for which all that is in a bucket stands."""
    return 2.0 * math.exp2(index / PER_OCTAVE) / (_FACTOR + 1)


@lru_cache(maxsize=16)
def _last_within(bounds: tuple[float, ...]) -> tuple[int, ...]:
    """The index of the last bucket whose middle is within each of these."""
    found = []
    for bound in bounds:
        index = math.ceil(math.log2(bound) * PER_OCTAVE) + 1
        while middle(index) > bound:
            index -= 1
        found.append(index)
    return tuple(found)


def _write(written: bytearray, number: int) -> None:
    """Seven bits to a byte, the lowest first (LEB128)."""
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)


def _read(data: bytes, start: int) -> Iterator[int]:
    number = shift = 0
    for byte in data[start:]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
        elif shift > 63:
            break
    if shift:
        raise ValueError("a sketch ends within a number, or has one that is too long")


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
