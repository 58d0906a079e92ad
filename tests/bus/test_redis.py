"""The bus over a Redis that is away, comes back, loses its data, and holds foreign data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import orjson
import pytest

from gateway.bus import redis as over_redis
from gateway.bus.bus import Received
from gateway.bus.redis import RedisBus
from gateway.events import AccessLog, HealthFeedback, ServiceRegistry
from tests.outside.support import linked
from tests.redis_server import RedisServer
from tests.support import eventually


@asynccontextmanager
async def joined(server: RedisServer, prefix: str = "gateway:", seconds: float = 1.0) -> AsyncIterator[RedisBus]:
    async with linked(server, seconds, prefix) as link:
        bus = RedisBus(link)
        await bus.start()
        try:
            yield bus
        finally:
            await bus.stop()


class Got:
    """What a handler got."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.ages: list[float] = []

    async def __call__(self, message: Any, received: Received) -> None:
        self.messages.append(message)
        self.ages.append(received.age)

    @property
    def ids(self) -> list[str]:
        return [message.request_id for message in self.messages]


def access(number: int, client: str = "acme-corp") -> AccessLog:
    return AccessLog(request_id=f"req-{number}", client=client, decision="allow", latency_ms=12)


def service(port: int, name: str = "user-api") -> ServiceRegistry:
    return ServiceRegistry(service=name, instances=(f"10.0.0.1:{port}",))


FEEDBACK = HealthFeedback(service="user-api", instance="10.0.1.6:8080", status="failing", error_rate=0.42)


async def client(server: RedisServer) -> Any:
    from redis.asyncio import Redis  # noqa: PLC0415

    return Redis.from_url(server.url)


async def test_every_process_hears_what_is_not_for_a_group(redis: RedisServer) -> None:
    """Two processes get a message, and that which sends it gets it once."""
    async with joined(redis, "all:") as one, joined(redis, "all:") as other:
        heard, heard_too = Got(), Got()
        one.subscribe(HealthFeedback, heard)
        other.subscribe(HealthFeedback, heard_too)
        one.publish(FEEDBACK)
        await eventually(lambda: heard_too.messages == [FEEDBACK])
        await asyncio.sleep(2 * over_redis.POLL_SECONDS)
        assert heard.messages == [FEEDBACK]


async def test_processes_of_a_group_share_messages(redis: RedisServer) -> None:
    """Each message is handled by one of them; those of one that has died before go to another."""

    async def hang(message: AccessLog, received: Received) -> None:
        await asyncio.sleep(3600)

    async with joined(redis, "shared:") as sender:
        async with joined(redis, "shared:") as dying:
            dying.subscribe(AccessLog, hang, "monitor")
            sender.publish(access(0))
            store = await client(redis)
            await eventually_async(lambda: _pending(store, "shared:"), 1)
        got = Got()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(over_redis, "IDLE_SECONDS", 0.2)
            patch.setattr(over_redis, "CLAIM_SECONDS", 0.1)
            sender.subscribe(AccessLog, got, "monitor")
            sender.publish(access(1))
            await eventually(lambda: sorted(got.ids) == ["req-0", "req-1"])
            await eventually_async(lambda: _pending(store, "shared:"), 0)
        await store.aclose()


async def _pending(store: Any, prefix: str) -> int:
    try:
        return int((await store.xpending(f"{prefix}bus:access-log", "monitor"))["pending"])
    except Exception:  # there is no group yet
        return -1


async def eventually_async(ask: Any, wanted: object) -> None:
    end = time.monotonic() + 30
    while await ask() != wanted:
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def test_a_message_that_ends_processes_is_given_up(redis: RedisServer) -> None:
    """It is handed over a few times, and then counted as lost."""
    store = await client(redis)
    key = "deadly:bus:access-log"
    async with joined(redis, "deadly:") as bus:
        bus.publish(access(0))
        await eventually(lambda: bus.counts.published == {"access-log": 1})
        await store.xgroup_create(key, "monitor", "0")
        [[_, [(id, _)]]] = await store.xreadgroup("monitor", "dead", {key: ">"})
        for _ in range(over_redis.ATTEMPTS):
            await store.xclaim(key, "monitor", "dead", 0, [id])
        got = Got()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(over_redis, "IDLE_SECONDS", 0.0)
            bus.subscribe(AccessLog, got, "monitor")
            await eventually(lambda: bus.counts.dropped == {("access-log", "unhandled"): 1})
        assert got.messages == []
    await store.aclose()


async def test_messages_wait_while_redis_is_away(own_redis: RedisServer) -> None:
    """They come when it is back, with the time that they have waited in their age."""
    async with joined(own_redis, seconds=0.1) as bus, joined(own_redis, seconds=0.1) as other:
        got = Got()
        other.subscribe(AccessLog, got, "monitor")
        bus.publish(access(0))
        await eventually(lambda: got.ids == ["req-0"])
        own_redis.kill()
        await eventually(lambda: not bus.connected and not other.connected)
        bus.publish(access(1))
        assert list(bus.troubles())
        await asyncio.sleep(0.5)
        own_redis.start()
        await eventually(lambda: got.ids == ["req-0", "req-1"])
        assert got.ages[1] >= 0.5
        await eventually(lambda: not list(bus.troubles()))


