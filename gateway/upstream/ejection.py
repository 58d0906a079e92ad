"""Turns the verdicts of outlier detection into a health signal of endpoints: out, or in again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from gateway.algorithms.outlier_detection import OutlierSettings
from gateway.http.messages import Attempt
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import FOREVER, Signal
from gateway.upstream.outliers import Outliers
from gateway.upstream.steps import Stepwise, done

LOOK_SECONDS: Final = 0.25  # between two looks at what waits
MANY: Final = 2000  # endpoints, with which it is looked half as often
LATEST_SWEEP: Final = 60.0  # seconds after its time by which an ejection is over, whatever happens


class Service(Protocol):
    """Whose endpoints these are."""

    endpoints: tuple[Endpoint, ...]

    def report(
        self, endpoint: Endpoint, signal: Signal, *, up: bool, reason: str, now: float, until: float = FOREVER
    ) -> bool:
        """See `Upstream`."""
        ...


class _NoService:
    """That of judges that have retired."""

    endpoints: tuple[Endpoint, ...] = ()

    def report(
        self, endpoint: Endpoint, signal: Signal, *, up: bool, reason: str, now: float, until: float = FOREVER
    ) -> bool:
        return False


NO_SERVICE: Final = _NoService()


class Ejection:
    """Leaves out the outliers of one service. Judges what its endpoints failed. Times are of time.perf_counter()."""

    __slots__ = ("_looking", "_outliers", "_service", "count", "due")

    def __init__(self, service: Service) -> None:
        self._service = service
        self._outliers: Outliers | None = None  # None: what becomes of requests has no consequences
        self._looking = done()
        self.due = FOREVER  # when to look next
        self.count = 0  # of ejections so far

    def configure(self, settings: OutlierSettings | None) -> None:
        """Judge by these from now on, or by nothing."""
        if settings is None:
            for endpoint in self._service.endpoints:
                endpoint.health.record.passed_check()
                endpoint.health.forget(Signal.OUTLIERS)
            self._outliers = None
            self._looking.over = True
            self.due = FOREVER
        elif self._outliers is None:
            self.due = time.perf_counter()
            self._outliers = Outliers(settings, self.due)
        else:
            self._outliers.configure(settings)

    def judge(self, endpoint: Endpoint, attempt: Attempt) -> None:
        """See `Judge`."""
        now = time.perf_counter()
        if self._outliers is not None and self._outliers.failed(endpoint, self._service.endpoints, attempt, now):
            self._report(endpoint, now)

    def passed_checks(self, endpoint: Endpoint) -> None:
        """Active checks found an endpoint well again, which had been ejected for what became of requests."""
        endpoint.health.record.passed_check()
        self._report(endpoint, time.perf_counter())

    def look(self, now: float) -> None:
        """Leave out those that are outliers by now, and take in those that are none any more."""
        if self._outliers is not None and self._looking.over:
            endpoints = self._service.endpoints
            self.due = now + LOOK_SECONDS * (1 + len(endpoints) / MANY)
            self._looking = Stepwise(self._look_in_steps(self._outliers, endpoints, now))
            self._looking.begin(len(endpoints))

    def retire(self) -> None:
        """Judge no more, and leave the service, which holds this: cycles would stay for ever (`live/beside.py`)."""
        self._outliers = None
        self._looking, self._service = done(), NO_SERVICE
        self.due = FOREVER

    def _look_in_steps(self, outliers: Outliers, endpoints: Sequence[Endpoint], now: float) -> Iterator[None]:
        for endpoint in (yield from outliers.look(endpoints, now)):
            self._report(endpoint, now)

    def _report(self, endpoint: Endpoint, now: float) -> None:
        record = endpoint.health.record
        self.count += record.ejected
        if record.ejected:  # a sweep ends it, or time does, where there is none
            reason, until = record.reason, record.until + LATEST_SWEEP
        else:
            reason, until = "its ejection is over", FOREVER
        self._service.report(endpoint, Signal.OUTLIERS, up=not record.ejected, reason=reason, now=now, until=until)
