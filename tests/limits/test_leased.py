"""The leased mode, against a real Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.algorithms.leases import lease_of
from gateway.limits.leased import LeasedStore
from gateway.limits.windows import WindowSet
from gateway.outside.patience import LoopTime, Patience
from gateway.outside.redis_link import RedisLink
from tests.limits.support import windows
from tests.outside.support import linked
from tests.redis_server import RedisServer
from tests.support import eventually


@asynccontextmanager
async def leasing(link: RedisLink, name: str) -> AsyncIterator[LeasedStore]:
    store = LeasedStore(name, link)
    await store.start()
    yield store
    await store.stop()


async def take(store: LeasedStore, held: WindowSet, cost: int = 1) -> bool:
    taken = store.take("key", held, cost, time.monotonic_ns())
    if taken is None:
        taken = await store.ask("key", held, cost, Patience(LoopTime(5), 5))
    assert taken is not None
    return taken.fits


async def test_two_replicas_stay_within_the_bound(own_redis: RedisServer) -> None:
    """Two replicas under load let the limit pass, and at most one lease of a replica too many; none too few."""
    held = windows("100/d")
    async with linked(own_redis) as one, linked(own_redis) as two:
        await eventually(lambda: one.replicas == two.replicas == 2, message="they do not learn of each other")
        async with leasing(one, "two") as first, leasing(two, "two") as second:
            taken = await asyncio.gather(*(take(store, held) for _ in range(200) for store in (first, second)))
    assert 100 <= sum(taken) <= 100 + lease_of(100, 2)


async def test_a_single_replica_gets_exactly_the_limit_without_waiting(own_redis: RedisServer) -> None:
    """With one replica all of the limit passes at once, and never one too many."""
    held = windows("10/d")
    async with linked(own_redis) as link, leasing(link, "one") as store:
        now = time.monotonic_ns()
        taken = [store.take("key", held, 1, now) for _ in range(11)]
    assert [each is not None and each.fits for each in taken] == [True] * 10 + [False]


async def test_what_one_replica_spends_the_others_learn(redis: RedisServer) -> None:
    """A replica that comes later finds spent what another one has spent."""
    held = windows("10/d")
    async with linked(redis) as one, linked(redis) as two:
        async with leasing(one, "learn") as first:
            for _ in range(10):
                await take(first, held)
        async with leasing(two, "learn") as second:
            passed = [await take(second, held) for _ in range(10)]
    assert sum(passed) <= lease_of(10, 2)
    assert not passed[-1]


async def test_what_is_given_back_can_be_spent_again(own_redis: RedisServer) -> None:
    """A request that another limit refused does not count here either."""
    held = windows("3/d")
    async with linked(own_redis) as link:
        async with leasing(link, "back") as store:
            for _ in range(5):
                assert await take(store, held)
                store.give_back("key", held, 1, time.monotonic_ns())
        async with leasing(link, "back") as store:
            assert [await take(store, held) for _ in range(4)] == [True, True, True, False]
    assert not link.available  # the last one who used it has closed it


async def test_a_cost_above_the_lease_passes(redis: RedisServer) -> None:
    """A request that costs more than a lease passes when nothing else is unsettled."""
    held = windows("10/d")
    async with linked(redis) as one, linked(redis) as two:
        await eventually(lambda: one.replicas >= 2 and two.replicas >= 2)
        async with leasing(one, "dear") as store:
            assert await take(store, held, cost=8)
            assert not await take(store, held, cost=8)
