"""Quotas in a file: SQLite with a write-ahead log, on a thread of its own, each batch in one transaction.

What was written outlives a kill -9 and a power cut (`synchronous=FULL`). A file that cannot be written stops no
request: counting goes on in memory, the log and `failures` say so, and what was counted meanwhile is written as soon
as it can be.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.limits.ledger import READ_SECONDS, Entry

logger = logging.getLogger("gateway.limits")

BUSY_SECONDS = 1.0  # another process is writing
LOG_SECONDS = 10.0
KEPT_SECONDS = 40 * 86400  # how long windows are kept that are over

_SCHEMA = """
CREATE TABLE IF NOT EXISTS used (
    quota TEXT NOT NULL, starts INTEGER NOT NULL, key TEXT NOT NULL, total INTEGER NOT NULL,
    PRIMARY KEY (quota, starts, key)
) WITHOUT ROWID
"""
_ADD = """
INSERT INTO used VALUES (?1, ?2, ?3, ?4 + ?5)
ON CONFLICT DO UPDATE SET total = max(total, ?4) + ?5 RETURNING total
"""
_READ = "SELECT total FROM used WHERE quota = ? AND starts = ? AND key = ?"


class SqliteBook:
    """The counters in one file, which several processes may share."""

    def __init__(self, path: Path) -> None:
        self.available = True
        self.outages = 0
        self.patience = READ_SECONDS
        self.failures = 0
        self._path = path
        self._logged = float("-inf")
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, "quotas")

    async def start(self) -> None:
        """Open the file. Where that fails, it is tried again with every batch."""
        await self.write(())

    def measures(self) -> dict[str, float]:
        """Writes that failed, and how often that began; 1 while it works."""
        return {
            "gateway_quota_file_up": float(self.available),
            "gateway_quota_file_failures_total": self.failures,
            "gateway_quota_file_outages_total": self.outages,
        }

    async def stop(self) -> None:
        """Close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def write(self, entries: Sequence[Entry]) -> Sequence[int] | None:
        """Add to the counters in one transaction, and answer with their totals. None: the file cannot be used."""
        try:
            totals = await asyncio.get_running_loop().run_in_executor(self._thread, self._write, entries)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            return None
        self.available = True
        return totals

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.outages += self.available
        self.available = False
        now = time.monotonic()
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            logger.error("quotas are only counted in memory, because %s cannot be used: %s", self._path, error)

    # On the thread.

    def _write(self, entries: Sequence[Entry]) -> list[int]:
        try:
            connection = self._open()
            with connection:
                return [_total(connection, entry) for entry in entries]
        except sqlite3.Error:
            self._close()
            raise

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(0o750, parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, BUSY_SECONDS, check_same_thread=False)
            self._connection = connection
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            with connection:
                connection.execute(_SCHEMA)
                connection.execute("DELETE FROM used WHERE starts < ?", (int(time.time()) - KEPT_SECONDS,))
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _total(connection: sqlite3.Connection, entry: Entry) -> int:
    if not entry.added and not entry.known:
        row = connection.execute(_READ, (entry.quota, entry.span.starts, entry.key)).fetchone()
        return row[0] if row else 0
    values = (entry.quota, entry.span.starts, entry.key, entry.known, entry.added)
    total: int = connection.execute(_ADD, values).fetchone()[0]
    return total
