"""Passive health: endpoints that answer worse than the others, or not at all, are left out for a while.

What counts as a failure: a response of 500 and above, and every attempt that the endpoint has not answered whole (no
connection, a time-out, a reset). What a client gives up does not count, and neither does the end of a WebSocket. A
request that waits much longer than those at other endpoints counts while it waits: an endpoint that accepts everything
and answers nothing sends no 5xx.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from gateway.algorithms.outlier_detection import OutlierDetection, OutlierRecord, OutlierSettings
from gateway.http.attempt import Attempt
from gateway.upstream.endpoint import Endpoint

LOOK_SECONDS: Final = 0.25  # between two looks at what waits
PATIENCE: Final = 1.0  # seconds, at least, until a request that waits can count as a failure
TIMES_LONGER: Final = 2.0  # than the longest wait at any other endpoint lately


class _Seen:
    """What was seen of an endpoint at the last looks. Times are those of time.perf_counter()."""

    __slots__ = ("answered", "answered_at", "ended", "longest", "longest_at", "waits")

    def __init__(self, endpoint: Endpoint, now: float) -> None:
        self.ended = endpoint.requests - endpoint.in_flight  # at the last sweep
        self.answered = 0  # attempts that did not fail
        self.answered_at = now  # when that was last seen to grow
        self.waits = 0.0  # seconds, the request that waits longest
        self.longest = 0.0  # the same, the longest of the last interval
        self.longest_at = now

    def look(self, endpoint: Endpoint, interval: float, now: float) -> None:
        answered = endpoint.requests - endpoint.in_flight - endpoint.failures
        if answered != self.answered:
            self.answered, self.answered_at = answered, now
        self.waits = endpoint.longest_wait(now) if endpoint.in_flight else 0.0
        if self.waits >= self.longest or now - self.longest_at > interval:
            self.longest, self.longest_at = self.waits, now


class Outliers:
    """Judges the endpoints of one service. Times are those of time.perf_counter()."""

    __slots__ = ("_detection", "_seen", "_swept_at", "due")

    def __init__(self, settings: OutlierSettings, now: float) -> None:
        self.due = now  # when to look next
        self._detection = OutlierDetection(settings, random.random)
        self._seen: dict[Endpoint, _Seen] = {}
        self._swept_at = now

    def configure(self, settings: OutlierSettings) -> None:
        """Judge by these from now on."""
        self._detection.settings = settings

    def failed(self, endpoint: Endpoint, endpoints: Sequence[Endpoint], attempt: Attempt, now: float) -> bool:
        """An attempt failed. True: its endpoint is ejected for that."""
        gateway = attempt.failure is not None or 502 <= attempt.status <= 504
        return self._detection.failed(endpoint.health.record, _records(endpoints), now, gateway=gateway)

    def look(self, endpoints: Sequence[Endpoint], now: float) -> list[Endpoint]:
        """Those that are ejected now, or no longer, by what came of requests lately and by what waits."""
        self.due = now + LOOK_SECONDS
        interval = self._detection.settings.interval
        self._seen = {each: self._seen.get(each) or _Seen(each, now) for each in endpoints}
        for endpoint, seen in self._seen.items():
            seen.look(endpoint, interval, now)
        before = [each.health.record.ejected for each in endpoints]
        if (intervals := int((now - self._swept_at) / interval)) > 0:
            self._sweep(endpoints, intervals, now)
        for endpoint, seen in self._seen.items():
            if seen.waits >= PATIENCE and len(endpoints) > 1:
                self._judge_silence(endpoint, seen, now)
        return [
            each for each, ejected in zip(endpoints, before, strict=True) if each.health.record.ejected is not ejected
        ]

    def _sweep(self, endpoints: Sequence[Endpoint], intervals: int, now: float) -> None:
        self._swept_at = now
        for endpoint, seen in self._seen.items():
            record, ended = endpoint.health.record, endpoint.requests - endpoint.in_flight
            record.requests, seen.ended = ended - seen.ended, ended
            if not record.ejected:  # while nobody asked, there was nothing to sweep
                record.multiplier = max(0, record.multiplier - (intervals - 1))
        self._detection.sweep(_records(endpoints), now)

    def _judge_silence(self, endpoint: Endpoint, seen: _Seen, now: float) -> None:
        """Eject it where its requests wait much longer than any at the others, while the others answer."""
        others = [(each, other) for each, other in self._seen.items() if each is not endpoint]
        limit = max(PATIENCE, TIMES_LONGER * max(other.longest for _, other in others))
        answering = any(not each.out and now - other.answered_at <= PATIENCE for each, other in others)
        if answering and seen.waits > limit and now - seen.answered_at >= limit:
            waiting = endpoint.waiting(now, limit)
            records = _records(list(self._seen))
            self._detection.hangs(endpoint.health.record, records, now, waiting, limit)


def _records(endpoints: Sequence[Endpoint]) -> list[OutlierRecord]:
    """Of all that others than this have not taken out: the last of those is never ejected."""
    return [each.health.record for each in endpoints if not each.out or each.health.record.ejected]