async def test_what_waits_too_long_is_lost(own_redis: RedisServer) -> None:
    """News that are a minute old are none; and memory is bounded."""
    async with joined(own_redis, seconds=0.1) as bus:
        own_redis.kill()
        await eventually(lambda: not bus.connected)
        bus.queue.most = 5
        for number in range(10):
            bus.publish(access(number))
        lost = bus.counts.dropped["access-log", "queue"]
        assert lost >= 4
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(over_redis, "LATEST_SECONDS", 0.0)
            own_redis.start()
            await eventually(lambda: bus.counts.dropped.get(("access-log", "late"), 0) == 10 - lost)


async def test_a_stream_is_bounded(redis: RedisServer) -> None:
    """An unread stream is bounded in Redis, and what a group has not read is counted as lost."""
    store = await client(redis)
    key = "bounded:bus:access-log"
    async with joined(redis, "bounded:") as bus:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(over_redis, "MOST", 50)
            for number in range(300):
                bus.publish(access(number))
            await eventually(lambda: bus.counts.published == {"access-log": 300})
            assert await store.xlen(key) == 50
            assert bus.counts.dropped == {}  # there is no subscriber
            await store.xgroup_create(key, "monitor", "0")
            bus.publish(access(300))
            await eventually(lambda: bus.counts.dropped == {("access-log", "unread"): 1})
            patch.setattr(over_redis, "MOST_BYTES", 2000)
            bus.publish(access(301))
            await eventually(lambda: bus.counts.published == {"access-log": 302})
            texts = [fields[b"m"] for _, fields in await store.xrange(key)]
            assert 1000 < sum(map(len, texts)) == int(await store.get(f"{key}:bytes")) <= 2000
    await store.aclose()


async def test_one_who_comes_late_learns_what_was_said_last(redis: RedisServer) -> None:
    """Redis has one message of each service, the last one, and no more."""
    async with joined(redis, "late:") as discovery, joined(redis, "late:") as router:
        for port in range(1, 30):
            discovery.publish(service(port))
            discovery.publish(service(port, "other"))
            await asyncio.sleep(0)
        await eventually(lambda: len(discovery.queue) == 0)
        got = Got()
        router.subscribe(ServiceRegistry, got)
        await eventually(lambda: {service(29), service(29, "other")} <= _hashable(got.messages))
        store = await client(redis)
        assert await store.xlen("late:bus:service-registry") == 2
        discovery.retract(ServiceRegistry, "other")
        await eventually_async(lambda: store.xlen("late:bus:service-registry"), 1)
        [(_, fields)] = await store.xrange("late:bus:service-registry")
        assert int(await store.get("late:bus:service-registry:bytes")) == len(fields[b"m"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(over_redis, "MOST_KEYED_BYTES", 400)
            discovery.publish(service(1, "x" * 300))
            await eventually(lambda: discovery.counts.dropped == {("service-registry", "keys"): 1})
            patch.setattr(over_redis, "MOST_KEYED_BYTES", 10_000)
            patch.setattr(over_redis, "MOST_KEYS", 1)
            discovery.publish(service(1, "third"))
            await eventually(lambda: discovery.counts.dropped == {("service-registry", "keys"): 2})
        await store.aclose()


def _hashable(messages: Sequence[ServiceRegistry]) -> set[ServiceRegistry]:
    return set(messages)


async def test_one_process_speaks_of_a_service(redis: RedisServer) -> None:
    """Messages of another one are ignored meanwhile; it is asked to repeat them when the first has ended."""
    store = await client(redis)
    async with joined(redis, "speaker:") as second:
        async with joined(redis, "speaker:") as first:
            got = Got()
            second.subscribe(ServiceRegistry, got)
            first.publish(service(1))
            await eventually(lambda: got.messages == [service(1)])
            second.publish(service(2))
            await eventually(lambda: len(second.queue) == 0)
            await eventually(lambda: second.silence(first.name) < 2)
            before = second.losses
        await eventually(lambda: second.losses > before)
        second.publish(service(2))
        await eventually_async(lambda: _said(store, "speaker:"), ["10.0.0.1:2"])
    await store.aclose()


async def _said(store: Any, prefix: str) -> Any:
    [(_, fields)] = await store.xrange(f"{prefix}bus:service-registry")
    return orjson.loads(fields[b"m"])["body"]["instances"]


async def test_data_that_is_lost_is_said_again(redis: RedisServer) -> None:
    """Those who speak learn that Redis has lost its data, or a part of it, and followers begin anew."""
    store = await client(redis)
    async with joined(redis, "lost:") as bus:
        got = Got()
        bus.subscribe(ServiceRegistry, got)
        bus.publish(service(1))
        await eventually(lambda: bus.counts.published == {"service-registry": 1})
        for losses, keys in enumerate((["name"], ["service-registry"], ["service-registry:keys"]), 1):
            await store.delete(*(f"lost:bus:{key}" for key in keys))
            await eventually(partial(_lost, bus, losses))
            bus.publish(service(1 + losses))
            await eventually(partial(_is_last, got, service(1 + losses)))
            assert await store.xlen("lost:bus:service-registry") == 1
    await store.aclose()


def _lost(bus: RedisBus, times: int) -> bool:
    return bus.losses == times


def _is_last(got: Got, message: ServiceRegistry) -> bool:
    return got.messages[-1:] == [message]


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("version", {"v": 2}),
        ("version", {"v": True}),
        ("version", {"v": None}),
        ("kind", {"kind": "health-feedback"}),
        ("kind", {"kind": "x" * 100}),
        ("invalid", {"body": {"request_id": "req-1"}}),
        ("invalid", {"body": "{}"}),
        ("invalid", {"id": "x" * 300}),
        ("invalid", {"at": "now"}),
        ("invalid", {"from": 3}),
    ],
)
async def test_poisoned_envelopes_are_counted_and_dropped(
    redis: RedisServer, reason: str, change: dict[str, Any]
) -> None:
    """What is of another version or kind, or not valid, harms nothing; messages behind it are handled."""
    prefix = f"{reason}{len(str(change))}{change!r}"[:40].translate(str.maketrans("{}'\" ", "-----")) + ":"
    body = {"request_id": "req-1", "client": "x", "decision": "allow", "latency_ms": 12}
    right = {"v": 1, "kind": "access-log", "id": "a.1", "at": 1.0, "from": "a", "body": body}
    store = await client(redis)
    for text in (orjson.dumps(right | change), orjson.dumps(right)):
        await store.xadd(f"{prefix}bus:access-log", {"m": text})
    async with joined(redis, prefix) as bus:
        got = Got()
        bus.subscribe(AccessLog, got, "monitor")
        await eventually(lambda: got.ids == ["req-1"])
        assert bus.counts.dropped == {("access-log", reason): 1}
    await store.aclose()


