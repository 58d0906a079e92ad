"""The entries that are made at runtime, in a file that outlives the process: SQLite, on a thread of its own.

What was written outlives a kill -9 and a power cut. A file that cannot be written stops nothing: the entries hold in
memory, the log says so, and they are written as soon as that works.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.access.entries import Entry, Key, from_json
from gateway.outside.sqlite_file import open_file
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.blocklist")

BUSY_SECONDS = 1.0  # another process is writing
LOG_SECONDS = 60.0

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS entries (kind TEXT, value TEXT, entry TEXT, PRIMARY KEY (kind, value)) WITHOUT ROWID"
)
_SET = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?)"
_DELETE = "DELETE FROM entries WHERE kind = ? AND value = ?"

Changes = Mapping[Key, Entry | None]
"""None: it is no longer kept."""


class EntryFile:
    """One file. `available` is False from a failure until it works again."""

    def __init__(self, path: Path) -> None:
        self.available = True
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, "blocklist")
        self._log = ThrottledLog(logger.error, LOG_SECONDS)

    async def read(self) -> list[Entry]:
        """What is kept; nothing where there is no file yet, or none that can be read."""
        return await self._run(self._read) or []

    async def write(self, changes: Changes) -> bool:
        """Write in one transaction; whether that worked."""
        return await self._run(lambda: self._write(changes)) is not None

    async def close(self) -> None:
        """Close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], list[Entry]]) -> list[Entry] | None:
        try:
            done = await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            return None
        self.available = True
        return done

    def _failed(self, error: Exception) -> None:
        self._log.line("the blocklist is only kept in memory, because %s cannot be used: %s", self.path, error)
        self.available = False

    # On the thread.

    def _guarded(self, work: Callable[[], list[Entry]]) -> list[Entry]:
        try:
            return work()
        except (sqlite3.Error, OSError):
            self._close()
            raise

    def _read(self) -> list[Entry]:
        if not self.path.exists():
            return []
        entries = []
        for kind, value, text in self._open().execute("SELECT kind, value, entry FROM entries"):
            try:
                entries.append(from_json(text))
            except ValueError as error:
                logger.warning("%s: the entry for %s %s is left out: %s", self.path, kind, value, error)
        return entries

    def _write(self, changes: Changes) -> list[Entry]:
        connection = self._open()
        with connection:
            for (kind, value), entry in changes.items():
                if entry is None:
                    connection.execute(_DELETE, (kind, value))
                else:
                    connection.execute(_SET, (kind, value, entry.to_json().decode()))
        return []

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_file(self.path, BUSY_SECONDS)
            self._connection.execute(_SCHEMA)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
