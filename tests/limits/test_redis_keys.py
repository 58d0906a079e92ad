"""What stands in Redis: beside what others keep there, whatever they put under our names."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.access.entries import Entry
from gateway.access.sharing import SharedEntries
from gateway.limits.exact import Bid, ExactStore, redis_keys
from gateway.limits.leased import LeasedStore
from gateway.limits.ledger import Ledger
from gateway.limits.redis_book import RedisBook
from gateway.limits.store import Taken
from gateway.outside.redis_link import RedisLink
from tests.limits.support import windows
from tests.outside.support import linked
from tests.redis_server import RedisServer
from tests.support import eventually

HELD = windows("3/d")
BAD = [
    "LPUSH {} a",
    "HSET {} a b",
    "SADD {} a",
    "SET {} nonsense",
    "SET {} ''",
    "SET {} '1 2 3'",
    "SET {} '-5 5'",
    "SET {} 'nan 0'",
    "SET {} '999999999999999999999999999999 0'",
    "SET {} '99999999999999999 99999999999999999'",
    "SET {} '9000000000000000 99999999999999999'",
    "SET {} inf",
    "SET {} -5",
    "SET {} 1e300",
]


async def take(link: RedisLink, *keys: str) -> list[bool]:
    """Whether requests with these keys, that come together, pass."""
    store = ExactStore(link)
    bids = ([Bid("test", key, HELD, 1, enforced=True)] for key in keys)
    answers = await asyncio.gather(*(store.take(bid, link.patience()) for bid in bids))
    taken: list[Taken] = [each for answer in answers if answer is not None for each in answer]
    assert len(taken) == len(keys)
    return [each.fits for each in taken]


@pytest.mark.parametrize("command", BAD)
async def test_a_bad_value_fails_no_request(own_redis: RedisServer, command: str) -> None:
    """Where something else stands under the key of one caller, the others are counted as ever, that one from nothing
    on, and Redis does not count as down."""
    async with linked(own_redis) as link:
        (name,) = redis_keys("gateway:", "test", "bad", HELD)
        assert own_redis.ask(command.format(name))[:1] in (b":", b"+")
        for expected in (True, True, True, False):
            assert await take(link, "good", "bad", "other") == [expected] * 3
        assert not link.failures


async def test_a_clock_that_goes_back_shuts_no_one_out(own_redis: RedisServer) -> None:
    """What was owed when the clock of Redis was half an hour ahead is paid back from now on, not only when it is there
    again, though nothing is counted for a request that is refused."""
    soon = windows("1/2s")
    async with linked(own_redis) as link, asyncio.timeout(60):
        store = ExactStore(link)
        (key,) = redis_keys(link.prefix, "test", "a", soon)
        assert own_redis.ask(f"SET {key} '2000000000 {int((time.time() + 1800) * 1e6)}'") == b"+OK\r\n"
        passes = False
        while not passes:
            answers = await store.take([Bid("test", "a", soon, 1, enforced=True)], link.patience())
            passes = answers is not None and answers[0].fits
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("command", BAD)
async def test_a_bad_value_fails_no_settlement(own_redis: RedisServer, command: str) -> None:
    """The same for limits that are settled in the background."""
    async with linked(own_redis) as link:
        (name,) = redis_keys("gateway:", "test", "bad", HELD)
        own_redis.ask(command.format(name))
        store = LeasedStore("test", link)
        await store.start()
        try:
            for key in ("good", "bad"):
                for expected in (True, True, True, False):
                    now = time.monotonic_ns()
                    taken = store.take(key, HELD, 1, now) or await store.ask(key, HELD, 1, link.patience())
                    assert taken is not None
                    assert taken.fits == expected
        finally:
            await store.stop()
        assert not link.failures


@asynccontextmanager
async def ledger(link: RedisLink) -> AsyncIterator[Ledger]:
    now = datetime(2036, 3, 15, tzinfo=UTC).timestamp()
    made = Ledger("daily", "day", ZoneInfo("UTC"), RedisBook(link), lambda: now)
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("command", BAD)
async def test_a_bad_counter_fails_no_quota(own_redis: RedisServer, command: str) -> None:
    """A counter, or what belongs to its window, that is none: it counts from nothing on, the others as ever."""
    async with linked(own_redis) as link:
        async with ledger(link) as quota:
            await quota.read("acme")
        own_redis.ask("FLUSHALL")
        async with ledger(link) as quota:
            quota.add("acme")
        counter = await asyncio.to_thread(own_redis.ask, "KEYS gateway:quota:*:????????????????????????")
        window = counter.split(b"\r\n")[2].decode().rpartition(":")[0]
        for name in (counter.split(b"\r\n")[2].decode(), window):
            own_redis.ask(f"DEL {name}")
            own_redis.ask(command.format(name))
        async with ledger(link) as quota:
            for caller in ("acme", "other"):
                quota.add(caller)
                quota.add(caller)
            await eventually(lambda: not quota.pending)
            assert [quota.used(caller) for caller in ("acme", "other")] == [2, 2]
        assert not link.failures


async def test_a_bad_value_among_the_replicas_is_replaced(own_redis: RedisServer) -> None:
    """Replicas find each other, and Redis counts as up, whatever stood under their key."""
    own_redis.ask("SET gateway:replicas nonsense")
    async with linked(own_redis) as link:
        await eventually(lambda: link.replicas == 1)
        assert not link.failures


@pytest.mark.parametrize("name", ["entries", "order", "ends", "meta"])
async def test_a_blocklist_that_is_none_is_replaced(own_redis: RedisServer, name: str) -> None:
    """The blocklist is shared, and limits go on, whatever stood under its keys."""
    own_redis.ask(f"SET gateway:blocklist:{name} nonsense")
    async with linked(own_redis) as link:
        shared = SharedEntries(link)
        assert await shared.pull() is not None
        assert await shared.push([Entry("consumer", "acme", changed=1.0)])
        assert await shared.pull() is not None
        other = await SharedEntries(link).pull()
        assert not link.failures
    assert other is not None
    assert [entry.value for entry in other[0]] == ["acme"]


@pytest.mark.parametrize("field", ["number", "generation"])
async def test_a_blocklist_that_counts_nonsense_goes_on(own_redis: RedisServer, field: str) -> None:
    """The same where only the number of the last change is none."""
    own_redis.ask(f"HSET gateway:blocklist:meta {field} nonsense")
    async with linked(own_redis) as link:
        shared = SharedEntries(link)
        assert await shared.pull() is not None
        assert await shared.push([Entry("consumer", "acme", changed=1.0)])
        assert not link.failures


async def test_gateways_with_different_prefixes_share_nothing(own_redis: RedisServer) -> None:
    """On one Redis, limits, quotas, replicas and entries of two gateways are apart where their prefixes differ."""
    async with linked(own_redis, prefix="a:") as one, linked(own_redis, prefix="b:") as two:
        for link in (one, two):
            assert [await take(link, "acme") for _ in range(4)] == [[True], [True], [True], [False]]
            async with ledger(link) as quota:
                while quota.used("acme") is None:
                    await quota.read("acme")
                assert quota.used("acme") == 0
                quota.add("acme")
            assert link.replicas == 1
        assert await SharedEntries(one).push([Entry("consumer", "acme", changed=1.0)])
        assert await SharedEntries(two).pull() == ([], True)
    names = [name for name in own_redis.ask("KEYS *").split(b"\r\n") if name[:1] not in b"$*"]
    assert {name[:2] for name in names} == {b"a:", b"b:"}
