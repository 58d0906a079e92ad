"""The file that alerts outlive a restart in: SQLite, in the state directory."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from gateway.monitor.alerts.objectives import KEPT, Row, SeriesKey
from gateway.outside.sqlite_file import SqliteFile
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.alerts")

FILE: Final = "alerts.sqlite"  # in the state directory
LOG_SECONDS: Final = 60.0
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS counts (rule TEXT, good_is TEXT, route TEXT, step INTEGER, slot INTEGER, good INTEGER, "
    "total INTEGER, PRIMARY KEY (rule, good_is, route, step, slot)) WITHOUT ROWID",
)

T = TypeVar("T")


class AlertFile:
    """One file. What cannot be read of it is left out, and said."""

    def __init__(self, path: Path) -> None:
        self.path = path
        consequence = "alerts would lose their state with a restart"
        self._file = SqliteFile(path, "alerts", _prepare, ThrottledLog(logger.error, LOG_SECONDS), consequence)

    async def read(self) -> tuple[Mapping[str, bytes], Sequence[Row]] | None:
        """The stored values by name, and the counts. None: the file does not exist, or cannot be read."""
        return await self._file.run(_read, create=False)

    async def write(self, values: Mapping[str, bytes], rows: Iterable[Row], now: float) -> bool:
        """Keep these, in one transaction; whether that worked."""
        listed = list(rows)
        return await self._file.run(lambda connection: _write(connection, values, listed, now)) is not None

    def understood(self, name: str, text: bytes | None, parse: Callable[[bytes], T], otherwise: T) -> T:
        """A value that was kept, as what it is."""
        if text is None:
            return otherwise
        try:
            return parse(text)
        except ValueError as error:
            logger.warning("%s: %s is left out: %s", self.path, name, error)
            return otherwise

    def troubles(self) -> Iterable[str]:
        """Its current problem."""
        return self._file.troubles()

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()


def _prepare(connection: sqlite3.Connection) -> None:
    for statement in _SCHEMA:
        connection.execute(statement)


def _read(connection: sqlite3.Connection) -> tuple[Mapping[str, bytes], Sequence[Row]]:
    values = {name: bytes(value) for name, value in connection.execute("SELECT name, value FROM kept")}
    columns = "rule, good_is, route, step, slot, good, total"
    rows = [Row(SeriesKey(*row[:3]), *row[3:]) for row in connection.execute(f"SELECT {columns} FROM counts")]
    return values, rows


def _write(connection: sqlite3.Connection, values: Mapping[str, bytes], rows: Sequence[Row], now: float) -> bool:
    with connection:
        connection.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", values.items())
        if rows:
            for step, seconds in KEPT.items():
                connection.execute(
                    "DELETE FROM counts WHERE step = ? AND slot < ?", (step, int((now - seconds) // step))
                )
        connection.executemany(
            "INSERT OR REPLACE INTO counts VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(*row.key, row.step, row.slot, row.good, row.total) for row in rows],
        )
    return True
