"""What holds for the bus in one process and for that over Redis alike."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator

import pytest

from gateway.bus.bus import Bus, Received
from gateway.bus.memory import MemoryBus
from gateway.bus.redis import RedisBus
from gateway.events import AccessLog, AuthRequest, HealthFeedback, ServiceRegistry
from tests.outside.support import linked
from tests.redis_server import RedisServer
from tests.support import eventually

PREFIXES = itertools.count()


@pytest.fixture(params=["memory", "redis"])
async def bus(request: pytest.FixtureRequest, redis: RedisServer) -> AsyncIterator[Bus]:
    if request.param == "memory":
        memory = MemoryBus()
        yield memory
        await memory.stop()
        return
    async with linked(redis, prefix=f"bus{next(PREFIXES)}:") as link:
        over_redis = RedisBus(link)
        await over_redis.start()
        yield over_redis
        await over_redis.stop()


def feedback(service: str = "user-api") -> HealthFeedback:
    return HealthFeedback(service=service, instance="10.0.1.6:8080", status="failing", error_rate=0.42)


def access(number: int) -> AccessLog:
    return AccessLog(request_id=f"req-{number}", client="acme-corp", decision="allow", latency_ms=12)


async def test_what_is_published_comes_to_those_who_want_it(bus: Bus) -> None:
    """Each handler gets the messages of its kind, in their order, and no others."""
    got: list[str] = []
    began = time.monotonic()

    async def handle(message: HealthFeedback, received: Received) -> None:
        got.append(message.service)
        assert received.sender == bus.name
        assert 0 <= received.age < time.monotonic() - began + 1

    bus.subscribe(HealthFeedback, handle)
    for name in "abc":
        bus.publish(access(1))
        bus.publish(feedback(name))
    await eventually(lambda: got == ["a", "b", "c"])


async def test_a_handler_that_fails_harms_nothing_else(bus: Bus) -> None:
    """What a handler raises is counted, and the next message is handled."""
    got: list[str] = []

    async def handle(message: HealthFeedback, received: Received) -> None:
        if message.service == "broken":
            raise RuntimeError("no")
        got.append(message.service)

    bus.subscribe(HealthFeedback, handle)
    bus.publish(feedback("broken"))
    bus.publish(feedback("well"))
    await eventually(lambda: got == ["well"])
    assert bus.counts.dropped == {("health-feedback", "failed"): 1}


async def test_a_group_gets_each_message_once(bus: Bus) -> None:
    """Messages for a group are handled, also those that were there before it."""
    got: list[str] = []

    async def handle(message: AccessLog, received: Received) -> None:
        got.append(message.request_id)

    bus.subscribe(AccessLog, handle, "monitor")
    for number in range(250):
        bus.publish(access(number))
    await eventually(lambda: len(got) == 250)
    assert got == [f"req-{number}" for number in range(250)]


async def test_no_credential_is_on_the_bus(bus: Bus) -> None:
    """A key that is published comes as its fingerprint."""
    got: list[str] = []

    async def handle(message: AuthRequest, received: Received) -> None:
        got.append(message.api_key)

    bus.subscribe(AuthRequest, handle, "auth")
    bus.publish(AuthRequest(request_id="req-1", path="/", api_key="key_example_4eC39H"))
    await eventually(lambda: got == ["sha256:9ff4153050a9"])


async def test_what_is_said_last_of_a_service_is_kept(bus: Bus) -> None:
    """One who comes later gets the last message of each service."""
    for port in (1, 2):
        for name in "ab":
            bus.publish(ServiceRegistry(service=name, instances=(f"10.0.0.1:{port}",)))
    bus.retract(ServiceRegistry, "a")
    late = await _kept(bus)
    await eventually(lambda: late == {"b": ("10.0.0.1:2",)})


async def _kept(bus: Bus) -> dict[str, object]:
    got: dict[str, object] = {}

    async def handle(message: ServiceRegistry, received: Received) -> None:
        got[message.service] = message.instances

    await eventually(lambda: bus.waiting == 0)
    bus.subscribe(ServiceRegistry, handle)
    return got


async def test_what_cannot_be_sent_is_counted(bus: Bus) -> None:
    """Publishing raises for nothing: a text that is no Unicode, and a message that is too large, are dropped."""

    async def handle(message: AccessLog | ServiceRegistry, received: Received) -> None: ...

    bus.subscribe(AccessLog, handle)
    bus.subscribe(ServiceRegistry, handle)
    bus.publish(AccessLog.model_construct(request_id="\ud800", client="x", decision="allow", latency_ms=1))
    bus.publish(ServiceRegistry(service="x", instances=("x" * 5_000_000,)))
    assert bus.counts.dropped == {("access-log", "invalid"): 1, ("service-registry", "too_large"): 1}


async def test_a_subscription_ends(bus: Bus) -> None:
    """After its end, a handler is called no more."""
    got: list[str] = []
    later: list[str] = []

    async def handle(message: HealthFeedback, received: Received) -> None:
        got.append(message.service)

    async def handle_later(message: HealthFeedback, received: Received) -> None:
        later.append(message.service)

    subscription = bus.subscribe(HealthFeedback, handle)
    bus.publish(feedback("a"))
    await eventually(lambda: got == ["a"])
    subscription.end()
    bus.subscribe(HealthFeedback, handle_later)
    bus.publish(feedback("b"))
    await eventually(lambda: "b" in later)
    assert got == ["a"]
