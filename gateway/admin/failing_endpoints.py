"""Which endpoints fail while they are in, as requests show: no check and no outlier rule may say it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from gateway.http.messages import Attempt
from gateway.monitor.recent_requests import RecentRequests
from gateway.monitor.tallies import Kind
from gateway.monitor.watch import Monitor
from gateway.plurals import counted

SECONDS: Final = 60  # for which failures count
LATELY: Final = 15.0  # the same, of the last requests: until the monitor has them
SHARE: Final = 0.05  # of what is asked, from which on something fails
FEW: Final = 20  # requests, of which not all but only a share failed: that may be chance


class Failing:
    """Failing endpoints and routes at one moment."""

    def __init__(self, recent: RecentRequests, monitor: Monitor | None) -> None:
        self._monitor = monitor if monitor is not None and monitor.enabled else None
        self._now = time.time()
        self._lately = failing_lately(recent, LATELY if self._monitor is not None else SECONDS)
        self._numbers: dict[Kind, dict[str, int]] = {}

    def endpoint(self, service: str, address: str) -> str | None:
        """How much fails of what this one is asked; None where that is nothing to speak of."""
        requests, errors = self.counts("endpoint", f"{service}/{address}")
        return failure_said(requests, errors) or self._lately.get(address)

    def counts(self, kind: Kind, name: str) -> tuple[int, int]:
        """The requests and errors of the last minute; 0 where nothing is watched."""
        if self._monitor is None:
            return 0, 0
        if kind not in self._numbers:
            self._numbers[kind] = dict(self._monitor.names(kind))
        number = self._numbers[kind].get(name)
        return self._monitor.counts(number, SECONDS, self._now) if number is not None else (0, 0)


def failure_said(requests: int, errors: int) -> str | None:
    """How much fails of so many requests in the last minute; None where that is nothing to speak of."""
    if not errors or errors < SHARE * requests:
        return None
    return f"{errors} of {counted(requests, 'request')} in the last minute failed"


def failing_lately(recent: RecentRequests, seconds: float) -> Mapping[str, str]:
    """The failing endpoints of the last requests, by address, with their failures."""
    begins = time.time() - seconds
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for each in recent:
        if each.at < begins:
            break
        for attempt in each.attempts:
            attempts[attempt.endpoint].append(attempt)
    return {endpoint: said for endpoint, made in attempts.items() if (said := _said(made))}


def _said(made: list[Attempt]) -> str:
    failed = sum(map(_is_failure, made))
    if not failed or (failed < len(made) and (len(made) < FEW or failed < SHARE * len(made))):
        return ""
    return f"{failed} of its last {counted(len(made), 'request')} failed"


def _is_failure(attempt: Attempt) -> bool:
    if attempt.failure is not None:
        return attempt.failure.origin == "upstream"
    return attempt.status >= 500
