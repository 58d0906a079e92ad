"""The audit log of the control plane: one chain, in the transactions that it tells of."""

import asyncio
import itertools
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.control_plane import audit
from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.tables import AuditRecord, Organization
from gateway.monitor.audit_chain import Link, Sealer


async def _lines(database: Database) -> list[bytes]:
    async with database.transaction() as session:
        return [line.encode() for line in await session.scalars(select(AuditRecord.line).order_by(AuditRecord.number))]


async def _end(database: Database) -> Link:
    async with database.transaction() as session:
        return await audit.end(session, audit.NO_ORGANIZATION)


async def test_each_record_names_the_one_before_it_and_the_head_the_last(database: Database) -> None:
    """What was changed by whom is in a line, whose hash the next one has."""
    for number in range(3):
        async with database.transaction() as session:
            await audit.record(session, "alice", "environment.create", f"environments/{number}", details={"n": number})
    read = [Sealer().read(line.rstrip()) for line in await _lines(database)]
    assert all(line is not None and line.intact for line in read)
    numbers = [(line.number, line.previous) for line in read if line is not None]
    assert [number for number, _ in numbers] == [1, 2, 3]
    assert read[2] is not None
    assert read[1] is not None
    assert read[2].previous == read[1].hash
    assert await _end(database) == read[2].link
    assert read[2].record["who"] == "alice"
    assert read[2].record["details"] == {"n": 2}


async def test_a_change_that_is_undone_leaves_no_record(database: Database) -> None:
    """Record and change are of one transaction."""

    async def fail() -> None:
        async with database.transaction() as session:
            session.add(Organization(name="acme"))
            await audit.record(session, "alice", "organization.create", "organizations/acme")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await _lines(database) == []
    assert await _end(database) == Link()


async def test_writers_at_the_same_time_make_one_chain(database: Database) -> None:
    """Thirty transactions at once: no number is missing or there twice."""

    async def write(number: int) -> None:
        async with database.transaction() as session:
            await audit.record(session, f"caller {number}", "environment.create", "environments/x")

    await asyncio.gather(*(write(number) for number in range(30)))
    read = [Sealer().read(line.rstrip()) for line in await _lines(database)]
    assert [line.number for line in read if line is not None] == list(range(1, 31))
    pairs = itertools.pairwise(read)
    assert all(one is not None and two is not None and two.previous == one.hash for one, two in pairs)


async def test_two_control_planes_write_one_chain(database_url: str, database: Database) -> None:
    """Each over connections of its own."""
    other = Database(database_url)
    try:

        async def write(through: Database, name: str) -> None:
            for _ in range(10):
                async with through.transaction() as session:
                    await audit.record(session, name, "environment.create", "environments/x")

        await asyncio.gather(write(database, "one"), write(other, "other"))
    finally:
        await other.close()
    read = [Sealer().read(line.rstrip()) for line in await _lines(database)]
    assert [line.number for line in read if line is not None] == list(range(1, 21))


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 10_000, "日本語 'quoted' \"\\ \n"])
async def test_any_text_can_be_recorded(database: Database, text: str) -> None:
    """What clients send is bounded, and is no reason to fail."""
    async with database.transaction() as session:
        await audit.record(session, text, text, text, details={"names": [text], "other": Path("x")})
    [line] = await _lines(database)
    read = Sealer().read(line.rstrip())
    assert read is not None
    assert read.intact
    assert len(line) < 5000
