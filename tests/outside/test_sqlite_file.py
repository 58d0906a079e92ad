"""A file that cannot be used stops nothing, and is used again as soon as it can be."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import pytest

from gateway.outside.sqlite_file import SqliteFile
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.test")


def prepare(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS numbers (number INTEGER)")


def add(connection: sqlite3.Connection) -> int:
    with connection:
        connection.execute("INSERT INTO numbers VALUES (1)")
    count: int = connection.execute("SELECT count(*) FROM numbers").fetchone()[0]
    return count


def made(path: Path) -> SqliteFile:
    return SqliteFile(path, "test", prepare, ThrottledLog(logger.error, 60), "numbers are lost")


async def test_an_outage_is_counted_and_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every failure counts, one line says what it means, and what comes after the outage is written."""
    path = tmp_path / "state" / "numbers.sqlite"
    path.parent.touch()  # a file where the directory should be
    file = made(path)
    assert [await file.run(add) for _ in range(3)] == [None] * 3
    assert (file.available, file.failures, file.outages) == (False, 3, 1)
    assert [record.message.partition(": ")[0] for record in caplog.records if record.name == logger.name] == [
        f"numbers are lost, because {path} cannot be used"
    ]
    path.parent.unlink()
    assert [await file.run(add), await file.run(add)] == [1, 2]
    assert (file.available, file.failures, file.outages) == (True, 3, 1)
    await file.close()


async def test_reading_makes_no_file(tmp_path: Path) -> None:
    """Where none is there nothing is read, and that is no failure; what was written once is there for the next."""
    path = tmp_path / "numbers.sqlite"
    file = made(path)
    assert await file.run(add, create=False) is None
    assert (path.exists(), file.available) == (False, True)
    assert await file.run(add) == 1
    await file.close()
    again = made(path)
    assert await again.run(add, create=False) == 2
    await again.close()
