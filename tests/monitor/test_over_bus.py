"""What routers tell the monitor of another process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.bus.bus import Received
from gateway.bus.memory import MemoryBus
from gateway.events import AccessLog, AuthRequest, EndpointCounts, FlowCounts, TrafficCounts
from gateway.families import Sample
from gateway.http import Decision, Identity
from gateway.live import paced
from gateway.monitor import publishing
from gateway.monitor.over_bus import CredentialListener, Heard, RouterListener, heard_metrics
from gateway.monitor.publishing import AccessPublisher, TrafficPublisher
from gateway.monitor.traffic import OTHER, Traffic
from tests.monitor.stepping import finish
from tests.monitor.test_readings import Backend, Pool
from tests.monitor.test_traffic import drain, exchange_of, outcome_of
from tests.support import eventually


class Router:
    """What a router counts, and tells."""

    def __init__(self, bus: MemoryBus) -> None:
        self.traffic = Traffic()
        self.backend = Backend("10.0.1.5:8080")
        self.pools = [Pool("shop", [self.backend])]
        self.publisher = TrafficPublisher(bus, self.traffic, lambda: self.pools)

    def serve(self, status: int = 200, seconds: float = 0.1, route: str = "orders", consumer: str = "app") -> None:
        exchange = exchange_of(route)
        exchange.identity = Identity(consumer, "keys", tenant="acme")
        self.traffic.report(exchange, outcome_of(status, seconds))
        self.backend.durations.add(seconds)
        self.backend.failures += status >= 500


@asynccontextmanager
async def sending(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Router, Heard]]:
    monkeypatch.setattr(publishing, "ROUND_SECONDS", 0.02)
    monkeypatch.setattr(paced, "SLICE", 10.0)  # what was there before is looked at in one turn, however slow it is
    bus, heard = MemoryBus(), Heard()
    router, listener = Router(bus), RouterListener(bus, heard)
    router.serve()  # recognised by what was there before
    await listener.start()
    await router.publisher.start()
    await asyncio.sleep(0)
    yield router, heard
    await router.publisher.stop()
    await listener.stop()
    await bus.stop()


def counted(traffic: Traffic) -> dict[Any, Any]:
    return {name: (flow.counts, flow.durations.count, flow.errors) for name, flow in traffic.flows.items()}


async def test_what_is_counted_adds_up_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor has the same numbers as the routers, from when they began to tell, durations included."""
    async with sending(monkeypatch) as (router, heard):
        for number in range(100):
            router.serve(500 if number % 10 == 0 else 200, 0.001 * (1 + number), consumer=f"app-{number % 2}")
            if number % 30 == 0:
                await asyncio.sleep(0.03)
        await eventually(lambda: bool(heard.services()) and heard.traffic.consumers == {"app-0": 50, "app-1": 50})
        key = ("orders", "shop")
        await eventually(lambda: heard.traffic.flows[key].durations.count == 100)
        assert counted(heard.traffic) == {
            key: ({("acme", "GET", 200, "ok"): 90, ("acme", "GET", 500, "failed"): 10}, 100, 10)
        }
        [service] = heard.services()
        [endpoint] = service.endpoints
        assert (service.name, endpoint.label) == ("shop", "10.0.1.5:8080")
        assert (endpoint.durations.count, endpoint.failures) == (100, 10)
        exact = heard.traffic.flows[key].durations.quantile(0.5)
        assert exact == pytest.approx(0.0505, rel=0.03)


async def test_the_counts_of_an_ended_flow_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A route that is taken out of the configuration loses nothing of its last second."""
    async with sending(monkeypatch) as (router, heard):
        router.serve()
        drain(router.traffic.configure(lambda route, upstream: False, frozenset(), frozenset()))
        await eventually(lambda: ("orders", "shop") in heard.traffic.flows)
        assert heard.traffic.flows["orders", "shop"].durations.count == 1


async def test_large_reports_are_sent_in_several_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of routes are sent in messages of bounded size."""
    async with sending(monkeypatch) as (router, heard):
        for number in range(1000):
            router.serve(route=f"r{number}")
        await eventually(lambda: len(heard.traffic.flows) == 1000)
        assert sum(flow.durations.count for flow in heard.traffic.flows.values()) == 1000


