"""Metrics of upstreams and endpoints, read from them at every scrape: a series ends with what it is of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.deadlines import NEVER
from gateway.families import Family, Labels, Sample
from gateway.upstream.endpoint import Endpoint, EndpointCounts
from gateway.upstream.service import Upstream
from gateway.upstream.steps import in_steps

ENDPOINTS: Final = 1000
"""With more than so many in all, only those have series of their own that get no requests, and no more of them."""

BY_ENDPOINT: Final = ("upstream", "endpoint")


def upstream_metrics(upstreams: Iterable[Upstream]) -> Iterator[Family]:
    """Metrics by the name of an upstream, and of endpoints by their address, too."""
    services, now = list(upstreams), time.perf_counter()
    number = sum(len(upstream.endpoints) for upstream in services)
    totals = _Totals(services, now, only_out=number > ENDPOINTS)
    help = (
        "Duration of attempts at the endpoints of an upstream, until the head of the answer, or their failure; without"
    )
    help += " the time in the queue for a connection."
    durations = (Sample((upstream.name,), upstream.durations) for upstream in services)
    yield Family("http_client_request_duration_seconds", "histogram", help, ("upstream",), durations)
    yield from totals.families()
    yield from _of_endpoints(totals, now)


_NOTHING: Final = EndpointCounts()


@dataclass(slots=True)
class _Total:
    """The sum of the upstreams of one name: one address may be used with and without TLS."""

    counts: EndpointCounts = _NOTHING
    up: int = 0
    out: int = 0
    waiting: int = 0
    room: int = 0
    ejections: int = 0
    certificate: float = NEVER  # Unix time

    def add(self, endpoint: Endpoint, now: float, *, leaving: bool) -> bool:
        """One more endpoint. Whether it is in the set, and gets no requests."""
        self.counts += endpoint.counts()
        out = not leaving and endpoint.health.out(now) is not None
        if not leaving:
            self.up += not out
            self.out += out
            self.waiting += endpoint.connections.waiting
            self.room += endpoint.connections.limits.connections
            self.certificate = min(self.certificate, endpoint.connections.certificate_until)
        return out


class _Totals:
    """Adds endpoints up in steps, of which the one who reads the first samples takes the time."""

    def __init__(self, upstreams: list[Upstream], now: float, *, only_out: bool) -> None:
        self._totals: dict[str, _Total] = {}
        self._shown: list[tuple[str, Endpoint]] = []  # those that have series of their own
        self._only_out = only_out
        self._steps = self._add(upstreams, now)

    def _add(self, upstreams: list[Upstream], now: float) -> Iterator[None]:
        for upstream in upstreams:
            total = self._totals.setdefault(upstream.name, _Total())
            total.counts += upstream.left
            total.ejections += upstream.ejection.count
            for endpoints, leaving in ((upstream.endpoints, False), (upstream.leaving, True)):
                for some in in_steps(endpoints):
                    for endpoint in some:
                        out = total.add(endpoint, now, leaving=leaving)
                        if (out or not (self._only_out or leaving)) and len(self._shown) < ENDPOINTS:
                            self._shown.append((upstream.name, endpoint))
                    yield None

    def shown(self) -> Iterator[tuple[str, Endpoint] | None]:
        """The endpoints that have series of their own."""
        yield from self._steps
        yield from self._shown

    def _samples(self, values: Callable[[_Total], dict[Labels, float]]) -> Iterator[Sample | None]:
        yield from self._steps
        for name, total in self._totals.items():
            for labels, value in values(total).items():
                yield Sample((name, *labels), value)

    def families(self) -> Iterator[Family]:
        """One sample for each upstream, or one for each of its states."""
        help = "Connections to the endpoints of an upstream, by state (active, idle)."
        states = self._samples(
            lambda total: {("active",): total.counts.open - total.counts.idle, ("idle",): total.counts.idle}
        )
        yield Family("http_client_open_connections", "gauge", help, ("upstream", "state"), states)
        help = "Connections that an upstream may have; connections.max of routes.yaml, times its endpoints."
        yield self._gauge("gateway_pool_size", help, lambda total: total.room)
        help = "Requests that wait for a connection to an upstream, because all that it may have are in use."
        yield self._gauge("gateway_pool_waiting", help, lambda total: total.waiting)
        help = "Requests that the endpoints of an upstream have now."
        yield self._gauge("http_client_active_requests", help, lambda total: total.counts.in_flight)
        help = "Endpoints of an upstream by state, `in` or `out`; gateway top says why."
        states = self._samples(lambda total: {("in",): total.up, ("out",): total.out})
        yield Family("gateway_upstream_endpoints", "gauge", help, ("upstream", "state"), states)
        help = "Attempts that the endpoints of an upstream got, those that left it included."
        yield self._counter("gateway_upstream_attempts_total", help, lambda total: total.counts.requests)
        help = "Attempts that failed by the fault of an endpoint, answers of 5xx too."
        yield self._counter("gateway_upstream_failures_total", help, lambda total: total.counts.failures)
        help = "Times that an endpoint of an upstream was ejected (outliers)."
        yield self._counter("gateway_upstream_ejections_total", help, lambda total: total.ejections)
        help = "When the first of the certificates ends that the endpoints of an upstream showed last."
        ends = self._samples(lambda total: {} if total.certificate == NEVER else {(): total.certificate})
        yield Family(
            "gateway_upstream_certificate_expiry_timestamp_seconds", "gauge", help, ("upstream",), ends, merge="min"
        )

    def _gauge(self, name: str, help: str, value: Callable[[_Total], float]) -> Family:
        return Family(name, "gauge", help, ("upstream",), self._samples(lambda total: {(): value(total)}))

    def _counter(self, name: str, help: str, value: Callable[[_Total], float]) -> Family:
        return Family(name, "counter", help, ("upstream",), self._samples(lambda total: {(): value(total)}))


def _of_endpoints(totals: _Totals, now: float) -> Iterator[Family]:
    def samples(value: Callable[[Endpoint], float]) -> Iterator[Sample | None]:
        for each in totals.shown():
            yield None if each is None else Sample((each[0], each[1].label), value(each[1]))

    def gauge(name: str, help: str, value: Callable[[Endpoint], float]) -> Family:
        return Family(name, "gauge", help, BY_ENDPOINT, samples(value))

    def counter(name: str, help: str, value: Callable[[Endpoint], float]) -> Family:
        return Family(name, "counter", help, BY_ENDPOINT, samples(value))

    help = "1 while an endpoint may get requests, by upstream and endpoint."
    up = samples(lambda endpoint: endpoint.health.out(now) is None)
    yield Family("gateway_endpoint_in", "gauge", help, BY_ENDPOINT, up, merge="min")
    help = "Requests that an endpoint has now."
    yield gauge("gateway_endpoint_in_flight", help, lambda endpoint: endpoint.in_flight)
    help = "Connections to an endpoint, idle ones included."
    yield gauge("gateway_endpoint_connections", help, lambda endpoint: endpoint.connections.open_and_idle[0])
    help = "Attempts that an endpoint got."
    yield counter("gateway_endpoint_requests_total", help, lambda endpoint: endpoint.requests)
    help = "Attempts that failed by the fault of an endpoint, answers of 5xx too; see its log."
    yield counter("gateway_endpoint_failures_total", help, lambda endpoint: endpoint.failures)
    help = "Times that an endpoint was ejected (outliers)."
    yield counter("gateway_endpoint_ejections_total", help, lambda endpoint: endpoint.health.record.ejections)
