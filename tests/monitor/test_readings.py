from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from gateway.algorithms.percentiles import Sketch
from gateway.monitor.readings import Readings
from gateway.monitor.slices import Subjects
from gateway.monitor.tallies import Subject, Tally
from gateway.monitor.traffic import Flow, Traffic
from tests.monitor.stepping import finish


@dataclass(eq=False)
class Backend:
    """An endpoint's numbers."""

    label: str
    durations: Sketch = field(default_factory=Sketch)
    failures: int = 0
    in_flight: int = 0


@dataclass
class Pool:
    """A service's endpoints."""

    name: str
    endpoints: Sequence[Backend]


class Watched:
    """A traffic, services, and what is read of them."""

    def __init__(self, most_bytes: int = 10 * 1024**2) -> None:
        self.traffic = Traffic()
        self.pools: list[Pool] = []
        self.subjects = Subjects(10 * 1024**2)
        self.readings = Readings([self.traffic], lambda: self.pools, self.subjects, most_bytes)

    def flow(self, route: str, upstream: str) -> Flow:
        return self.traffic.flows.setdefault((route, upstream), Flow(route, upstream))

    def look(self) -> dict[Subject, Tally]:
        found = {}
        for number, packed in finish(self.readings.look()).items():
            subject = self.subjects.subject(number)
            assert subject is not None
            found[subject] = Tally()
            found[subject].add(packed)
        return found


def serve(flow: Flow, seconds: float, status: int = 200, tenant: str = "") -> None:
    key = (tenant, "GET", status, "failed" if status >= 500 else "ok")
    flow.counts[key] = flow.counts.get(key, 0) + 1  # type: ignore[index,arg-type]
    flow.errors += status >= 500
    flow.durations.add(seconds)


def test_what_has_come_is_counted_once_by_each_subject() -> None:
    """A request counts for its route, its service, its tenant and for all, in the slice in which it ended only."""
    watched = Watched()
    serve(watched.flow("orders", "shop"), 0.1, tenant="acme")
    serve(watched.flow("orders", "spare"), 0.2, status=502)
    serve(watched.flow("users", "shop"), 0.3, tenant="acme")
    serve(watched.flow("-", "-"), 0.001, status=404)
    found = watched.look()
    counts = {(each.kind, each.name): (tally.requests, tally.errors) for each, tally in found.items()}
    assert counts == {
        ("all", ""): (4, 1),
        ("route", "orders"): (2, 1),
        ("route", "users"): (1, 0),
        ("route", "-"): (1, 0),
        ("upstream", "shop"): (2, 0),
        ("upstream", "spare"): (1, 1),
        ("tenant", "acme"): (2, 0),
    }
    assert found[Subject("all", "")].figures(10.0).p999 == pytest.approx(0.2, rel=0.011)  # of rank 2.997
    assert watched.look() == {}
    serve(watched.flow("orders", "shop"), 5.0, tenant="acme")
    found = watched.look()
    assert found[Subject("route", "orders")].requests == 1
    assert found[Subject("route", "orders")].figures(10.0).p50 == pytest.approx(5.0, rel=0.011)
    assert found[Subject("tenant", "acme")].requests == 1


def test_the_last_requests_of_a_removed_route_count() -> None:
    """What a route had served since the last look is counted when a reload removes it, and never again."""
    watched = Watched()
    flow = watched.flow("orders", "shop")
    serve(flow, 0.1)
    watched.look()
    serve(flow, 0.1)
    for _ in watched.traffic.configure(lambda route, upstream: False, frozenset(), frozenset()):
        pass
    assert watched.look()[Subject("route", "orders")].requests == 1
    assert finish(watched.readings.totals()) == (2, 0)
    serve(watched.flow("orders", "shop"), 0.1)
    assert watched.look()[Subject("route", "orders")].requests == 1
    assert finish(watched.readings.totals()) == (3, 0)


def test_an_endpoint_counts_until_it_has_nothing_in_flight() -> None:
    """An endpoint that leaves counts what it still had, and a new one at its address begins from nothing."""
    watched = Watched()
    backend = Backend("10.0.0.1:80", in_flight=1)
    watched.pools = [Pool("shop", [backend])]
    backend.durations.add(0.1)
    name = Subject("endpoint", "shop/10.0.0.1:80")
    assert watched.look()[name].requests == 1
    successor = Backend("10.0.0.1:80")
    successor.durations.add(0.2)
    successor.failures = 1
    watched.pools = [Pool("shop", [successor])]
    backend.durations.add(0.3)
    found = watched.look()[name]
    assert (found.requests, found.errors) == (2, 1)
    backend.durations.add(0.3)
    backend.in_flight = 0
    assert watched.look()[name].requests == 1
    size = watched.readings.bytes
    assert watched.look() == {}
    assert watched.readings.bytes == size


def test_without_room_requests_are_still_counted() -> None:
    """Where there is no room for what was known of so many routes, their requests and errors are still right."""
    watched = Watched(most_bytes=4000)
    flows = [watched.flow(f"route-{number}", "shop") for number in range(100)]
    for _ in range(3):
        for flow in flows:
            serve(flow, 0.1, status=503, tenant="acme")
        found = watched.look()
        assert found[Subject("all", "")].requests == 100
        assert all(found[Subject("route", flow.route)].errors == 1 for flow in flows)
        assert found.get(Subject("tenant", "acme"), Tally()).requests <= 100
