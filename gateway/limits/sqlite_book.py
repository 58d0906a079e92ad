"""Quotas in a file: SQLite, each batch in one transaction.

A file that cannot be written stops no request: counting goes on in memory, the log and the metrics say so, and what was
counted meanwhile is written as soon as it can be.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from gateway.limits.ledger import CREDIT, KEPT_SECONDS, MOST_COUNTED, READ_SECONDS, SHARED, Increment
from gateway.outside.sqlite_file import SqliteFile
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.limits")

LOG_SECONDS = 10.0
PRUNE_SECONDS = 60.0  # between two looks for windows that are over
PRUNED = 2000  # rows that are deleted with one write, so that no request waits for long

_SCHEMA = """
CREATE TABLE IF NOT EXISTS used (
    quota TEXT NOT NULL, starts INTEGER NOT NULL, key TEXT NOT NULL, total INTEGER NOT NULL, ends INTEGER NOT NULL,
    PRIMARY KEY (quota, starts, key)
) WITHOUT ROWID
"""
_LONGEST_WINDOW = 31 * 86400
_UPGRADE = (
    "ALTER TABLE used ADD COLUMN ends INTEGER NOT NULL DEFAULT 0",  # files of former versions
    f"UPDATE used SET ends = starts + {_LONGEST_WINDOW}",
)
_INDEX = "CREATE INDEX IF NOT EXISTS used_ends ON used (ends)"
_ADD = """
INSERT INTO used (quota, starts, key, total, ends) VALUES (?1, ?2, ?3, ?4 + ?5, ?6)
ON CONFLICT DO UPDATE SET total = max(total, ?4) + ?5 RETURNING total
"""
_PRUNE = """
DELETE FROM used WHERE (quota, starts, key) IN (SELECT quota, starts, key FROM used WHERE ends < ? LIMIT ?)
"""
_ROWS = "SELECT count(*) FROM used WHERE quota = ? AND starts = ?"
_READ = "SELECT total FROM used WHERE quota = ? AND starts = ? AND key = ?"


class SqliteBook:
    """The counters in one file, which several processes may share."""

    keeps: Final = True

    def __init__(self, path: Path, most: int = MOST_COUNTED) -> None:
        self.patience = READ_SECONDS
        self.replicas = 1  # of several that use one file, which is on one machine, all know it is gone
        log = ThrottledLog(logger.error, LOG_SECONDS)
        self._file = SqliteFile(path, "quotas", self._prepare, log, "quotas are only counted in memory")
        self._most = most
        self._rows: dict[tuple[str, int], int] = {}  # of each window, as far as they were asked for
        self._pruned = float("-inf")

    @property
    def available(self) -> bool:
        """Whether the file could be used the last time."""
        return self._file.available

    @property
    def outages(self) -> int:
        """How often it could not, in a row."""
        return self._file.outages

    async def start(self) -> None:
        """Open the file. Where that fails, it is tried again with every batch."""
        await self.write(())

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        return self._file.troubles()

    def measures(self) -> dict[str, float]:
        """Writes that failed, and how often that began; 1 while it works."""
        return {
            "gateway_quota_file_up": float(self._file.available),
            "gateway_quota_file_failures_total": self._file.failures,
            "gateway_quota_file_outages_total": self._file.outages,
        }

    async def stop(self) -> None:
        """Close the file."""
        await self._file.close()

    async def write(self, increments: Sequence[Increment]) -> Sequence[int] | None:
        """Add to the counters in one transaction, and answer with their totals. None: the file cannot be used."""
        return await self._file.run(lambda connection: self._write(connection, increments))

    # On the thread.

    def _prepare(self, connection: sqlite3.Connection) -> None:
        self._rows.clear()
        with connection:
            connection.execute(_SCHEMA)
            if "ends" not in [column[1] for column in connection.execute("PRAGMA table_info(used)")]:
                for statement in _UPGRADE:
                    connection.execute(statement)
            connection.execute(_INDEX)

    def _write(self, connection: sqlite3.Connection, increments: Sequence[Increment]) -> list[int]:
        with connection:
            totals = [self._total(connection, increment) for increment in increments]
            self._prune(connection)
        return totals

    def _total(self, connection: sqlite3.Connection, increment: Increment) -> int:
        starts, key = increment.span.starts, increment.key
        row = connection.execute(_READ, (increment.quota, starts, key)).fetchone()
        if row is None and not key.startswith(CREDIT) and self._full(connection, increment):
            key = SHARED
            row = connection.execute(_READ, (increment.quota, starts, key)).fetchone()
        if not increment.added and not increment.known:
            return row[0] if row else 0
        if row is None:
            self._full(connection, increment)  # knows the rows then
            self._rows[increment.quota, starts] += 1
        values = (increment.quota, starts, key, increment.known, increment.added, increment.span.ends)
        total: int = connection.execute(_ADD, values).fetchone()[0]
        return total

    def _full(self, connection: sqlite3.Connection, increment: Increment) -> bool:
        """Whether this window has as many rows as may be."""
        window = increment.quota, increment.span.starts
        if window not in self._rows:
            self._rows[window] = connection.execute(_ROWS, window).fetchone()[0]
        return self._rows[window] >= self._most

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Delete some of what windows that are over have left."""
        now = time.monotonic()
        if now - self._pruned < PRUNE_SECONDS:
            return
        if connection.execute(_PRUNE, (int(time.time()) - KEPT_SECONDS, PRUNED)).rowcount < PRUNED:
            self._pruned = now
            self._rows.clear()
