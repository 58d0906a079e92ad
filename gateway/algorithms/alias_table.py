"""A weighted draw in constant time: Walker's alias method, with the exact construction of Vose (1991)."""

from __future__ import annotations

from collections.abc import Sequence


class AliasTable:
    """Draws numbers from 0, each in proportion to its weight.

    Each number has a column of the same width. It fills a part of its own, and another number, its alias, the rest.
    All of it is whole numbers, so the proportions are exact.
    """

    __slots__ = ("_aliases", "_own", "_total")

    def __init__(self, weights: Sequence[int]) -> None:
        """At least one weight, all above zero."""
        number = len(weights)
        self._total = sum(weights)
        self._own = [weight * number for weight in weights]  # of a column's width, which is the total
        self._aliases = list(range(number))
        short = [index for index, width in enumerate(self._own) if width < self._total]
        long = [index for index, width in enumerate(self._own) if width > self._total]
        while short:  # what one column lacks, one that has too much gives
            index, giver = short.pop(), long[-1]
            self._aliases[index] = giver
            self._own[giver] -= self._total - self._own[index]
            if self._own[giver] <= self._total:
                long.pop()
            if self._own[giver] < self._total:
                short.append(giver)

    def draw(self, random: float) -> int:
        """The number that `random`, drawn from [0, 1), stands for."""
        point = random * len(self._own)
        index = int(point)
        return index if (point - index) * self._total < self._own[index] else self._aliases[index]

    def parts(self) -> list[tuple[int, int, int]]:
        """Of each column: whose it is, what the rest belongs to, and the part of its own, of the total weight."""
        return [(index, self._aliases[index], own) for index, own in enumerate(self._own)]
