"""Metrics of each service whose endpoints are discovered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from gateway.families import Family, Kind, Sample, Value
from gateway.registry.discovery import Discovery


def discovery_metrics(services: Iterable[Discovery]) -> Iterator[Family]:
    """A label for each service of the configuration that is discovered: there are no others."""
    found, now = list(services), time.perf_counter()

    def family(name: str, kind: Kind, help: str, value: Callable[[Discovery], Value | None]) -> Family:
        samples = (Sample((each.upstream.name,), measured) for each in found if (measured := value(each)) is not None)
        return Family(name, kind, help, ("upstream",), samples, "max" if kind == "gauge" else "sum")

    help = "Time since the source of a service last sent anything, by service."
    yield family("gateway_discovery_age_seconds", "gauge", help, lambda each: each.age(now))
    help = "1 while the source of a service does not answer; its last endpoints are used, and /health says why."
    yield family("gateway_discovery_stale", "gauge", help, lambda each: float(bool(each.lost)))
    help = "Endpoints of a service that its source has found, and that are used."
    yield family("gateway_discovery_endpoints", "gauge", help, lambda each: len(each.upstream.endpoints))
    help = (
        "Instances of a service outside of allowed_networks, which are not used; add their network if they are yours."
    )
    yield family("gateway_discovery_dropped", "gauge", help, lambda each: each.dropped)
    help = "Times that the set of endpoints of a service was replaced."
    yield family("gateway_discovery_changes_total", "counter", help, lambda each: each.changes)
    help = "Faults that a source found and mended, such as a watch that missed an event."
    yield family("gateway_discovery_faults_total", "counter", help, lambda each: each.faults)
    help = "From the source's event to its use, by service."
    yield family("gateway_discovery_use_seconds", "histogram", help, lambda each: each.use)
