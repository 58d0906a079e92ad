"""The histograms that a collector gets by method."""

from __future__ import annotations

import random
from pathlib import Path

import httpx2

from gateway.algorithms.percentiles import Sketch
from gateway.families import Family, Sample
from gateway.http import Outcome
from gateway.http.span import Span
from gateway.http.testing import make_exchange
from gateway.monitor.telemetry.methods import ByMethod, Name
from tests.monitor.telemetry.collector import attributes, running_collector
from tests.monitor.telemetry.test_senders import Kept
from tests.monitor.telemetry.test_spans import backend, get, route
from tests.support import eventually, running_gateway


def report(
    counts: ByMethod, method: str, route: str = "orders", *, seconds: float = 0.1, sent: int = 100, span: str = ""
) -> None:
    exchange = make_exchange(method)
    exchange.route, exchange.upstream = route, "http://a:80"
    if span:
        exchange.span = Span("a" * 32, span, 3, Kept(), random.Random(), ())
    outcome = Outcome(1_700_000_000.0, 0.0, 200)
    outcome.seconds, outcome.sent = seconds, sent
    counts.report(exchange, outcome)


def families(counts: ByMethod) -> dict[str, dict[tuple[str, ...], Sample]]:
    def samples(family: Family) -> dict[tuple[str, ...], Sample]:
        return {sample.labels: sample for sample in family.samples if sample is not None}

    return {family.name: samples(family) for family in counts.families()}


def numbers(counts: ByMethod) -> dict[tuple[str, ...], int]:
    durations = families(counts)["http_server_request_duration_seconds"]
    return {labels: sample.value.count for labels, sample in durations.items() if isinstance(sample.value, Sketch)}


def test_each_method_has_its_own_and_unknown_ones_share_one() -> None:
    """However many a client thinks of."""
    counts = ByMethod()
    for method in ("GET", "GET", "POST", *(f"BREW{number}" for number in range(1000))):
        report(counts, method)
    assert numbers(counts) == {
        ("orders", "a:80", "GET"): 2,
        ("orders", "a:80", "POST"): 1,
        ("orders", "a:80", "_OTHER"): 1000,
    }
    assert counts.bytes < 10_000


def test_sizes_and_exemplars_are_of_their_method() -> None:
    """A trace of a GET is none of a POST."""
    counts = ByMethod()
    report(counts, "GET", sent=7, span="b" * 16)
    report(counts, "POST", sent=9, span="c" * 16)
    found = families(counts)
    spans = {
        labels[2]: [each.span_id for each in sample.exemplars]
        for labels, sample in found["http_server_request_duration_seconds"].items()
    }
    assert spans == {"GET": ["b" * 16], "POST": ["c" * 16]}
    sizes = {labels[2]: sample.value for labels, sample in found["http_server_response_body_size_bytes"].items()}
    assert {method: size.total for method, size in sizes.items()} == {"GET": 7, "POST": 9}  # type: ignore[union-attr]


def test_what_it_keeps_is_bounded() -> None:
    """In the number of series and in the width of each; and nothing is lost of the count."""
    counts = ByMethod(50_000)
    for number in range(1000):
        report(counts, "GET", f"route-{number}", seconds=2.0 ** (number % 60 - 30), span="b" * 16)
    assert counts.bytes < 75_000
    found = numbers(counts)
    assert sum(found.values()) == 1000
    assert found["_other", "_other", "_OTHER"] > 900


def test_a_series_ends_with_its_route() -> None:
    """With what it took; a request that was under way then begins no new one."""
    counts = ByMethod()
    for name in ("orders", "users"):
        report(counts, "GET", name, span="b" * 16)
    for _ in counts.keep(lambda route, upstream: route == "users"):
        pass
    alone = ByMethod()
    report(alone, "GET", "users", span="b" * 16)
    assert numbers(counts) == {("users", "a:80", "GET"): 1}
    assert counts.bytes == alone.bytes
    report(counts, "GET", "orders")
    other: Name = ("_other", "_other", "_OTHER")
    assert numbers(counts) == {("users", "a:80", "GET"): 1, other: 1}


async def test_a_collector_gets_them_and_prometheus_their_sum(tmp_path: Path) -> None:
    """The conventions of OpenTelemetry require the method, and what Prometheus has is a series for each route."""
    async with backend() as behind:
        with running_collector() as collector:
            middleware = f"telemetry: {{otlp: '{collector.url}', metrics: true}}\n"
            environment = {"OTEL_METRIC_EXPORT_INTERVAL": "50"}
            routes = route(behind.port, ", methods: [GET, POST, BREW]")
            with running_gateway(tmp_path, routes, middleware, environment=environment) as running:
                for method in ("GET", "POST", "BREW"):
                    await get(running.port, "/orders/1", method=method)

                def methods(name: str) -> dict[object, int]:
                    points = collector.metrics[name].histogram.data_points if name in collector.metrics else ()
                    return {attributes(each.attributes)["http.request.method"]: each.count for each in points}

                expected = {"GET": 1, "POST": 1, "_OTHER": 1}
                for name in ("request.duration", "request.body.size", "response.body.size"):  # perhaps in several parts
                    await eventually(lambda name=name: methods(f"http.server.{name}") == expected)  # type: ignore[misc]
                labels = f'route_id="orders",upstream="127.0.0.1:{behind.port}"'
                line = f"http_server_request_duration_seconds_count{{{labels}}} 3.0"
                page = httpx2.get(f"http://127.0.0.1:{running.admin_port}/metrics", trust_env=False).text
                assert line in page.splitlines()
