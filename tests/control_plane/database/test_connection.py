"""What is kept comes back as it was."""

import asyncio
import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import ArgumentError, IntegrityError

from gateway.control_plane.database.connection import Database, DatabaseUnavailable, with_driver
from gateway.control_plane.database.tables import Organization, Table


async def test_a_time_of_any_zone_comes_back_as_the_same_moment_in_utc(tmp_path: Path) -> None:
    """What is written with an offset of two hours is read as UTC."""
    database = Database(f"sqlite:///{tmp_path / 'control-plane.db'}")
    try:
        async with database.engine.begin() as connection:
            await connection.run_sync(Table.metadata.create_all)
        written = datetime(2026, 11, 26, 12, 0, tzinfo=timezone(timedelta(hours=2)))
        async with database.transaction() as session:
            session.add(Organization(name="default", created_at=written))
        async with database.transaction() as session:
            read = (await session.scalars(select(Organization))).one()
    finally:
        await database.close()
    assert read.created_at == written
    assert read.created_at.tzinfo is UTC


async def test_a_cancelled_writer_does_not_block_others(database: Database) -> None:
    """Wherever in its transaction it is stopped, nothing of it is kept and the next one begins at once."""
    for round_ in range(20):
        began = asyncio.Event()

        async def write(began: asyncio.Event = began, name: str = f"stopped-{round_}") -> None:
            async with database.transaction() as session:
                began.set()
                for number in range(1000):
                    session.add(Organization(name=f"{name}-{number}"))
                    await session.flush()

        task = asyncio.create_task(write())
        await began.wait()
        await asyncio.sleep(random.uniform(0, 0.02))
        task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(20), database.transaction() as session:
            session.add(Organization(name=f"other-{round_}"))
    async with database.reading() as session:
        names = (await session.scalars(select(Organization.name))).all()
    assert sorted(names) == sorted(f"other-{round_}" for round_ in range(20))


async def test_a_writer_that_is_cancelled_again_and_again_does_not_block_others(database: Database) -> None:
    """Also where a time limit and the end of its caller cancel it one after the other, the next one begins at once."""
    for round_ in range(100):

        async def write(name: str = f"stopped-{round_}") -> None:
            async with database.transaction() as session:
                session.add(Organization(name=name))

        task = asyncio.create_task(write())
        await asyncio.sleep(random.uniform(0, 0.004))
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        async with asyncio.timeout(2), database.transaction() as session:
            session.add(Organization(name=f"other-{round_}"))


async def test_what_is_read_and_then_written_is_not_overtaken(database: Database) -> None:
    """Of many that look for a name and make it where it is missing, one makes it; on PostgreSQL the others fail."""

    async def ensure() -> bool:
        async with database.transaction() as session:
            if (await session.scalars(select(Organization))).all():
                return False
            session.add(Organization(name="one"))
            return True

    made = await asyncio.gather(*(ensure() for _ in range(10)), return_exceptions=True)
    assert made.count(True) == 1
    assert all(isinstance(each, bool | IntegrityError) for each in made)
    assert not database.is_sqlite or made.count(False) == 9


async def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    """Within a transaction that writes, others read what was there before it."""
    async with database.transaction() as session:
        session.add(Organization(name="one"))
        await session.flush()
        async with asyncio.timeout(20), database.reading() as other:
            assert (await other.scalars(select(Organization))).all() == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody@127.0.0.1:1/none",
        "postgresql+psycopg://nobody:secret@127.0.0.1:1/none",
        "postgresql://nobody:secret@127.0.0.1:1/none?nonsense=1",
    ],
)
async def test_a_database_that_is_away_is_said_to_be_so(url: str) -> None:
    """It is unavailable, within the time of a connection, and no password is in the text."""
    database = Database(url)
    try:
        with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/none.* cannot be used now") as caught:
            async with database.reading():
                pass
    finally:
        await database.close()
    assert "secret" not in str(caught.value)
    assert database.failures == 1


async def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    """One that takes connections and never answers does not block for long."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await asyncio.start_server(hold, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    database = Database(f"postgresql://nobody@127.0.0.1:{port}/none")
    try:
        async with asyncio.timeout(30):
            with pytest.raises(DatabaseUnavailable):
                async with database.reading():
                    pass
    finally:
        await database.close()
        server.close()


def test_a_url_may_say_sslmode_for_either_driver() -> None:
    """asyncpg knows it as `ssl`."""
    assert with_driver("postgresql://h/d?sslmode=require").query == {"ssl": "require"}
    assert with_driver("postgres://h/d?sslmode=require").drivername == "postgresql+asyncpg"
    assert with_driver("postgresql+psycopg://h/d?sslmode=require").query == {"sslmode": "require"}


@pytest.mark.parametrize(
    "url",
    [
        "mysql://h/d",
        "postgresql+psycopg2://h/d",
        "postgresql://h:port/d",
        "postgresql://h:99999/d",
        "sqlite+pysqlite:///x",
        "sqlite://",
        "sqlite:///:memory:",
        "nothing",
        "",
        "\x00",
    ],
)
def test_another_database_is_refused(url: str) -> None:
    """What there is no driver for, no port or no file, is no URL of a database."""
    with pytest.raises(ArgumentError):
        Database(url)
