"""Gateways with the same Redis have the same entries, and none of them needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from gateway.access.entries import Entry, Key
from gateway.access.runtime_entries import RuntimeEntries
from gateway.access.sharing import BATCH, SharedEntries
from gateway.access.store import EntryFile
from gateway.outside.redis_link import RedisLink
from tests.redis_server import RedisServer, running_redis
from tests.support import eventually, running_gateway, until

ACME: Key = ("consumer", "acme")

Replicas = tuple[RuntimeEntries, RuntimeEntries]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


@asynccontextmanager
async def _replica(redis: RedisServer, path: Path) -> AsyncIterator[RuntimeEntries]:
    link = RedisLink(redis.url, 0.02, "gateway:")
    blocklist = RuntimeEntries(EntryFile(path), SharedEntries(link))
    await link.start()
    await blocklist.start()
    try:
        yield blocklist
    finally:
        await blocklist.stop()
        await link.stop()


@pytest.fixture
async def replicas(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(_replica(redis, tmp_path / "1.sqlite"))
        second = await stack.enter_async_context(_replica(redis, tmp_path / "2.sqlite"))
        yield first, second


def _names(blocklist: RuntimeEntries) -> set[str]:
    return {entry.value for entry in blocklist.entries()}


def _add(blocklist: RuntimeEntries, name: str) -> None:
    blocklist.add(Entry("consumer", name, source="admin"))


async def test_entries_and_their_end_are_shared(replicas: Replicas) -> None:
    """What one adds, the other has; what the other lifts, the first has no longer."""
    first, second = replicas
    _add(first, "acme")
    async with asyncio.timeout(30):
        await eventually(lambda: _names(second) == {"acme"})
        assert "acme" in second.table.consumers
        assert second.lift(ACME)
        await eventually(lambda: _names(first) == set())
    assert "acme" not in first.table.consumers


async def test_bans_grow_across_replicas(replicas: Replicas) -> None:
    """All replicas know how often a client was banned."""
    first, second = replicas
    first.add(Entry("consumer", "acme", source="automatic", bans=3, until=1e10, kept=2e10))
    await eventually(lambda: [entry.bans for entry in second.entries()] == [3])


async def test_a_new_replica_learns_everything(redis: RedisServer, replicas: Replicas, tmp_path: Path) -> None:
    """Also more than fits into one answer."""
    first, _ = replicas
    names = {f"c{number}" for number in range(2 * BATCH + 7)}
    for name in names:
        _add(first, name)
    await eventually(lambda: first.published)
    async with _replica(redis, tmp_path / "3.sqlite") as third:
        await eventually(lambda: _names(third) == names)


async def test_an_outage_is_survived(redis: RedisServer, replicas: Replicas, tmp_path: Path) -> None:
    """Without Redis each goes on with what it knows, says so, and tells the others later, though Redis forgot all."""
    first, second = replicas
    _add(first, "before")
    _add(first, "always")
    await eventually(lambda: _names(second) == {"before", "always"})
    redis.kill()
    _add(first, "during")
    assert second.lift(("consumer", "before"))
    await eventually(lambda: first.shared is not None and not first.shared.available)
    assert not first.published
    assert _names(first) == {"before", "during", "always"}
    assert _names(second) == {"always"}
    redis.start()
    await eventually(lambda: _names(first) == _names(second) == {"during", "always"})
    await eventually(lambda: first.published and second.published)
    async with _replica(redis, tmp_path / "3.sqlite") as third:
        await eventually(lambda: _names(third) == {"during", "always"})


async def test_a_frozen_redis_delays_no_request(redis: RedisServer, replicas: Replicas) -> None:
    """Changes and look-ups go on at once; what was changed is shared when it thaws."""
    first, second = replicas
    await first.settle()
    redis.freeze()
    loop = asyncio.get_running_loop()
    started = loop.time()
    _add(first, "acme")
    assert "acme" in first.table.consumers
    assert loop.time() - started < 10  # of a Redis that is frozen until the end of this
    redis.thaw()
    await eventually(lambda: _names(second) == {"acme"})


@asynccontextmanager
async def _by_hand(redis: RedisServer, tmp_path: Path) -> AsyncIterator[list[RuntimeEntries]]:
    """Two replicas that exchange entries only in `settle`."""
    links = [RedisLink(redis.url, 0.02, "gateway:") for _ in range(2)]
    blocklists = [RuntimeEntries(EntryFile(tmp_path / str(i)), SharedEntries(link)) for i, link in enumerate(links)]
    for link in links:
        await link.start()
    yield blocklists
    for blocklist in blocklists:
        await blocklist.stop()
    for link in links:
        await link.stop()


async def _settled(blocklist: RuntimeEntries) -> None:
    """Settle, as soon as Redis answers."""
    assert blocklist.shared is not None
    async with asyncio.timeout(30):
        await blocklist.settle()
        while not (blocklist.shared.available and blocklist.published):
            await asyncio.sleep(0.02)
            await blocklist.settle()


@pytest.mark.parametrize("first_settles", [True, False])
async def test_the_later_change_counts(redis: RedisServer, tmp_path: Path, first_settles: bool) -> None:
    """In whichever order the two of them tell Redis."""
    async with _by_hand(redis, tmp_path) as (first, second):
        first.add(Entry("consumer", "acme", "by the first", source="admin"))
        second.add(Entry("consumer", "acme", "by the second", source="admin"))
        order = (first, second) if first_settles else (second, first)
        for blocklist in (*order, *order):
            await _settled(blocklist)
        assert [entry.reason for each in order for entry in each.entries()] == ["by the second", "by the second"]


async def test_a_redis_that_forgot_is_heard_from_its_beginning(redis: RedisServer, tmp_path: Path) -> None:
    """Its changes are numbered anew then, and none of them is taken for one that is known already."""
    async with _by_hand(redis, tmp_path) as (first, second):
        for number in range(5):
            _add(first, f"c{number}")
        for blocklist in (first, second, first):
            await _settled(blocklist)
        assert len(_names(second)) == 5
        redis.kill()
        assert second.lift(("consumer", "c0"))
        redis.start()
        await _settled(second)
        await _settled(first)
        assert _names(first) == {"c1", "c2", "c3", "c4"}


async def test_nonsense_in_redis_is_left_out(redis: RedisServer, replicas: Replicas) -> None:
    """What no gateway wrote changes nothing."""
    first, second = replicas
    _add(first, "acme")
    await eventually(lambda: _names(second) == {"acme"})
    assert redis.ask("HSET gateway:blocklist:entries consumer:acme nonsense") == b":0\r\n"
    assert redis.ask("HSET gateway:blocklist:entries consumer:x nonsense") == b":1\r\n"
    assert redis.ask("ZADD gateway:blocklist:order 50 consumer:x") == b":1\r\n"
    assert redis.ask("HSET gateway:blocklist:meta number 50") == b":0\r\n"
    _add(first, "later")
    await eventually(lambda: _names(second) == {"acme", "later"})


def test_two_gateways_share(redis: RedisServer, tmp_path: Path) -> None:
    """What is blocked by the admin API of one is blocked by the other, unless its configuration keeps to itself."""
    routes = "- {path: /*, target: 'asgi:tests.lifecycle.apps:one'}\n"
    middleware = f"redis: {{url: '{redis.url}'}}\n"
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    with (
        running_gateway(tmp_path / "one", routes, middleware) as one,
        running_gateway(tmp_path / "two", routes, middleware) as two,
        running_gateway(tmp_path / "three", routes, middleware + "blocklist: {shared: false}\n") as three,
    ):
        url, entry = f"http://127.0.0.1:{one.admin_port}/blocklist", {"network": "127.0.0.0/8"}
        added = httpx2.post(url, json=entry, headers=one.admin_token).json()
        assert (added["kept"], added["shared"]) == (True, True)
        assert httpx2.get(one.url).status_code == 403
        until(lambda: httpx2.get(two.url).status_code == 403)
        assert httpx2.get(three.url).status_code == 200
