"""SQLite specifics: the file, its connections, and the begin of transactions."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.outside.sqlite_file import DIRECTORY_MODE, FILE_MODE

T = TypeVar("T")

READING: Final = "reading"
"""Execution option of what begins without the lock of those that write."""


def sqlite_engine(url: URL, seconds: float) -> AsyncEngine:
    """The engine of a file, which is made where it is not there. `seconds`: that a transaction waits for another one.

    Raises OSError.
    """
    path = Path(url.database or "")
    # Create it before SQLite would, readable by this user only: its companion files get the same mode.
    path.parent.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    os.chmod(path, FILE_MODE)

    def connect() -> aiosqlite.Connection:
        made = _Connection(lambda: sqlite3.connect(path, seconds), 64)
        made._thread.daemon = True  # as SQLAlchemy does with its own: the end of the process waits for none
        return made

    engine = create_async_engine(url, async_creator=connect, pool_size=20, max_overflow=0, pool_timeout=seconds)
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of the work; cancellations of the waiting task take effect once the work has ended."""
    return await _done(asyncio.ensure_future(work))


async def _done(work: asyncio.Future[T]) -> T:
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():  # a time limit, and the end of the caller, may cancel it one after the other
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # it is known now, and needs no line in the log
        raise


class _Connection(aiosqlite.Connection):
    """One whose statements are waited for by a task that is cancelled, too: on its thread they run to their end
    anyway, and what held a lock still would block all writers."""

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._running or self._connection is None:
            raise ValueError("the connection is closed")
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((done, partial(fn, *args, **kwargs)))
        return await _done(done)


def _prepare(connection: Any, record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, and hold for changes of tables too
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get(READING, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
