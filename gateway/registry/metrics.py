"""Metrics of each service whose endpoints are discovered."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from gateway.registry.discovery import USE_SECONDS as SECONDS
from gateway.registry.discovery import Discovery


def discovery_metrics(services: Iterable[Discovery]) -> Iterator[Metric]:
    """A label for each service of the configuration that is discovered: there are no others."""
    labels, now = ["service"], time.perf_counter()
    age = GaugeMetricFamily(
        "gateway_discovery_age_seconds",
        "Time since the source of a service last sent anything, by service.",
        labels=labels,
    )
    stale = GaugeMetricFamily(
        "gateway_discovery_stale",
        "1 while the source of a service does not answer; its last endpoints are used, and /health says why.",
        labels=labels,
    )
    count = GaugeMetricFamily(
        "gateway_discovery_endpoints",
        "Endpoints of a service that its source has found, and that are used.",
        labels=labels,
    )
    dropped = GaugeMetricFamily(
        "gateway_discovery_dropped",
        "Instances of a service outside of allowed_networks, which are not used; add their network if they are yours.",
        labels=labels,
    )
    changes = CounterMetricFamily(
        "gateway_discovery_changes", "Times that the set of endpoints of a service was replaced.", labels=labels
    )
    faults = CounterMetricFamily(
        "gateway_discovery_faults",
        "Faults that a source found and mended, such as a watch that missed an event.",
        labels=labels,
    )
    use = HistogramMetricFamily(
        "gateway_discovery_use_seconds", "From the source's event to its use, by service.", labels=labels
    )
    for each in services:
        name = [each.upstream.name]
        if (seconds := each.age(now)) is not None:
            age.add_metric(name, seconds)
        stale.add_metric(name, 1.0 if each.lost else 0.0)
        count.add_metric(name, len(each.upstream.endpoints))
        dropped.add_metric(name, each.dropped)
        changes.add_metric(name, each.changes)
        faults.add_metric(name, each.faults)
        buckets = zip((*map(str, SECONDS), "+Inf"), map(float, each.use.cumulative(SECONDS)), strict=True)
        use.add_metric(name, list(buckets), each.use.total)
    yield from (age, stale, count, dropped, changes, faults, use)
