"""The entries that are made at runtime, in a file that outlives the process: SQLite.

A file that cannot be written stops nothing: the entries hold in memory, the log says so, and they are written as
soon as that works.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

from gateway.access.entries import Entry, Key, from_json
from gateway.outside.sqlite_file import SqliteFile
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.blocklist")

LOG_SECONDS = 60.0

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS entries (kind TEXT, value TEXT, entry TEXT, PRIMARY KEY (kind, value)) WITHOUT ROWID"
)
_SET = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?)"
_DELETE = "DELETE FROM entries WHERE kind = ? AND value = ?"

Changes = Mapping[Key, Entry | None]
"""The entry. None: it was removed."""


class EntryFile:
    """One file."""

    def __init__(self, path: Path) -> None:
        log = ThrottledLog(logger.error, LOG_SECONDS)
        consequence = "the blocklist is only kept in memory"
        self._file = SqliteFile(path, "blocklist", _prepare, log, consequence)

    async def read(self) -> list[Entry]:
        """The stored entries; empty if the file does not exist, or cannot be read."""
        return await self._file.run(self._read, create=False) or []

    async def write(self, changes: Changes) -> bool:
        """Write in one transaction; whether that worked."""
        return await self._file.run(lambda connection: _write(connection, changes)) is not None

    def troubles(self) -> Iterable[str]:
        """Its current problem."""
        return self._file.troubles()

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()

    def _read(self, connection: sqlite3.Connection) -> list[Entry]:
        entries = []
        for kind, value, text in connection.execute("SELECT kind, value, entry FROM entries"):
            try:
                entries.append(from_json(text))
            except ValueError as error:
                logger.warning("%s: the entry for %s %s is left out: %s", self._file.path, kind, value, error)
        return entries


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute(_SCHEMA)


def _write(connection: sqlite3.Connection, changes: Changes) -> bool:
    with connection:
        for (kind, value), entry in changes.items():
            if entry is None:
                connection.execute(_DELETE, (kind, value))
            else:
                connection.execute(_SET, (kind, value, entry.to_json().decode()))
    return True
