"""Counts of the requests of this process: of the last minute, and since the running revision was applied.

It is counted apart from the monitor, which may be switched off, and whose windows know nothing of revisions.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from gateway.algorithms.percentiles import Sketch
from gateway.http import Exchange, Outcome
from gateway.monitor.traffic import ERRORS, ended_by

if TYPE_CHECKING:  # a gateway without a control plane needs none
    from gateway.control_messages import Figures

BUCKET: Final = 10.0  # seconds
MINUTE: Final = 60.0
LONGEST: Final = 300.0  # for which durations are kept


class Bucket:
    """Requests that ended within a few seconds."""

    __slots__ = ("at", "durations", "errors", "requests")

    def __init__(self, at: float) -> None:
        self.at = at  # its beginning
        self.requests = 0
        self.errors = 0
        self.durations = Sketch()


class Counting:
    """Of all requests. `report` is what each of them calls at its end. Times are those of `time.perf_counter`."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.requests = 0  # since the start
        self.errors = 0
        self._clock = clock
        self._started = self._swapped = clock()
        self._since = Bucket(self._started)  # what the running configuration had; without its durations
        self._last = self._former = Bucket(self._started)
        self._buckets: deque[Bucket] = deque([self._last])

    def report(self, exchange: Exchange, outcome: Outcome) -> None:
        """An exchange is over. See `Report`."""
        if outcome.started + outcome.seconds - self._last.at >= BUCKET:
            self._next(self._clock())
        status = outcome.status
        failed = (exchange.error is not None or status >= 500) and (
            ended_by(exchange, exchange.error, status) in ERRORS
        )
        self.requests += 1
        self.errors += failed
        if outcome.started >= self._swapped:
            self._since.requests += 1
            self._since.errors += failed
            bucket = self._last
        else:
            bucket = self._former
        bucket.requests += 1
        bucket.errors += failed
        bucket.durations.add(outcome.seconds)

    def swapped(self) -> None:
        """Another configuration serves from now on. Requests that have begun before count as those of the former."""
        self._former = self._last
        self._swapped = self._clock()
        self._since = Bucket(self._swapped)
        self._next(self._swapped)

    def last_minute(self) -> Figures:
        """Of all requests that ended in it."""
        now = self._clock()
        since = max(self._started, now - MINUTE)
        return _figures([each for each in self._buckets if each.at >= since - BUCKET / 2], now - since)

    def since_swapped(self) -> Figures:
        """Of those that ended since."""
        now = self._clock()
        oldest = max(self._swapped, now - LONGEST)
        figures = _figures([each for each in self._buckets if each.at >= oldest], now - self._swapped)
        return figures.model_copy(update={"requests": self._since.requests, "errors": self._since.errors})

    def _next(self, now: float) -> Bucket:
        self._last = Bucket(now)
        self._buckets.append(self._last)
        while self._buckets[0].at < now - LONGEST - BUCKET or len(self._buckets) > LONGEST:
            self._buckets.popleft()
        return self._last


def _figures(buckets: Iterable[Bucket], seconds: float) -> Figures:
    from gateway.control_messages import Figures  # noqa: PLC0415  as above

    requests, errors, durations = 0, 0, Sketch()
    for bucket in buckets:
        requests += bucket.requests
        errors += bucket.errors
        durations.merge(bucket.durations)
    p50, p95 = (durations.quantile(q) * 1000 if requests else None for q in (0.5, 0.95))
    return Figures(seconds=max(0.0, seconds), requests=requests, errors=errors, p50_ms=p50, p95_ms=p95)
