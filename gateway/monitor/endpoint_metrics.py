"""Metrics of services and endpoints, read from them at every scrape: a series ends with its endpoint."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gateway.upstream.endpoint import Endpoint
from gateway.upstream.service import Upstream

ENDPOINTS: Final = 1000
"""With more than so many in all, only those have series of their own that get no requests, and no more of them."""


def endpoint_metrics(upstreams: Iterable[Upstream]) -> Iterator[Metric]:
    """Series of services by name, and of endpoints by service and address."""
    now, services = time.perf_counter(), list(upstreams)
    every = [(upstream.name, endpoint) for upstream in services for endpoint in upstream.endpoints]
    out = {endpoint for _, endpoint in every if endpoint.health.out(now) is not None}
    yield _counts(services, out)
    if len(every) > ENDPOINTS:
        every = [(name, endpoint) for name, endpoint in every if endpoint in out][:ENDPOINTS]
    yield from _of_endpoints(every, out)


def _counts(services: list[Upstream], out: set[Endpoint]) -> Metric:
    family = GaugeMetricFamily(
        "gateway_service_endpoints",
        "Endpoints by service and state, `in` or `out`; gateway top says why.",
        labels=["service", "state"],
    )
    for upstream in services:
        down = sum(endpoint in out for endpoint in upstream.endpoints)
        family.add_metric([upstream.name, "in"], len(upstream.endpoints) - down)
        family.add_metric([upstream.name, "out"], down)
    return family


def _of_endpoints(every: list[tuple[str, Endpoint]], out: set[Endpoint]) -> Iterator[Metric]:
    labels = ["service", "endpoint"]
    is_in = GaugeMetricFamily(
        "gateway_endpoint_in", "1 while an endpoint may get requests, by service and endpoint.", labels=labels
    )
    flight = GaugeMetricFamily("gateway_endpoint_in_flight", "Requests that an endpoint has now.", labels=labels)
    opened = GaugeMetricFamily(
        "gateway_endpoint_connections", "Connections to an endpoint, idle ones included.", labels=labels
    )
    requests = CounterMetricFamily("gateway_endpoint_requests", "Attempts that an endpoint got.", labels=labels)
    failures = CounterMetricFamily(
        "gateway_endpoint_failures",
        "Attempts that failed by the fault of an endpoint, answers of 5xx too; see its log.",
        labels=labels,
    )
    ejections = CounterMetricFamily(
        "gateway_endpoint_ejections", "Times that an endpoint was ejected (outliers).", labels=labels
    )
    for name, endpoint in every:
        values, counts = [name, endpoint.label], endpoint.counts()
        is_in.add_metric(values, endpoint not in out)
        flight.add_metric(values, counts.in_flight)
        opened.add_metric(values, counts.open)
        requests.add_metric(values, counts.requests)
        failures.add_metric(values, counts.failures)
        ejections.add_metric(values, endpoint.health.record.ejections)
    yield from (is_in, flight, opened, requests, failures, ejections)
