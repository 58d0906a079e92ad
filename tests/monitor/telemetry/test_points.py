"""Metrics as a collector gets them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint

from gateway.algorithms.percentiles import Sketch
from gateway.algorithms.sizes import Sizes
from gateway.families import Buckets, Exemplar, Family, Sample, counter, gauge
from gateway.monitor.telemetry.metric_names import NAMES, name_of
from gateway.monitor.telemetry.points import ReadingSender
from gateway.monitor.telemetry.reading import Reading
from gateway.monitor.telemetry.settings import Destination, Form
from tests.monitor.telemetry.collector import Collector, attributes, running_collector
from tests.monitor.telemetry.test_conventions import PAGE
from tests.monitor.telemetry.test_spans import backend, get, route
from tests.support import eventually, running_gateway

EXEMPLAR = Exemplar("a" * 32, "b" * 16, 0.2, 1_700_000_000.0)


def sent(collector: Collector, form: Form, *readings: list[Family]) -> dict[str, Metric]:
    """The last reading, as it comes."""
    sender = ReadingSender(Destination("http", "metrics", collector.url, (), 5.0, ()), form)
    for number, families in enumerate(readings):
        assert sender.send([Reading(families, 1_800_000_000.0 + number)]).why == ""
    sender.close()
    return collector.metrics


def durations(*seconds: float) -> Family:
    sketch = Sketch()
    for each in seconds:
        sketch.add(each)
    sample = Sample(("orders", ""), sketch, (EXEMPLAR,))
    return Family("http_server_request_duration_seconds", "histogram", "How long.", ("route_id", "upstream"), [sample])


def test_counts_come_as_they_are() -> None:
    """Counters, what goes up and down, gauges, and histograms of each kind; names and units of the conventions."""
    sizes = Sizes()
    for size in (0, 100, 5000):
        sizes.add(size)
    families = [
        durations(0.2, 0.3, 400.0),
        Family("http_server_request_body_size_bytes", "histogram", "", (), [Sample((), sizes)], bounds=(256.0, 8192.0)),
        counter("gateway_requests_total", "How many.", {("orders", "GET"): 7}, ("route_id", "method")),
        gauge("http_client_open_connections", "", {("idle",): 3}, ("state",)),
        gauge("gateway_discovery_age_seconds", "", {(): 1.5}),
        Family("own", "histogram", "", (), [Sample((), Buckets(3, 6.0, [(1.0, 1), (2.0, 2), (float("inf"), 3)]))]),
        Family("left_out", "summary", "", (), [Sample((), Buckets(3, 6.0))]),
    ]
    with running_collector() as collector:
        found = sent(collector, Form(1.0, False, False), families)
    duration = found["http.server.request.duration"]
    (point,) = duration.histogram.data_points
    assert (duration.unit, point.count, attributes(point.attributes)) == ("s", 3, {"gateway.route_id": "orders"})
    assert point.sum == pytest.approx(400.5)
    counts = dict(zip([*point.explicit_bounds, float("inf")], point.bucket_counts, strict=True))
    assert {bound: count for bound, count in counts.items() if count} == {0.25: 1, 0.5: 1, float("inf"): 1}
    assert not point.HasField("min")
    assert point.exemplars[0].trace_id.hex() == "a" * 32
    assert point.exemplars[0].as_double == 0.2
    assert duration.histogram.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    body = found["http.server.request.body.size"]
    assert (body.unit, list(body.histogram.data_points[0].bucket_counts)) == ("By", [2, 1, 0])
    requests = found["gateway.requests"].sum
    assert (requests.is_monotonic, requests.data_points[0].as_int) == (True, 7)
    assert attributes(requests.data_points[0].attributes) == {
        "gateway.route_id": "orders",
        "http.request.method": "GET",
    }
    connections = found["http.client.open_connections"].sum
    assert (connections.is_monotonic, connections.data_points[0].as_int) == (False, 3)
    assert attributes(connections.data_points[0].attributes) == {"http.connection.state": "idle"}
    age = found["gateway.discovery_age"]
    assert (age.unit, age.gauge.data_points[0].as_double) == ("s", 1.5)
    assert list(found["own"].histogram.data_points[0].bucket_counts) == [1, 1, 1]
    assert "left_out" not in found


def test_durations_come_in_the_buckets_in_which_they_are_counted() -> None:
    """Where that is wanted: as exponential histograms, whose buckets hold the very values."""
    seconds = [0.0000001, 0.001, 0.0013, 7.0]
    with running_collector() as collector:
        found = sent(collector, Form(1.0, True, False), [durations(*seconds)])
    (point,) = found["http.server.request.duration"].exponential_histogram.data_points
    assert (point.scale, point.count, point.zero_count) == (5, 4, 1)
    base = 2 ** (2.0**-point.scale)
    filled = [point.positive.offset + at for at, count in enumerate(point.positive.bucket_counts) if count]
    assert all(base**index < value <= base ** (index + 1) for index, value in zip(filled, seconds[1:], strict=True))


def test_collectors_that_want_differences_get_them() -> None:
    """From one reading to the next; of gauges the value, and of what began anew all of it."""

    def reading(count: int, *seconds: float) -> list[Family]:
        sizes, buckets = Sizes(), Buckets(count, 1.0, [(1.0, count)])
        for _ in range(count):
            sizes.add(3)
        return [
            durations(*seconds),
            counter("gateway_requests_total", "", {(): count}),
            gauge("gateway_troubles", "", {(): count}),
            Family("sizes_bytes", "histogram", "", (), [Sample((), sizes)]),
            Family("own", "histogram", "", (), [Sample((), buckets)]),
        ]

    with running_collector() as collector:
        form = Form(1.0, False, True)
        found = sent(collector, form, reading(5, 0.2), reading(7, 0.2, 0.2, 3.0))
        requests, (point,) = found["gateway.requests"].sum, found["http.server.request.duration"].histogram.data_points
        assert (requests.aggregation_temporality, requests.data_points[0].as_int) == (1, 2)
        assert requests.data_points[0].start_time_unix_nano == 1_800_000_000 * 10**9
        assert (point.count, sum(point.bucket_counts)) == (2, 2)
        assert found["gateway.troubles"].gauge.data_points[0].as_int == 7
        assert found["sizes"].histogram.data_points[0].count == found["own"].histogram.data_points[0].count == 2
        found = sent(collector, form, reading(5, 0.2), reading(3))
        assert found["gateway.requests"].sum.data_points[0].as_int == 3


def test_many_series_are_sent_in_parts() -> None:
    """None is lost at a border, and no part holds the interpreter for long."""
    counts = {(f"route-{number}",): number for number in range(1, 1001)}
    seen: dict[str, int] = {}
    with running_collector() as collector:
        take = collector.take

        def took(path: str, body: bytes) -> None:
            take(path, body)
            for point in collector.metrics["gateway.requests"].sum.data_points:
                seen[str(attributes(point.attributes)["gateway.route_id"])] = point.as_int

        collector.take = took  # type: ignore[method-assign]
        sent(collector, Form(1.0, False, False), [counter("gateway_requests_total", "", counts, ("route_id",))])
        assert collector.requests == 5
    assert seen == {name: number for (name,), number in counts.items()}


def test_the_page_lists_the_names() -> None:
    """Those of the conventions."""
    table = PAGE.read_text().split("| metric of Prometheus |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", table, re.MULTILINE)
    assert dict(rows) == NAMES


def test_other_names_lead_back_to_those_of_prometheus() -> None:
    """Whatever turns OpenTelemetry's names into Prometheus's makes of them what `/metrics` has."""
    for name in ("gateway_requests_total", "gateway_loop_stalled_seconds_total", "gateway_cache_bytes", "mine_total"):
        family = Family(name, "counter" if name.endswith("_total") else "gauge", "")
        back = name_of(family).replace(".", "_") + (f"_{family.unit}" if family.unit else "")
        assert back + ("_total" if family.kind == "counter" else "") == name


async def test_a_gateway_sends_its_metrics(tmp_path: Path) -> None:
    """Every interval, and once more at its end; with exemplars of what was traced."""
    async with backend() as behind:
        with running_collector() as collector:
            middleware = f"telemetry: {{otlp: '{collector.url}', metrics: true}}\ntrace: {{sample: 1}}\n"
            environment = {"OTEL_METRIC_EXPORT_INTERVAL": "100"}
            with running_gateway(tmp_path, route(behind.port), middleware, environment=environment) as running:
                await get(running.port, "/orders/1")
                await eventually(lambda: "http.server.request.duration" in collector.metrics)
                await get(running.port, "/orders/2")
    (point,) = collector.metrics["http.server.request.duration"].histogram.data_points
    assert point.count == 2
    assert attributes(point.attributes)["http.route"] == "/orders/{id}"
    assert {exemplar.span_id for exemplar in point.exemplars} <= {span.span_id for span in collector.spans}
    assert point.exemplars
    assert "process.cpu.time" in collector.metrics


def test_values_and_texts_that_cannot_be_sent_as_they_are() -> None:
    """One of them must not keep all others from the collector."""
    families = [
        gauge("yes", "\ud800", {("\udce4",): True}, ("l",)),
        counter("huge_total", "", {(): 10**30}),
        gauge("nothing", "", {(): float("nan")}),
    ]
    with running_collector() as collector:
        found = sent(collector, Form(1.0, False, False), families)
    (point,) = found["yes"].gauge.data_points
    assert (point.as_int, attributes(point.attributes)) == (1, {"l": "\\udce4"})
    assert found["huge"].sum.data_points[0].as_double == 1e30
    assert "nothing" in found


def test_points_are_of_their_kind() -> None:
    """What the SDK is given is what it has."""
    sender = ReadingSender(Destination("console", "metrics", None, (), 5.0, ()), Form(1.0, True, False))
    kinds = [
        (durations(1.0), ExponentialHistogramDataPoint),
        (Family("s_bytes", "histogram", "", (), [Sample((), Sizes())]), HistogramDataPoint),
        (gauge("g", "", {(): 1}), NumberDataPoint),
    ]
    for family, kind in kinds:
        ((_, point),) = sender._points(Reading([family], 0.0))
        assert isinstance(point, kind)
