"""Passive health: endpoints that answer worse than the rest are left out for a while.

The definitions and the order of a sweep are those of Envoy's outlier detection (gRPC A50). Times are seconds of one
clock that does not go back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass

from gateway.plurals import counted


@dataclass(frozen=True, slots=True)
class OutlierSettings:
    """Rules of outliers, and limits of their ejection. A count or percentage of 0 turns its rule off."""

    consecutive: int = 5  # failures of any kind in a row
    consecutive_gateway: int = 0  # of those, answers 502, 503, 504 and attempts without an answer
    interval: float = 10.0  # between sweeps
    base_ejection: float = 30.0  # times the multiplier
    max_ejection: float = 300.0
    jitter: float = 0.0  # up to so many seconds are added to an ejection
    max_ejected: float = 50.0  # per cent of the endpoints, with the one in question
    success_rate_deviations: float = 1.9  # below the mean
    success_rate_hosts: int = 5  # which need the requests, or nothing is judged
    success_rate_requests: int = 100  # in one interval
    failure_percentage: float = 85.0
    failure_percentage_hosts: int = 5
    failure_percentage_requests: int = 50


class OutlierRecord:
    """Statistics of one endpoint. They belong to the endpoint's identity, and outlive its place in a set."""

    __slots__ = (
        "counted",
        "ejected",
        "ejections",
        "failures",
        "in_a_row",
        "in_a_row_gateway",
        "multiplier",
        "reason",
        "requests",
        "since",
        "until",
    )

    def __init__(self) -> None:
        self.ejected = False
        self.reason = ""  # of the latest ejection
        self.since = 0.0  # when that began
        self.until = 0.0  # the first sweep from then on ends it
        self.ejections = 0  # in all
        self.multiplier = 0
        self.counted = 0  # requests before this interval, where those are counted elsewhere
        self.clear()

    def clear(self) -> None:
        """Forget its failures, not its ejections."""
        self.in_a_row = 0
        self.in_a_row_gateway = 0
        self.begin_interval()

    def begin_interval(self) -> None:
        self.requests = 0  # in this interval
        self.failures = 0

    def succeeded(self) -> None:
        """Record an answer other than 5xx."""
        self.requests += 1
        self.in_a_row = 0
        self.in_a_row_gateway = 0

    def passed_check(self) -> bool:
        """An active check found it healthy: whether that ended an ejection. Its failures are forgotten."""
        ended, self.ejected = self.ejected, False
        self.clear()
        return ended

    @property
    def clean(self) -> bool:
        """Whether it can be forgotten when its endpoint leaves."""
        return not self.ejected and self.multiplier == 0


class OutlierDetection:
    """Judges the records of one service. `random` draws from [0, 1)."""

    __slots__ = ("_random", "settings")

    def __init__(self, settings: OutlierSettings, random: Callable[[], float]) -> None:
        self.settings = settings
        self._random = random

    def failed(
        self, record: OutlierRecord, all_records: Collection[OutlierRecord], now: float, *, gateway: bool
    ) -> bool:
        """A 5xx, or (`gateway`) one that a gateway makes, or no answer. True: it is ejected for that."""
        settings = self.settings
        record.requests += 1
        record.failures += 1
        record.in_a_row += 1
        record.in_a_row_gateway = record.in_a_row_gateway + 1 if gateway else 0
        # Where too many are ejected already, it is asked again after as many more, not after each.
        if settings.consecutive and record.in_a_row % settings.consecutive == 0:
            return self._eject(record, all_records, now, f"{counted(record.in_a_row, 'failure')} in a row")
        if gateway and settings.consecutive_gateway and record.in_a_row_gateway % settings.consecutive_gateway == 0:
            return self._eject(
                record, all_records, now, f"{counted(record.in_a_row_gateway, 'gateway failure')} in a row"
            )
        return False

    def hangs(
        self, record: OutlierRecord, all_records: Collection[OutlierRecord], now: float, waiting: int, seconds: float
    ) -> bool:
        """So many requests wait for its answer for so long, while others answer: as failures of now. True: ejected."""
        settings = self.settings
        if record.ejected or not settings.consecutive or record.in_a_row + waiting < settings.consecutive:
            return False
        return self._eject(record, all_records, now, f"{counted(waiting, 'request')} not answered in {seconds:.1f} s")

    def sweep(self, records: Collection[OutlierRecord], now: float) -> bool:
        """Once in an interval: ends ejections, and judges by what came since the last. True: something changed."""
        steps = self.sweep_in_steps(records, now)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return bool(end.value)

    def sweep_in_steps(self, records: Collection[OutlierRecord], now: float) -> Generator[None, None, bool]:
        """The same in steps, of which each goes through all records once."""
        changed = False
        for record in records:
            if not record.ejected:
                record.multiplier = max(0, record.multiplier - 1)
            elif now >= record.until:
                record.ejected = False
                record.clear()
                changed = True
        yield
        outliers = list(self._by_success_rate(records))
        yield
        outliers += self._by_failure_percentage(records)
        yield
        for record, reason in outliers:
            changed = self._eject(record, records, now, reason) or changed
        yield
        for record in records:
            record.begin_interval()
        return changed

    def _by_success_rate(self, records: Collection[OutlierRecord]) -> Iterator[tuple[OutlierRecord, str]]:
        settings = self.settings
        judged = _with_volume(records, settings.success_rate_requests)
        if settings.success_rate_deviations and len(judged) >= settings.success_rate_hosts:
            limit = success_rate_limit([_success_rate(record) for record in judged], settings.success_rate_deviations)
            for record in judged:
                if _success_rate(record) < limit:
                    yield record, f"success rate {_success_rate(record):.3g}%, the limit is {limit:.3g}%"

    def _by_failure_percentage(self, records: Collection[OutlierRecord]) -> Iterator[tuple[OutlierRecord, str]]:
        settings = self.settings
        judged = _with_volume(records, settings.failure_percentage_requests)
        if settings.failure_percentage and len(judged) >= settings.failure_percentage_hosts:
            for record in judged:
                if 100 - _success_rate(record) >= settings.failure_percentage:
                    yield record, f"{record.failures} of {record.requests} requests failed"

    def _eject(self, record: OutlierRecord, records: Collection[OutlierRecord], now: float, reason: str) -> bool:
        """Leave it out, unless too many are already. The last one never is."""
        after = sum(each.ejected for each in records) + 1
        if record.ejected or after >= len(records) or 100 * after / len(records) > self.settings.max_ejected:
            return False
        base, longest = self.settings.base_ejection, max(self.settings.max_ejection, self.settings.base_ejection)
        if base * record.multiplier < longest + base:
            record.multiplier += 1
        record.ejected = True
        record.ejections += 1
        record.reason = reason
        record.since = now
        record.until = now + min(base * record.multiplier, longest) + self.settings.jitter * self._random()
        return True


def success_rate_limit(rates: Sequence[float], deviations: float) -> float:
    """The success rate below which an endpoint is an outlier: the mean less so many (population) deviations."""
    mean = sum(rates) / len(rates)
    return mean - deviations * math.sqrt(sum((rate - mean) ** 2 for rate in rates) / len(rates))


def _with_volume(records: Collection[OutlierRecord], requests: int) -> list[OutlierRecord]:
    return [record for record in records if not record.ejected and record.requests >= max(1, requests)]


def _success_rate(record: OutlierRecord) -> float:
    """Per cent."""
    return 100 * (record.requests - record.failures) / record.requests
