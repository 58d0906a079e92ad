"""Has something happened so many times within so long? A sliding window log: exact, for a bounded number of keys.

The keys of the latest events are kept. To be forgotten, a key needs events of as many others in between.
"""

from __future__ import annotations

from collections.abc import Hashable

MAX_LIMIT = 100  # events that are remembered of a key


class SlidingWindow:
    """The times of the latest events of each key, in seconds of any clock that does not go back."""

    __slots__ = ("_capacity", "_times")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._times: dict[Hashable, list[float]] = {}

    def add(self, key: Hashable, now: float, *, limit: int, window: float) -> bool:
        """Count one more event. True: it is number `limit` within `window` seconds, and counting begins anew."""
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
