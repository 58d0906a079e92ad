"""How many bodies were how large: counts between powers of two, which is an exponential histogram of scale 0."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

HIGHEST: Final = 40  # 2 ** 40 bytes are a TiB; what is larger counts as that


class Sizes:
    """`counts[i]` is of what is in (2 ** (i - 1), 2 ** i] bytes. Bounds that are powers of two are exact."""

    __slots__ = ("count", "counts", "total", "zeros")

    def __init__(self) -> None:
        self.counts = array("Q")  # up to the largest that was seen
        self.zeros = 0
        self.count = 0
        self.total = 0  # bytes

    def add(self, size: int) -> None:
        """Count one of so many bytes."""
        self.count += 1
        if size <= 0:
            self.zeros += 1
            return
        self.total += size
        at = min((size - 1).bit_length(), HIGHEST)
        if at >= len(self.counts):
            self.cover(at)
        self.counts[at] += 1

    def cover(self, highest: int) -> None:
        """Extend the array to this index."""
        self.counts.extend([0] * (highest + 1 - len(self.counts)))

    def merge(self, other: Sizes) -> None:
        """Count all that the other has counted, too."""
        self.count += other.count
        self.zeros += other.zeros
        self.total += other.total
        self.cover(len(other.counts) - 1)
        for at, count in enumerate(other.counts):
            self.counts[at] += count

    def copy(self) -> Sizes:
        """The same, as of now."""
        made = Sizes()
        made.counts, made.zeros, made.count, made.total = self.counts[:], self.zeros, self.count, self.total
        return made

    def filled(self) -> Iterator[tuple[int, int]]:
        """Each index of which there is a count, and that; in ascending order, without empty bodies."""
        return ((at, count) for at, count in enumerate(self.counts) if count)

    def cumulative(self, bounds: tuple[float, ...]) -> list[int]:
        """How many have at most so many bytes, for each of `bounds` (in ascending order), and how many there are."""
        at_most, running, filled, at = [], self.zeros, list(self.filled()), 0
        for bound in bounds:
            while at < len(filled) and 2.0 ** filled[at][0] <= bound:
                running += filled[at][1]
                at += 1
            at_most.append(running)
        return [*at_most, self.count]
