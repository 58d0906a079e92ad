"""Which endpoints fail, by what became of requests: windows of half a minute, for each instance. Pure.

An instance fails where half of its last attempts did; it has recovered where attempts go well again. What is out gets
no attempts: that it fails is forgotten after a minute, and the next attempts show.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Literal

from gateway.agents.recent import Recent

WINDOW: Final = 30.0  # seconds
ATTEMPTS: Final = 5  # that are needed to decide
WELL: Final = 3  # attempts in a row after which an instance that failed has recovered
SHARE: Final = 0.5  # of attempts that failed
AGAIN_SECONDS: Final = 10.0  # between two reports of the same instance
MOST: Final = 5000  # instances
MOST_KEPT: Final = 200  # attempts of one


@dataclass(frozen=True, slots=True)
class HealthChange:
    """An instance begins to fail, or has recovered."""

    service: str
    instance: str
    status: Literal["failing", "recovered"]
    error_rate: float


class _Seen:
    __slots__ = ("attempts", "failing", "fresh", "said", "well")

    def __init__(self) -> None:
        self.attempts = Recent(WINDOW, MOST_KEPT)
        self.failing = False  # as it was said last
        self.fresh = False  # there were failures since
        self.said = float("-inf")
        self.well = 0


class FailureDetector:
    """Follows attempts, and reports changes. Times only grow."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], _Seen] = OrderedDict()

    def learn(self, service: str, instance: str, now: float, *, failed: bool) -> HealthChange | None:
        """Take one attempt; the change that it makes, if any."""
        key = service, instance
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = _Seen()
            if len(self._seen) > MOST:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        seen.attempts.add(now, failed)
        seen.well = 0 if failed else seen.well + 1
        seen.fresh |= failed
        return self._change(key, seen, now)

    def _change(self, key: tuple[str, str], seen: _Seen, now: float) -> HealthChange | None:
        rate = round(seen.attempts.share, 4)
        if seen.failing and seen.well >= WELL:
            seen.failing, seen.fresh, seen.said = False, False, now
            seen.attempts.clear()
            return HealthChange(*key, "recovered", 0.0)
        bad = len(seen.attempts) >= ATTEMPTS and rate >= SHARE
        if bad and seen.fresh and now - seen.said >= AGAIN_SECONDS:
            seen.failing, seen.fresh, seen.said = True, False, now
            return HealthChange(*key, "failing", rate)
        return None
