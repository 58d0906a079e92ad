"""The exact mode, against a real Redis."""

from __future__ import annotations

import asyncio
import time

from gateway.limits import exact
from gateway.limits.exact import Bid, ExactStore
from gateway.limits.store import Taken
from gateway.limits.windows import WindowSet
from gateway.outside.patience import LoopTime, Patience
from tests.limits.support import windows
from tests.outside.support import linked
from tests.redis_server import RedisServer


async def take(store: ExactStore, key: str, held: WindowSet, cost: int = 1) -> Taken:
    answers = await store.take([Bid("test", key, held, cost, enforced=True)], Patience(LoopTime(5), 5))
    assert answers is not None
    return answers[0]


async def test_parallel_clients_never_get_more_than_the_limit(redis: RedisServer) -> None:
    """Two replicas with 200 requests at a time each let exactly the limit pass."""
    held = windows("100/d")
    async with linked(redis) as one, linked(redis) as two:
        stores = ExactStore(one), ExactStore(two)
        taken = await asyncio.gather(*(take(store, "parallel", held) for _ in range(200) for store in stores))
    assert sum(each.fits for each in taken) == 100


async def test_what_comes_back_is_let_through_and_no_more(redis: RedisServer) -> None:
    """Over a while, clients that ask all the time get the burst, and what the time brings."""
    held = windows("50/s", burst=5)
    passed, asked = 0, 0.0
    async with linked(redis) as link:
        store = ExactStore(link)
        started = last = time.monotonic()
        while asked < 0.5:
            taken = await asyncio.gather(*(take(store, "steady", held) for _ in range(10)))
            passed += sum(each.fits for each in taken)
            now = time.monotonic()
            asked += min(now - last, 0.05)  # where the machine makes them stand still, more than the burst is not kept
            last = now
        elapsed = time.monotonic() - started
    assert 5 + 0.4 * 50 <= passed <= 5 + elapsed * 50 + 1e-6


async def test_a_window_that_refuses_keeps_the_others_from_counting(redis: RedisServer) -> None:
    """Of two windows neither counts a request that the other one refuses."""
    held = windows("2/d", "100/m")
    async with linked(redis) as link:
        taken = [await take(ExactStore(link), "both", held) for _ in range(5)]
    assert [each.fits for each in taken] == [True, True, False, False, False]
    assert "98 of 100 in 1m" in held.left(taken[-1].debts)


async def test_a_limit_that_refuses_keeps_other_limits_from_counting(redis: RedisServer) -> None:
    """All limits of a request are decided in one call; one in shadow mode refuses nothing, and counts what fits."""
    tight, wide, shadow = windows("1/d", name="a"), windows("9/d", name="b"), windows("1/d", name="c")
    async with linked(redis) as link:
        store = ExactStore(link)
        for expected in ([True, True, True], [False, True, False]):
            bids = [
                Bid("tight", "all", tight, 1, enforced=True),
                Bid("wide", "all", wide, 1, enforced=True),
                Bid("shadow", "all", shadow, 1, enforced=False),
            ]
            answers = await store.take(bids, Patience(LoopTime(5), 5))
            assert answers is not None
            assert [taken.fits for taken in answers] == expected
        only_shadow = [Bid("wide", "all", wide, 1, enforced=True), Bid("shadow", "all", shadow, 1, enforced=False)]
        answers = await store.take(only_shadow, Patience(LoopTime(5), 5))
    assert answers is not None
    assert [taken.fits for taken in answers] == [True, False]
    assert wide.left(answers[0].debts) == "7 of 9 in 1d"
    assert answers[1].debts[0] <= shadow.windows[0].capacity  # who is over a limit in shadow mode owes it no more


async def test_what_is_used_up_comes_back_bit_by_bit(redis: RedisServer) -> None:
    """After a burst of 10 in 10 s the next request passes a second later, not after all is paid back."""
    held = windows("10/10s")
    async with linked(redis) as link:
        store = ExactStore(link)
        started = time.monotonic()
        assert all([(await take(store, "bit", held)).fits for _ in range(10)])
        while not (await take(store, "bit", held)).fits:
            pass
        assert 0.9 < time.monotonic() - started < 9


async def test_a_restarted_redis_gets_the_script_again(own_redis: RedisServer) -> None:
    """A Redis that has forgotten the script gets it with the next request."""
    held = windows("5/d")
    async with linked(own_redis) as link:
        assert (await take(ExactStore(link), "again", held)).fits
        own_redis.ask("SCRIPT FLUSH")
        assert (await take(ExactStore(link), "again", held)).fits
        assert not link.failures


async def test_nothing_is_kept_of_clients_that_have_recovered(redis: RedisServer) -> None:
    """What Redis keeps of a key expires when its debt is paid back."""
    held = windows("100/s")
    async with linked(redis) as link:
        await take(ExactStore(link), "gone", held)
    name = exact.redis_keys("gateway:", "test", "gone", held)[0]
    assert 0 <= int(redis.ask(f"PTTL {name}").strip(b":\r\n")) <= 12 or redis.ask(f"EXISTS {name}") == b":0\r\n"
