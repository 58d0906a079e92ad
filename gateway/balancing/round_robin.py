"""Smooth weighted round robin: each endpoint gets its share, and the shares are spread evenly over time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Generic, TypeVar

E = TypeVar("E")


class RoundRobin(Generic[E]):
    """Picks by nginx's smooth weighting: the one whose credit has grown most goes next, and pays the total for it."""

    __slots__ = ("_credits", "_endpoints", "_total", "_weights")

    def __init__(self, endpoints: Sequence[tuple[E, int]]) -> None:
        self._endpoints = [endpoint for endpoint, _ in endpoints]
        self._weights = [weight for _, weight in endpoints]
        self._credits = [0] * len(endpoints)
        self._total = sum(self._weights)

    def pick(self, excluded: Collection[E] = ()) -> E | None:
        """The next endpoint, or None where all are excluded."""
        if len(self._endpoints) == 1:
            return self._endpoints[0] if self._endpoints[0] not in excluded else None
        best = -1
        for index, weight in enumerate(self._weights):
            self._credits[index] += weight
            if self._endpoints[index] not in excluded and (best < 0 or self._credits[index] > self._credits[best]):
                best = index
        if best < 0:
            return None
        self._credits[best] -= self._total
        return self._endpoints[best]
