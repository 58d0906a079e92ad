"""Work that one of several control planes does, and who does it after that one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update

from gateway.control_plane.database.connection import Database, DatabaseUnavailable
from gateway.control_plane.database.leases import Held, Lease, LeaseLost
from gateway.control_plane.database.tables import Lease as Row
from tests.support import eventually, lateness

SECONDS = 3.0  # longer than a busy machine keeps a holder from renewing


class Worker:
    """A control plane that wants to do the work."""

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        self.lease = Lease(database, "work", name, SECONDS)
        self.turns: list[Held] = []
        self.ended = 0

    async def work(self, held: Held) -> None:
        """Work until it is stopped."""
        self.turns.append(held)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    """The worker, wanting."""
    task = asyncio.create_task(worker.lease.run(worker.work))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def second(database_url: str) -> AsyncIterator[Database]:
    """The database, as another process has it open."""
    opened = Database(database_url)
    yield opened
    await opened.close()


async def test_where_the_holder_stops_in_order_another_begins_at_once(database: Database, second: Database) -> None:
    """Of two, one has the turn; when that one stops in order, the other does not wait for the lease to end."""
    one, other = Worker(database, "one"), Worker(second, "other")
    async with running(other):
        async with running(one):
            await eventually(lambda: len(one.turns) + len(other.turns) == 1)
            await asyncio.sleep(SECONDS)
            assert len(one.turns) + len(other.turns) == 1
            first, next_one = (one, other) if one.turns else (other, one)
            assert first.lease.held
            assert not next_one.lease.held
        if first is one:
            assert await _seconds_until(lambda: bool(other.turns)) < SECONDS
            assert one.ended == 1


async def test_a_holder_that_died_is_succeeded_within_two_lengths(database: Database, second: Database) -> None:
    """A lease that is not renewed any more is taken over, with a new term."""
    async with database.transaction() as session:
        session.add(Row(name="work", holder="dead", term=7, beat=3, renewed_at=_any_moment()))
    other = Worker(second, "other")
    began = time.monotonic()
    async with running(other), lateness() as late:
        await eventually(lambda: bool(other.turns))
        assert SECONDS * 0.9 < time.monotonic() - began < SECONDS * 2 + 2 * late.seconds
    assert other.turns[0].term == 8


@pytest.mark.parametrize("year", [1970, 2200])
async def test_a_clock_that_jumped_takes_nothing_away(database: Database, second: Database, year: int) -> None:
    """However wrong the time of the last renewal is, a holder that renews keeps the lease."""
    one, other = Worker(database, "one"), Worker(second, "other")
    async with running(one):
        await eventually(lambda: bool(one.turns))
        async with running(other):
            for _ in range(4):
                async with second.transaction() as session:
                    await session.execute(update(Row).values(renewed_at=_any_moment(year)))
                await asyncio.sleep(SECONDS / 3)
            assert not other.turns
            assert one.ended == 0


async def test_one_that_was_frozen_writes_nothing_more(database: Database, second: Database) -> None:
    """Where another has taken over, a transaction of the former holder fails, and its work is cancelled."""
    one = Worker(database, "one")
    async with running(one):
        await eventually(lambda: bool(one.turns))
        async with second.transaction() as session:
            await session.execute(update(Row).values(holder="other", term=Row.term + 1))
        with pytest.raises(LeaseLost):
            async with database.transaction() as session:
                await one.turns[0].confirm(session)
        await eventually(lambda: one.ended == 1)
        assert not one.lease.held
        async with database.reading() as session:
            assert (await session.scalars(select(Row.holder))).all() == ["other"]


async def test_a_lease_is_not_taken_over_within_a_confirmed_transaction(database: Database, second: Database) -> None:
    """What the holder has begun to write is written before another one may begin."""
    one = Worker(database, "one")
    order: list[str] = []

    async def take_over() -> None:
        async with second.transaction() as session:
            await session.execute(update(Row).values(holder="other", term=Row.term + 1))
        order.append("taken")

    async with running(one):
        await eventually(lambda: bool(one.turns))
        async with database.transaction() as session:
            await one.turns[0].confirm(session)
            taking = asyncio.create_task(take_over())
            await asyncio.sleep(0.05)
            order.append("written")
        await taking
    assert order == ["written", "taken"]


async def test_a_failure_of_the_work_is_raised_and_gives_the_lease_up(database: Database, second: Database) -> None:
    """What supervises it sees the failure; the other one may try meanwhile."""
    lease = Lease(database, "work", "one", SECONDS)

    async def failing(held: Held) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await lease.run(failing)
    other = Worker(second, "other")
    async with running(other):
        assert await _seconds_until(lambda: bool(other.turns)) < SECONDS


async def test_without_the_database_work_stops_with_the_lease(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder goes on until another one could have taken over, and begins again when the database is back."""
    one = Worker(database, "one")
    async with running(one):
        await eventually(lambda: bool(one.turns))
        with monkeypatch.context() as patched:
            patched.setattr(database, "transaction", _away(database))
            await eventually(lambda: one.ended == 1)
            assert not one.lease.held
        await eventually(lambda: len(one.turns) == 2)


async def _seconds_until(condition: Callable[[], bool]) -> float:
    """How long it takes, without what a busy machine adds."""
    began = time.monotonic()
    async with lateness() as late:
        await eventually(condition)
        return time.monotonic() - began - 2 * late.seconds


def _any_moment(year: int = 2026) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC)


def _away(database: Database) -> Callable[[], object]:
    @asynccontextmanager
    async def transaction() -> AsyncIterator[None]:
        raise DatabaseUnavailable("away")
        yield

    return transaction
