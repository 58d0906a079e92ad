"""Who has done something so many times within so long: exactly, for a bounded number of keys.

The keys that struck last are kept. Whoever wants to be forgotten must strike with as many others in between.
"""

from __future__ import annotations

from collections.abc import Hashable

MAX_LIMIT = 100  # strikes that are remembered of a key


class Strikes:
    """When each key struck last. Times are seconds of any clock that does not go back."""

    __slots__ = ("_capacity", "_times")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._times: dict[Hashable, list[float]] = {}

    def strike(self, key: Hashable, now: float, *, limit: int, window: float) -> bool:
        """Note one more. True: it is number `limit` within `window` seconds, and counting begins anew."""
        times = [time for time in self._times.pop(key, ()) if time > now - window]
        times.append(now)
        if len(times) >= limit:
            return True
        if len(self._times) >= self._capacity:
            del self._times[next(iter(self._times))]
        self._times[key] = times
        return False

    def __len__(self) -> int:
        return len(self._times)


def growing(first: float, times: int, longest: float) -> float:
    """How long something takes the `times`-th time (from 1), when it doubles each time."""
    return min(first * 2.0 ** min(times - 1, 60), longest)
