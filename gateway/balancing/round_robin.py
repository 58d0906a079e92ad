"""Smooth weighted round robin: each endpoint gets its share, and the shares are spread evenly over time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Generic, TypeVar

E = TypeVar("E")


class RoundRobin(Generic[E]):
    """Picks by nginx's smooth weighting: the one whose credit has grown most goes next, and pays for all of them.

    Only those that may be picked take part, so the credits always add up to zero: endpoints that are left out for
    a while neither save up for later nor fall into debt.
    """

    __slots__ = ("_credits", "_endpoints", "_weights")

    def __init__(self, endpoints: Sequence[tuple[E, int]]) -> None:
        self._endpoints = [endpoint for endpoint, _ in endpoints]
        self._weights = [weight for _, weight in endpoints]
        self._credits = [0] * len(endpoints)

    def pick(self, excluded: Collection[E] = ()) -> E | None:
        """The next endpoint, or None where all are excluded."""
        if len(self._endpoints) == 1:
            return self._endpoints[0] if self._endpoints[0] not in excluded else None
        best, total = -1, 0
        for index, weight in enumerate(self._weights):
            if self._endpoints[index] in excluded:
                continue
            self._credits[index] += weight
            total += weight
            if best < 0 or self._credits[index] > self._credits[best]:
                best = index
        if best < 0:
            return None
        self._credits[best] -= total
        return self._endpoints[best]
