"""Metrics of each service whose endpoints are discovered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from gateway.families import Family, Labels, Merge, Sample, counter, gauge
from gateway.registry.discovery import Discovery


def discovery_metrics(services: Iterable[Discovery]) -> Iterator[Family]:
    """A label for each service of the configuration that is discovered: there are no others."""
    found, now = list(services), time.perf_counter()

    def values(value: Callable[[Discovery], float]) -> dict[Labels, float]:
        return {(each.upstream.name,): value(each) for each in found}

    def measured(name: str, help: str, value: Callable[[Discovery], float], merge: Merge = "max") -> Family:
        return gauge(name, help, values(value), ("upstream",), merge)

    help = "Time since the source of a service last sent anything, by service."
    ages = {(each.upstream.name,): age for each in found if (age := each.age(now)) is not None}
    yield gauge("gateway_discovery_age_seconds", help, ages, ("upstream",), "max")
    help = "1 while the source of a service does not answer; its last endpoints are used, and /health says why."
    yield measured("gateway_discovery_stale", help, lambda each: float(bool(each.lost)))
    help = "Endpoints of a service that its source has found, and that are used."
    yield measured("gateway_discovery_endpoints", help, lambda each: len(each.upstream.endpoints))
    help = (
        "Instances of a service outside of allowed_networks, which are not used; add their network if they are yours."
    )
    yield measured("gateway_discovery_dropped", help, lambda each: each.dropped)
    help = "Times that the set of endpoints of a service was replaced."
    yield counter("gateway_discovery_changes_total", help, values(lambda each: each.changes), ("upstream",))
    help = "Faults that a source found and mended, such as a watch that missed an event."
    yield counter("gateway_discovery_faults_total", help, values(lambda each: each.faults), ("upstream",))
    help = "From the source's event to its use, by service."
    uses = (Sample((each.upstream.name,), each.use) for each in found)
    yield Family("gateway_discovery_use_seconds", "histogram", help, ("upstream",), uses)
