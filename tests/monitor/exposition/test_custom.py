"""What custom policies count."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY, Counter, Enum, Gauge, Histogram, Info, Summary
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.families import counter
from gateway.monitor.exposition.negotiation import Form
from tests.monitor.exposition.messages import labels
from tests.monitor.exposition.messages import read as read_messages
from tests.monitor.exposition.samples import exposition, read


@pytest.fixture
def counted() -> Iterator[list[Collector]]:
    """What registers itself in a test goes with it."""
    made: list[Collector] = []
    yield made
    for each in made:
        REGISTRY.unregister(each)


@pytest.mark.parametrize("form", ["text", "openmetrics"])
def test_every_kind_of_the_library(form: Form, counted: list[Collector]) -> None:
    """Counters, gauges, histograms, summaries, infos and enums are on the page, as they were counted."""
    orders = Counter("my_orders", "Orders.", ["kind"])
    size, took, waited = Gauge("my_size", ""), Histogram("my_seconds", "", buckets=(1, 2)), Summary("my_wait", "")
    about, state = Info("my_app", ""), Enum("my_state", "", states=["on", "off"])
    counted += [orders, size, took, waited, about, state]
    orders.labels('a"b\n').inc(2)
    size.set(1.5)
    took.observe(1.5)
    waited.observe(3)
    about.info({"version": "7"})
    state.state("off")
    page = read(exposition().now(form), openmetrics=form == "openmetrics")
    found = {key: sample.value for key, sample in page.items()}
    assert found["my_orders_total", (("kind", 'a"b\n'),)] == 2
    assert found["my_size", ()] == 1.5
    assert found["my_seconds_bucket", (("le", "1.0"),)] == 0
    assert (found["my_seconds_bucket", (("le", "2.0"),)], found["my_seconds_sum", ()]) == (1, 1.5)
    assert (found["my_wait_count", ()], found["my_wait_sum", ()]) == (1, 3)
    assert found["my_app_info", (("version", "7"),)] == 1
    assert found["my_state", (("my_state", "off"),)] == 1


def test_as_messages(counted: list[Collector]) -> None:
    """They are in the page of protocol buffers, too."""
    took, waited = Histogram("my_seconds", "", ["a"], buckets=(1, 2)), Summary("my_wait", "")
    counted += [took, waited]
    took.labels("x").observe(1.5)
    waited.observe(3)
    found = read_messages(exposition().now("protobuf"))
    (metric,) = found["my_seconds"].metric
    assert labels(metric) == {"a": "x"}
    assert [bucket.cumulative_count for bucket in metric.histogram.bucket] == [0, 1, 1]
    assert found["my_wait"].metric[0].summary.sample_sum == 3


def test_a_collector_that_raises(counted: list[Collector], caplog: pytest.LogCaptureFixture) -> None:
    """The rest of the page is there, and the log says why something is not."""

    class Broken(Collector):
        broken = False

        def collect(self) -> Iterator[Metric]:
            if self.broken:
                raise RuntimeError("no database")
            return iter(())

    broken = Broken()
    REGISTRY.register(broken)
    counted.append(broken)
    broken.broken = True
    page = exposition(counter("n_total", "", {(): 1})).now("openmetrics")
    assert read(page, openmetrics=True)["n_total", ()].value == 1
    assert "no database" in caplog.text


def test_names_of_the_gateway_are_its_own(counted: list[Collector]) -> None:
    """A policy cannot make Prometheus refuse the page by counting under a name that is taken."""
    mine = Counter("gateway_requests", "")
    counted.append(mine)
    mine.inc(5)
    page = exposition(counter("gateway_requests_total", "", {(): 1})).now("openmetrics")
    assert read(page, openmetrics=True)["gateway_requests_total", ()].value == 1
