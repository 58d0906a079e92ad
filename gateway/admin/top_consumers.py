"""Who calls most: the counts of consumers, compared with those of up to a minute ago."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from heapq import nlargest
from typing import Final

SHOWN: Final = 8
SECONDS: Final = 60.0  # over which is looked, at most
EVERY: Final = 5.0  # seconds between two counts that are kept


class TopConsumers:
    """The busiest consumers, counted only while the page is open."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, Mapping[str, int]]] = deque(maxlen=int(SECONDS / EVERY) + 1)

    def shown(self, counts: Mapping[str, int], now: float) -> list[tuple[str, float]]:
        """Names and requests per second, the busiest first. `counts`: of all requests so far; `now`: of any clock."""
        while self._kept and now - self._kept[0][0] > SECONDS + EVERY:
            self._kept.popleft()
        if not self._kept or now - self._kept[-1][0] >= EVERY:
            self._kept.append((now, dict(counts)))
        at, before = self._kept[0]
        if now <= at:
            return []
        rates = ((name, (count - before.get(name, 0)) / (now - at)) for name, count in counts.items())
        return nlargest(SHOWN, (each for each in rates if each[1] > 0), key=lambda each: each[1])
