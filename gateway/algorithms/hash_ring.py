"""Consistent hashing on a ring, as Envoy builds it: each endpoint has points, and serves what lies before them.

When one of N leaves, exactly its own share of the keys goes to others.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from gateway.algorithms.stable_hash import stable_hash

SMALLEST: Final = 1024  # points
LARGEST: Final = 8_388_608


class HashRing:
    """The points of all endpoints, in order. Building it takes long: not for the event loop."""

    __slots__ = ("_owners", "_points")

    def __init__(
        self, names: Sequence[bytes], weights: Sequence[int], smallest: int = SMALLEST, largest: int = LARGEST
    ) -> None:
        """The number of points lies between the two, and gives a whole number of them to the lightest endpoint."""
        total = sum(weights)
        lightest = min(weights) / total
        size = min(math.ceil(lightest * smallest) / lightest, largest)
        points: list[tuple[int, int]] = []
        target = 0.0
        for index, (name, weight) in sorted(enumerate(zip(names, weights, strict=True)), key=lambda pair: pair[1]):
            target += size * weight / total
            copies = max(0, math.ceil(target - 1e-9) - len(points))
            points += [(stable_hash(b"%b_%d" % (name, copy)), index) for copy in range(copies)]
        points.sort()
        self._points = [point for point, _ in points]
        self._owners = [owner for _, owner in points]

    def __len__(self) -> int:
        return len(self._points)

    def owner(self, hashed: int) -> int:
        """The number of the endpoint whose point is the first at or after this one."""
        place = bisect_left(self._points, hashed)
        return self._owners[place if place < len(self._owners) else 0]