async def test_poisoned_entries_are_counted_and_dropped(redis: RedisServer) -> None:
    """Entries that are no messages at all, or too large, and keys of another type, harm nothing."""
    store = await client(redis)
    key = "poison:bus:access-log"
    await store.set("poison:bus:senders", "x")
    await store.hset("poison:bus:name", "x", "y")
    await store.set(f"{key}:bytes", "x")
    entries: list[dict[str, Any]] = [{"x": "y"}, {"m": ""}, {"m": b"\xff\x00"}, {"m": "[" * 100_000}, {"m": "[]"}]
    entries += [{"m": b"x" * 5_000_000}, {"m": '{"v":1}', "w": "x"}, {"m": "1e999"}, {"m": '{"v":1e999}'}]
    for entry in entries:
        await store.xadd(key, entry)
    async with joined(redis, "poison:") as bus:
        got, followed = Got(), Got()
        bus.subscribe(AccessLog, got, "monitor")
        bus.subscribe(AccessLog, followed)
        bus.publish(access(1))
        await eventually(lambda: got.ids == ["req-1"] and followed.ids == ["req-1"])
        await eventually(lambda: sum(bus.counts.dropped.values()) == 2 * len(entries))
        assert bus.counts.dropped["access-log", "too_large"] == 2
        await store.delete(key)
        await store.set(key, "no stream")
        bus.publish(access(2))
        await eventually(lambda: got.ids == ["req-1", "req-2"])
        assert bus.tasks.deaths == 0
    await store.aclose()


async def test_members_that_a_newer_gateway_adds_are_ignored(redis: RedisServer) -> None:
    """They do not make a message unreadable, as they do not change what the others mean."""
    body = {"request_id": "req-1", "client": "x", "decision": "allow", "latency_ms": 12, "newer": {"a": 1}}
    envelope = {"v": 1, "kind": "access-log", "id": "a.1", "at": 1.0, "from": "a", "newer": 1, "body": body}
    store = await client(redis)
    await store.xadd("newer:bus:access-log", {"m": orjson.dumps(envelope)})
    await store.aclose()
    async with joined(redis, "newer:") as bus:
        got = Got()
        bus.subscribe(AccessLog, got, "monitor")
        await eventually(lambda: got.ids == ["req-1"])


async def test_duplicates_are_handled_once(redis: RedisServer) -> None:
    """The same id twice is the same message; the clock of who has sent it is not believed."""
    body = {"request_id": "req-1", "client": "x", "decision": "allow", "latency_ms": 12}
    envelope = {"v": 1, "kind": "access-log", "id": "a.1", "at": 1.0, "from": "a", "body": body}
    store = await client(redis)
    for _ in range(3):
        await store.xadd("twice:bus:access-log", {"m": orjson.dumps(envelope)})
    await store.aclose()
    async with joined(redis, "twice:") as bus:
        got = Got()
        bus.subscribe(AccessLog, got, "monitor")
        bus.publish(access(2))
        await eventually(lambda: got.ids == ["req-1", "req-2"])
        assert max(got.ages) < 600  # and not half a century
