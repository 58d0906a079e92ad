"""Consistent hashing on a ring, as Envoy builds it: each endpoint has points, and serves what lies before them.

When one of N leaves, exactly its own share of the keys goes to others.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

from gateway.algorithms.stable_hash import stable_hash

SMALLEST: Final = 1024  # points
LARGEST: Final = 8_388_608
POINT_BYTES: Final = 12  # that a point takes in memory; four times as many more while the ring is made


_PARTS: Final = 256  # of the ring, which are sorted one by one
_PAUSE: Final = 64  # points
_OWNER_BITS: Final = 32
_OWNER: Final = (1 << _OWNER_BITS) - 1


class HashRing:
    """The points of all endpoints, in order."""

    __slots__ = ("_points", "owners")

    def __init__(
        self,
        names: Sequence[bytes],
        weights: Sequence[int],
        smallest: int = SMALLEST,
        largest: int = LARGEST,
        pause: Callable[[], object] = lambda: None,
    ) -> None:
        """The number of points lies between the two, and gives a whole number of them to the lightest endpoint.

        The order in which the names are given does not matter. A hundred thousand points take some hundred
        milliseconds, in which `pause` is called again and again, so that other threads have their turn.
        """
        total = sum(weights)
        lightest = min(weights) / total
        size = min(math.ceil(lightest * smallest) / lightest, largest)
        parts: list[list[int]] = [[] for _ in range(_PARTS)]  # of points, with their owners in the lowest bits
        target, made = 0.0, 0
        for index in sorted(range(len(names)), key=lambda index: names[index]):
            target += size * weights[index] / total
            copy = 0
            while made < target - 1e-9:
                point = stable_hash(b"%b_%d" % (names[index], copy))
                parts[point * _PARTS >> 64].append(point << _OWNER_BITS | index)
                made, copy = made + 1, copy + 1
                if not made % _PAUSE:
                    pause()
        self._points = array("Q")
        self.owners = array("I")  # of each, the number of its endpoint
        for part in parts:
            part.sort()
            self._points.extend([point >> _OWNER_BITS for point in part])
            self.owners.extend([point & _OWNER for point in part])
            part.clear()  # all at once it would take long
            pause()

    def __len__(self) -> int:
        return len(self._points)

    def owner(self, hashed: int) -> int:
        """The number of the endpoint whose point is the first at or after this one."""
        place = bisect_left(self._points, hashed)
        return self.owners[place if place < len(self.owners) else 0]
