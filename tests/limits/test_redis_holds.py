"""Holds in Redis: exact over replicas, settled once, and sent again if Redis lost them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from gateway.limits.hold_scripts import SETTLE, SETTLED_SECONDS
from gateway.limits.holds import Line
from gateway.limits.ledger import Ledger
from gateway.limits.redis_book import RedisBook, counter_key
from gateway.limits.redis_holds import RedisHolds
from gateway.outside.redis_link import RedisLink
from tests.outside.support import linked
from tests.redis_server import RedisServer, running_redis
from tests.support import eventually

UTC = ZoneInfo("UTC")


class Replica:
    """One gateway of several that count in one Redis."""

    def __init__(self, link: RedisLink, name: str) -> None:
        self.link = link
        self.holds = RedisHolds(link)
        self.ledger = Ledger(name, "month", UTC, RedisBook(link))

    def line(self, amount: int, limit: int = 100, key: str = "acme", *, enforced: bool = True) -> Line:
        return Line(self.ledger, key, self.ledger.span(), limit, amount, enforced)

    async def reserve(self, amount: int, limit: int = 100, seconds: float = 60) -> str | None:
        """The name of the hold, if there was room."""
        hold = uuid4().hex
        reservation = await self.holds.reserve(hold, [self.line(amount, limit)], seconds)
        assert reservation is not None
        return hold if reservation.fits else None

    def settle(self, hold: str, amount: int) -> None:
        self.holds.settle(hold, [self.line(0)], [amount])

    async def seen(self) -> tuple[int, int]:
        """What is used and what is held, as a request of the other replicas would find it."""
        reservation = await self.holds.reserve(uuid4().hex, [self.line(10**6)], 60)
        assert reservation is not None
        assert not reservation.fits
        return reservation.rooms[0]


@asynccontextmanager
async def replica(
    server: RedisServer, name: str, prefix: str = "gateway:", patience: float = 5.0
) -> AsyncIterator[Replica]:
    async with linked(server, patience, prefix) as link:
        made = Replica(link, name)
        await made.ledger.start()
        await made.holds.start()
        try:
            yield made
        finally:
            await made.holds.stop()
            await made.ledger.stop()


async def within(seconds: float, ask: Callable[[], Awaitable[object]]) -> object:
    """The first answer that is true, asked every 20 ms."""
    for _ in range(int(seconds / 0.02)):
        if answer := await ask():
            return answer
        await asyncio.sleep(0.02)
    return None


async def test_replicas_never_share_what_is_left(redis: RedisServer) -> None:
    """Of 200 requests at once at two gateways, a limit for 20 lets 20 pass."""
    name = uuid4().hex
    async with replica(redis, name) as one, replica(redis, name) as two:
        holds = await asyncio.gather(*(each.reserve(5) for each in [one, two] * 100))
        assert len([hold for hold in holds if hold]) == 20
        assert await one.seen() == (0, 100)


async def test_what_was_used_takes_the_place_of_the_hold(redis: RedisServer) -> None:
    """The other replicas see it, and so does a gateway that starts later."""
    name = uuid4().hex
    async with replica(redis, name) as one, replica(redis, name) as two:
        hold = await one.reserve(60)
        assert await two.seen() == (0, 60)
        one.settle(hold or "", 25)
        await eventually(lambda: not one.holds.unsettled)
        assert await two.seen() == (25, 0)
        assert one.ledger.used("acme") == 25
    async with replica(redis, name) as later:
        assert await later.seen() == (25, 0)


async def test_windows_are_taken_from_together(redis: RedisServer) -> None:
    """Where one window has no room, nothing is held in the others."""
    async with replica(redis, uuid4().hex) as one:
        lines = [one.line(10), one.line(10, 5, "other")]
        reservation = await one.holds.reserve("x", lines, 60)
        assert reservation is not None
        assert not reservation.fits
        assert await one.seen() == (0, 0)
        shadow = [one.line(10), one.line(10, 5, "other", enforced=False)]
        reservation = await one.holds.reserve("y", shadow, 60)
        assert reservation is not None
        assert reservation.fits


async def test_what_a_killed_gateway_held_is_free_when_it_expires(redis: RedisServer) -> None:
    """A hold that is not settled expires."""
    name = uuid4().hex
    async with replica(redis, name) as other, linked(redis) as link:
        assert await Replica(link, name).reserve(100, seconds=3)  # it never starts, and never stops
        assert await other.reserve(1) is None
        assert await within(30, lambda: other.reserve(1))


async def test_holds_last_as_long_as_their_gateway_lives(redis: RedisServer) -> None:
    """In Redis for a minute at a time, so that the holds of a killed replica are free after that; renewed until
    then."""
    prefix = f"{uuid4().hex}:"
    now = 0.0
    async with linked(redis, prefix=prefix) as link:
        one = Replica(link, "x")
        one.holds = RedisHolds(link, lambda: now)
        hold = await one.reserve(10, seconds=7 * 86400)
        key = f"{counter_key(prefix, 'x', 'acme', one.ledger.span())}:expiries"

        def expires() -> float:
            return float(redis.ask(f"ZSCORE {key} {hold}").split(b"\r\n")[1])

        begun = expires()
        assert 55 <= begun - time.time() <= 62
        redis.ask(f"ZADD {key} {begun - 50} {hold}")
        await one.holds.start()
        now = 20.0
        await eventually(lambda: expires() >= begun - 1)
        await one.holds.stop()


async def test_a_settled_hold_is_not_renewed(redis: RedisServer) -> None:
    """A renewal that comes late brings nothing back."""
    async with replica(redis, uuid4().hex) as one:
        hold = await one.reserve(10)
        lines = [one.line(10)]
        one.settle(hold or "", 5)
        await eventually(lambda: not one.holds.unsettled)
        await one.holds._ask(hold or "", lines, 60, placed=True)
        assert await one.seen() == (5, 0)


async def test_a_settlement_that_is_sent_twice_counts_once(redis: RedisServer) -> None:
    """A call whose answer is lost is made once more."""
    name = uuid4().hex
    async with replica(redis, name) as one:
        hold = await one.reserve(50)
        line = one.line(0)
        counter = counter_key(one.link.prefix, name, "acme", line.span)
        credit = counter_key(one.link.prefix, name, "~acme", line.span)
        keys = [counter, credit, f"{counter}:holds", f"{counter}:expiries"]
        for _ in range(3):
            gone = line.span.ends + 3600
            assert await one.link.ask(SETTLE, keys, [hold or "", SETTLED_SECONDS, 30, 0, 0, gone]) == [30, 0]
        assert await one.seen() == (30, 0)


async def test_a_redis_that_lost_everything_gets_the_state_again(tmp_path: Path) -> None:
    """What is used, and what is still held, is known again to all replicas."""
    with running_redis(tmp_path) as server:
        async with replica(server, "x") as one, replica(server, "x") as two:
            used = await one.reserve(30)
            one.settle(used or "", 30)
            await eventually(lambda: not one.holds.unsettled)
            held = await one.reserve(40)
            server.kill()
            await eventually(lambda: not one.link.available and not two.link.available)
            server.start()
            await eventually(lambda: one.link.answers and two.link.answers)

            async def complete() -> bool:
                return await two.holds.reserve(uuid4().hex, [two.line(10**6)], 60) is not None

            assert await within(30, complete)
            assert await two.seen() == (30, 40)
            one.settle(held or "", 10)
            await eventually(lambda: not one.holds.unsettled)
            assert await two.seen() == (40, 0)


async def test_what_one_replica_adds_to_a_redis_that_forgot_counts_beside_what_another_knows(tmp_path: Path) -> None:
    """Where a request ends before the replica that knows most of what is used has reported it, both count."""
    with running_redis(tmp_path) as server:
        async with replica(server, "x") as one, replica(server, "x") as two:
            used = await one.reserve(50)
            hold = await two.reserve(20)
            one.settle(used or "", 50)
            await eventually(lambda: not one.holds.unsettled)
            server.kill()
            await eventually(lambda: not one.link.available and not two.link.available)
            two.settle(hold or "", 20)
            one.link.tasks.cancel()  # it does not hear of Redis for a while
            server.start()
            key = f"{counter_key('gateway:', 'x', 'acme', two.line(0).span)}:holds"
            await eventually(lambda: server.ask(f"HEXISTS {key} h{hold}") == b":1\r\n")
            await one.link.start()
            await eventually(lambda: not two.holds.unsettled and one.link.reported)
            assert await two.seen() == (70, 0)


async def test_what_ends_while_redis_is_away_counts_when_it_is_back(tmp_path: Path) -> None:
    """Meanwhile this process uses its own figures, with what it has not reported yet."""
    with running_redis(tmp_path) as server:
        async with replica(server, "x", patience=1.0) as one, replica(server, "x", patience=1.0) as two:
            hold = await one.reserve(40)
            server.freeze()
            line = one.line(1)
            assert await one.holds.reserve("late", [line], 60) is None
            one.settle(hold or "", 35)
            assert sum(one.holds.room(line)) == 35
            assert not one.holds.assume("more", [one.line(66)], 60).fits
            assert one.holds.assume("less", [one.line(65)], 60).fits
            one.settle("less", 5)
            await eventually(lambda: not one.link.available)
            server.thaw()
            await eventually(lambda: one.link.answers and not one.holds.unsettled and two.link.answers)
            assert await two.seen() == (40, 0)


@pytest.mark.parametrize("command", ["SET %s x", "RPUSH %s a", "HSET %s held abc", "SET %s 99999999999999999999"])
@pytest.mark.parametrize("which", ["", ":holds", ":expiries"])
async def test_values_of_other_programs_do_no_harm(redis: RedisServer, command: str, which: str) -> None:
    """What is no number or hash of ours is as good as nothing."""
    name = uuid4().hex
    async with replica(redis, name) as one:
        key = counter_key(one.link.prefix, name, "acme", one.ledger.span()) + which
        redis.ask(command % key)
        hold = await one.reserve(10)
        assert hold
        one.settle(hold, 10)
        await eventually(lambda: not one.holds.unsettled)
        assert await one.seen() == (10, 0)


async def test_counts_stay_exact_up_to_their_bound(redis: RedisServer) -> None:
    """The largest counts are whole numbers, and grow no further."""
    async with replica(redis, uuid4().hex) as one:
        for expected in (2**53 - 2, 2**53 - 1, 2**53 - 1):
            hold = await one.reserve(1, 2**60)
            one.settle(hold or "", 2**53 - 2 if expected == 2**53 - 2 else 5)
            await eventually(lambda: not one.holds.unsettled)
            assert (await one.seen())[0] == expected


async def test_everything_expires(redis: RedisServer) -> None:
    """No key is left for ever."""
    prefix = f"{uuid4().hex}:"
    async with replica(redis, "x", prefix) as one:
        hold = await one.reserve(10)
        await one.reserve(10)
        one.settle(hold or "", 10)
        await eventually(lambda: not one.holds.unsettled)
        key = counter_key(prefix, "x", "acme", one.ledger.span())
        for each in (key, f"{key}:holds", f"{key}:expiries"):
            assert int(redis.ask(f"TTL {each}")[1:]) > 0
