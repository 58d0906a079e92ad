"""Which endpoints fail while they are in, as requests show: no check and no outlier rule may say it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.http.messages import Attempt
from gateway.monitor.recent_requests import RecentRequests
from gateway.monitor.tallies import Kind
from gateway.monitor.traffic import upstream_name
from gateway.monitor.watch import Monitor
from gateway.plurals import counted
from gateway.upstream.service import Upstream

SECONDS: Final = 60  # for which failures count
LATELY: Final = 15.0  # the same, of the last requests: until the monitor has them
SHARE: Final = 0.05  # of what is asked, from which on something fails
FEW: Final = 20  # requests, of which not all but only a share failed: that may be chance
ENOUGH: Final = 5  # requests that failed one after the other, so that nothing else needs to be known


@dataclass(frozen=True, slots=True)
class Failure:
    """What an endpoint fails of what it is asked."""

    said: str
    whole: bool  # all of it: nothing gets an answer


@dataclass(frozen=True, slots=True)
class Lately:
    """Its last requests."""

    requests: int = 0
    failed: int = 0

    @property
    def whole(self) -> bool:
        """Whether all of them failed."""
        return self.failed > 0 and self.failed == self.requests

    @property
    def said(self) -> str | None:
        """How many failed; None where that is nothing to speak of."""
        if not self.failed or not (self.whole or (self.requests >= FEW and self.failed >= SHARE * self.requests)):
            return None
        return f"{self.failed} of its last {counted(self.requests, 'request')} failed"


class Failing:
    """Failing endpoints and routes at one moment."""

    def __init__(self, recent: RecentRequests, monitor: Monitor | None, upstreams: Iterable[Upstream]) -> None:
        self._monitor = monitor if monitor is not None and monitor.enabled else None
        self._now = time.time()
        seconds = LATELY if self._monitor is not None else SECONDS
        self._lately = attempts_lately(recent, seconds, Addresses(upstreams))
        self._numbers: dict[Kind, dict[str, int]] = {}

    def endpoint(self, service: str, address: str) -> Failure | None:
        """How much fails of what this one is asked; None where that is nothing to speak of."""
        requests, errors = self.counts("endpoint", f"{service}/{address}")
        last = self._lately.get((service, address), Lately())
        minute, lately = failure_said(requests, errors), last.said
        none_answered = errors == requests  # in the minute, as far as the monitor has it
        if lately is not None and last.whole and (none_answered or last.requests >= ENOUGH):
            return Failure(lately, whole=True)
        said = minute or lately
        return None if said is None else Failure(said, whole=none_answered and not last.requests)

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


class Addresses:
    """Which addresses services have."""

    def __init__(self, upstreams: Iterable[Upstream]) -> None:
        self._upstreams = {upstream.name: upstream for upstream in upstreams}
        self._known: dict[str, frozenset[str]] = {}

    def has(self, service: str, address: str) -> bool:
        """Whether it is an endpoint of the service."""
        if service not in self._known:
            upstream = self._upstreams.get(service)
            endpoints = () if upstream is None else upstream.endpoints
            self._known[service] = frozenset(endpoint.label for endpoint in endpoints)
        return address in self._known[service]

    def with_address(self, address: str) -> list[str]:
        """The services that have it."""
        return [name for name in self._upstreams if self.has(name, address)]


def attempts_lately(recent: RecentRequests, seconds: float, addresses: Addresses) -> Mapping[tuple[str, str], Lately]:
    """What became of the last requests, by service and address. Attempts of a request that went on to another service
    count for each service that has their address."""
    begins = time.time() - seconds
    attempts: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for each in recent:
        if each.at < begins:
            break
        last = upstream_name(each.upstream or "")
        for attempt in each.attempts:
            address = attempt.endpoint
            names = [last] if addresses.has(last, address) else addresses.with_address(address)
            for name in names:
                attempts[name, address].append(attempt)
    return {endpoint: Lately(len(made), sum(map(_is_failure, made))) for endpoint, made in attempts.items()}


def _is_failure(attempt: Attempt) -> bool:
    if attempt.failure is not None:
        return attempt.failure.origin == "upstream"
    return attempt.status >= 500