async def test_what_was_counted_too_long_ago_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that has waited for a minute would be a peak that there never was: it is dropped, and counted."""
    bus, heard = MemoryBus(), Heard()
    listener = RouterListener(bus, heard)
    message = TrafficCounts(seconds=1.0, consumers={"app": 1}, flows=(), endpoints=())
    await listener._take(message, Received("a.1", "a", 61.0))
    assert heard.traffic.consumers == {}
    assert bus.counts.dropped == {("traffic", "late"): 1}
    await listener._take(message, Received("a.2", "a", 1.0))
    assert heard.traffic.consumers == {"app": 1}


def test_memory_is_bounded_whatever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints without end are left out when there is no room, until those that are silent are forgotten."""
    heard = Heard(100_000)
    backend = Backend("x")
    for exponent in range(40):
        backend.durations.add(0.0001 * 1.5**exponent)
    for number in range(1000):
        counts = EndpointCounts(service="s", instance=f"i{number}", failures=1, durations=backend.durations)
        finish(heard.take(TrafficCounts(seconds=1, consumers={}, flows=(), endpoints=(counts,)), 1.0))
    assert heard.left_out > 900
    assert heard.bytes < 120_000
    finish(heard.take(TrafficCounts(seconds=1, consumers={}, flows=(), endpoints=(counts,)), 5000.0))
    [service] = heard.services()
    assert [endpoint.label for endpoint in service.endpoints] == ["i999"]
    assert heard.bytes < 20_000
    flows = tuple(
        FlowCounts(route=f"r{n}", upstream="u", counts=(("", "GET", 200, "ok", 2),), durations=backend.durations)
        for n in range(100)
    )
    monkeypatch.setattr(heard, "traffic", Traffic(flow_bytes=50_000))
    finish(heard.take(TrafficCounts(seconds=1, consumers={}, flows=flows, endpoints=()), 1.0))
    assert heard.traffic.flow_bytes < 100_000
    assert sum(flow.durations.count for flow in heard.traffic.flows.values()) == 100 * 40
    assert heard.traffic.flows[OTHER, OTHER].durations.quantile(1.0) > 0


async def test_requests_are_sent_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was let in, and who was not; a router without auth tells which key was shown, by its fingerprint."""
    monkeypatch.setattr(publishing, "LOGGED_SECONDS", 0.01)
    monkeypatch.setattr(publishing, "MOST_LOGGED", 3)
    bus, sent = MemoryBus(), list[Any]()

    async def take(message: AccessLog | AuthRequest, received: Received) -> None:
        sent.append(message)

    bus.subscribe(AccessLog, take)
    bus.subscribe(AuthRequest, take)
    auth = CredentialListener(bus, heard := Heard())
    await auth.start()
    publisher = AccessPublisher(bus, auth=False)
    await publisher.start()
    allowed, denied, anonymous = exchange_of(), exchange_of(), exchange_of()
    allowed.identity = Identity("app", "keys", fingerprint="sha256:9ff4153050a9")
    denied.claimed_consumer = "gone"
    denied.decisions = (Decision("authentication:keys", "deny", "it has expired"),)
    for exchange in (allowed, denied, anonymous, anonymous):
        publisher.report(exchange, outcome_of(seconds=0.0123))
    await eventually(lambda: len(sent) == 4)
    [shown] = [each for each in sent if isinstance(each, AuthRequest)]
    assert (shown.path, shown.api_key) == (allowed.original_path, "sha256:9ff4153050a9")
    logged = [(each.client, each.decision, each.latency_ms) for each in sent if isinstance(each, AccessLog)]
    assert logged == [("app", "allow", 12.3), ("gone", "deny", 12.3), (anonymous.client, "allow", 12.3)]
    assert publisher.left_out == 1
    await eventually(lambda: heard.credentials == 1)
    counted = {family.name: list(family.samples) for family in heard_metrics(heard)}
    assert counted["gateway_heard_credentials_total"] == [Sample((), 1)]
    await auth.stop()
    await publisher.stop()
    await bus.stop()
