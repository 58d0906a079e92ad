"""What a router makes of what discovery publishes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.bus.memory import MemoryBus
from gateway.events import ServiceRegistry
from gateway.registry.discovery import Caution, Discovery
from gateway.registry.over_bus import BusHealth, BusRegistry, BusSource
from gateway.registry.publishing import RegistryPublisher
from gateway.upstream.health import Signal
from gateway.upstream.member import Member
from gateway.upstream.service import Upstream
from tests.registry.support import Heard
from tests.support import eventually
from tests.upstream.test_service import A, B, upstream_of


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    made = MemoryBus()
    yield made
    await made.stop()


@pytest.fixture
async def registry(bus: MemoryBus) -> AsyncIterator[BusRegistry]:
    made = BusRegistry(bus)
    await made.start()
    yield made
    await made.stop()


def states(upstream: Upstream) -> dict[str, tuple[Signal, str] | None]:
    now = time.perf_counter()
    outs = {each.label: each.health.out(now) for each in upstream.endpoints}
    return {label: None if out is None else (out[0], out[1].reason) for label, out in outs.items()}


async def test_instances_that_cannot_be_used_are_left_out(bus: MemoryBus, registry: BusRegistry) -> None:
    """They are reported as faults of the source, and the others are used."""
    heard = Heard(BusSource(registry, "user-api"))
    watching = asyncio.create_task(heard.run())
    poison: tuple[Any, ...] = (
        {"host": [1], "port": 1},
        {"host": "a", "port": "x"},
        {"port": 1},
        {},
        "no port",
        {"host": "a", "x": 1},
    )
    bus.publish(ServiceRegistry(service="other", instances=("10.0.0.9:1",)))
    bus.publish(
        ServiceRegistry(service="user-api", instances=("10.0.0.1:80", *poison, {"host": "10.0.0.2", "port": 80}))
    )
    await eventually(lambda: heard.addresses == ["10.0.0.1:80", "10.0.0.2:80"])
    assert len(heard.faults) == len(poison)
    later = Heard(BusSource(registry, "other"))
    joining = asyncio.create_task(later.run())
    await eventually(lambda: later.addresses == ["10.0.0.9:1"])
    for task in (watching, joining):
        task.cancel()


async def test_a_message_of_another_program_is_understood(bus: MemoryBus, registry: BusRegistry) -> None:
    """One that says no more than what is documented has an instance out that fails."""
    upstream = upstream_of()
    discovery = Discovery(upstream, BusSource(registry, upstream.name), Caution(hold_empty=0.0))
    await discovery.start()
    failing = {"host": "10.0.0.2", "port": 80, "health": "critical"}
    late = {"host": "10.0.0.3", "port": 80, "health": "failing", "signal": "heartbeat", "reason": "x"}
    odd = {"host": "10.0.0.4", "port": 80, "health": "failing", "signal": "other", "reason": "a\nb"}
    bus.publish(ServiceRegistry(service=upstream.name, instances=("10.0.0.1:80", failing, late, odd)))
    await eventually(lambda: len(upstream.endpoints) == 4)
    assert states(upstream) == {
        "10.0.0.1:80": None,
        "10.0.0.2:80": (Signal.SOURCE, "its source says critical"),
        "10.0.0.3:80": (Signal.HEARTBEAT, "its heartbeat is late"),
        "10.0.0.4:80": (Signal.SOURCE, "a b"),
    }
    await discovery.stop()


async def test_what_discovery_sees_is_what_the_router_has(bus: MemoryBus, registry: BusRegistry) -> None:
    """Checks and feedback count with their reasons, until they are taken back; outliers are each router's own."""
    seen, remote = upstream_of(Member(A), Member(B)), upstream_of(Member(A), Member(B))
    publisher = RegistryPublisher(bus, lambda: [seen], list)
    health = BusHealth(registry, remote, initially_up=False, alone=True)
    await health.start()
    assert {out and out[1] for out in states(remote).values()} == {"it was not checked yet"}
    publisher.follow()
    await publisher.start()
    await eventually(lambda: set(states(remote).values()) == {None})
    first, second = seen.endpoints
    now = time.perf_counter()
    seen.report(first, Signal.PROBE, up=False, reason="3 checks failed", now=now)
    seen.report(second, Signal.FEEDBACK, up=False, reason="a monitor says failing", now=now, until=now + 3.0)
    said = {first.label: (Signal.PROBE, "3 checks failed"), second.label: (Signal.FEEDBACK, "a monitor says failing")}
    await eventually(lambda: states(remote) == said)
    seen.report(first, Signal.PROBE, up=True, reason="its checks pass", now=now)
    await eventually(lambda: set(states(remote).values()) == {None})  # feedback has ended by itself
    seen.report(first, Signal.OUTLIERS, up=False, reason="it fails", now=now)
    seen.replace([Member(A)])
    await eventually(lambda: bus.counts.published["service-registry"] >= 4)
    await asyncio.sleep(0.05)
    assert set(states(remote).values()) == {None}
    await publisher.stop()
    assert list(health.troubles()) == []
    health.look("Redis does not answer")
    [trouble] = health.troubles()
    assert trouble.startswith("the health of the endpoints of s is that of ")
    assert trouble.endswith(" s ago: Redis does not answer")
    assert set(states(remote).values()) == {None}
    health.retire()
