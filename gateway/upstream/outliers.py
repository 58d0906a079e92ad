"""Passive health: endpoints that answer worse than the others, or not at all, are left out for a while.

What counts as a failure: a response of 500 and above, and every attempt that the endpoint has not answered whole (no
connection, a time-out, a reset). What a client gives up does not count, and neither does the end of a WebSocket. A
request that waits much longer than those at other endpoints counts while it waits: an endpoint that accepts everything
and answers nothing sends no 5xx.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from heapq import nlargest
from typing import Final

from gateway.algorithms.outlier_detection import OutlierDetection, OutlierRecord, OutlierSettings
from gateway.http.messages import Attempt
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.steps import in_steps

PATIENCE: Final = 1.0  # seconds, at least, until a request that waits can count as a failure
TIMES_LONGER: Final = 2.0  # than the longest wait at any other endpoint lately, and the longest that had an answer
USUAL_SECONDS: Final = 300.0  # for which the latter is remembered


class _Seen:
    """Observations of an endpoint at the last looks, since it had requests in flight."""

    __slots__ = ("_answered", "_others", "answered_at", "longest", "longest_at", "others_at", "waits")

    def __init__(self, now: float) -> None:
        self._answered = self._others = 0
        self.answered_at = now  # when it was last seen to have answered more
        self.others_at = 0.0  # the same, of all others together
        self.waits = 0.0  # seconds, the request that waits longest
        self.longest = 0.0  # the same, the longest of the last interval
        self.longest_at = now

    def look(self, endpoint: Endpoint, answered_by_all: int, interval: float, now: float) -> float:
        """How long something has waited that was answered since the last look; 0 where that is not known."""
        answered, before = endpoint.answered, self.waits
        more, self._answered = answered - self._answered, answered
        if more:
            self.answered_at = now
        if answered_by_all - answered != self._others:
            self._others, self.others_at = answered_by_all - answered, now
        self.waits = endpoint.longest_wait(now) if endpoint.in_flight else 0.0
        if self.waits >= self.longest or now - self.longest_at > interval:
            self.longest, self.longest_at = self.waits, now
        return before if more and self.waits < before else 0.0


class Outliers:
    """Judges the endpoints of one service. Times are those of time.perf_counter()."""

    __slots__ = ("_detection", "_seen", "_swept_at", "_usual", "_usual_at")

    def __init__(self, settings: OutlierSettings, now: float) -> None:
        self._detection = OutlierDetection(settings, random.random)
        self._seen: dict[Endpoint, _Seen] = {}  # of those that have requests in flight, or had lately
        self._swept_at = now
        self._usual = 0.0  # seconds, the longest wait that ended with an answer lately: of a long poll, say
        self._usual_at = now

    def configure(self, settings: OutlierSettings) -> None:
        """Judge by these from now on."""
        self._detection.settings = settings

    def failed(self, endpoint: Endpoint, endpoints: Sequence[Endpoint], attempt: Attempt, now: float) -> bool:
        """An attempt failed. True: its endpoint is ejected for that."""
        gateway = attempt.failure is not None or 502 <= attempt.status <= 504
        settings, record = self._detection.settings, endpoint.health.record
        decides = _is_multiple(record.in_a_row + 1, settings.consecutive) or (
            gateway and _is_multiple(record.in_a_row_gateway + 1, settings.consecutive_gateway)
        )
        return self._detection.failed(record, _records(endpoints) if decides else (), now, gateway=gateway)

    def look(self, endpoints: Sequence[Endpoint], now: float) -> Generator[None, None, list[Endpoint]]:
        """Those that are ejected now, or no longer, by what came of requests lately and by what waits.

        In steps (see `steps.py`). They have to be run to the end.
        """
        interval = self._detection.settings.interval
        changed = (yield from self._sweep(endpoints, now)) if now - self._swept_at >= interval else []
        answered = 0
        for some in in_steps(endpoints):
            answered += sum([endpoint.answered for endpoint in some])
            yield
        former, self._seen = self._seen, {}
        for some in in_steps(endpoints):
            for endpoint in some:
                seen = former.get(endpoint)
                if endpoint.in_flight or (seen is not None and now - seen.longest_at <= interval):
                    seen = self._seen[endpoint] = seen or _Seen(now)
                    usual = seen.look(endpoint, answered, interval, now)
                    if usual >= self._usual or now - self._usual_at > USUAL_SECONDS:
                        self._usual, self._usual_at = usual, now
            yield
        waiting = [each for each in self._seen.items() if each[1].waits >= PATIENCE]
        if waiting:
            changed += self._silent(waiting, endpoints, now)
        return changed

    def _sweep(self, endpoints: Sequence[Endpoint], now: float) -> Generator[None, None, list[Endpoint]]:
        intervals = int((now - self._swept_at) / self._detection.settings.interval)
        self._swept_at = now
        before: list[bool] = []
        for some in in_steps(endpoints):
            for endpoint in some:
                record, ended = endpoint.health.record, endpoint.answered + endpoint.unanswered
                before.append(record.ejected)
                record.requests, record.counted = max(0, ended - record.counted), ended
                if not record.ejected:  # without requests, there was nothing to sweep
                    record.multiplier = max(0, record.multiplier - (intervals - 1))
            yield
        records = _records(endpoints)
        yield
        yield from self._detection.sweep_in_steps(records, now)
        return [each for each, was in zip(endpoints, before, strict=True) if each.health.record.ejected is not was]

    def _silent(
        self, waiting: Sequence[tuple[Endpoint, _Seen]], endpoints: Sequence[Endpoint], now: float
    ) -> list[Endpoint]:
        """Those that are ejected because their requests wait much longer than any at others, while those answer."""
        records = _records(endpoints)
        first, second = nlargest(2, [0.0, 0.0, *(seen.longest for seen in self._seen.values())])
        found = []
        for endpoint, seen in waiting:
            longest = second if seen.longest == first else first
            limit = max(PATIENCE, TIMES_LONGER * longest, TIMES_LONGER * self._usual)
            if now - seen.others_at > PATIENCE or seen.waits <= limit or now - seen.answered_at < limit:
                continue
            if self._detection.hangs(endpoint.health.record, records, now, endpoint.waiting(now, limit), limit):
                found.append(endpoint)
        return found


def _is_multiple(count: int, of: int) -> bool:
    return of > 0 and count % of == 0


def _records(endpoints: Sequence[Endpoint]) -> list[OutlierRecord]:
    """Records of endpoints that no other signal has taken out: the last of those is never ejected."""
    return [each.health.record for each in endpoints if not each.out or each.health.record.ejected]
