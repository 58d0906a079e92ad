"""Persistent windows, and counts of three days, in a file: SQLite.

    slices  what each process made of the last hour, whole, until it is too old
    counts  by five minutes and subject: requests, errors and, for as long as there is room, durations
    gateway its name among those that share a Redis, and up to where it has counted what the others served

Each process adds what came to it, once, and reads what others have added since it looked last: so one that takes over
from another, or follows it, neither loses nor doubles what both have served. What was written outlives a kill -9.
"""

from __future__ import annotations

import logging
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.monitor.slices import summed
from gateway.monitor.tallies import Subject, Tally, check, pack
from gateway.monitor.windows import COARSE, FINE, KEPT, MINUTE, Point
from gateway.outside.sqlite_file import Connection, SqliteFile
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.monitor")

FILE: Final = "monitor.sqlite"
DAYS_SECONDS: Final = 3 * 86400
MOST_BYTES: Final = 256 * 1024**2  # of the file, about
LOG_SECONDS: Final = 60.0
AT_ONCE: Final = 2  # slices that are read together: they can be large

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS slices (
    id INTEGER PRIMARY KEY AUTOINCREMENT, writer TEXT NOT NULL, step INTEGER NOT NULL, start INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS counts (
    at INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, others INTEGER NOT NULL,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, durations BLOB,
    PRIMARY KEY (at, kind, name, others)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gateway (name TEXT NOT NULL, followed_ms INTEGER NOT NULL, followed_number INTEGER NOT NULL);
"""
_SLICES: Final = "SELECT id, writer, step, start, data FROM slices WHERE id > ? ORDER BY id LIMIT ?"
_ADD: Final = """
INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, errors = errors + excluded.errors,
    durations = add_durations(durations, excluded.durations)
"""
_HISTORY: Final = """
WITH RECURSIVE slots(at) AS (SELECT ?1 UNION ALL SELECT at + ?3 FROM slots WHERE at + ?3 < ?2)
SELECT counts.at, requests, errors, durations FROM slots JOIN counts ON counts.at = slots.at
WHERE kind = ?4 AND name = ?5 AND others <= ?6
"""
_WATCHED: Final = "SELECT DISTINCT at FROM counts WHERE at >= ? AND at < ? AND kind = 'all' AND name = ''"


@dataclass(frozen=True, slots=True)
class Kept:
    """A slice as it is written (see `slices.written`)."""

    step: int
    start: int
    data: bytes


Row = tuple[int, str, str, int, int, int, bytes | None]
"""Columns: time, kind, name, 1 for other gateways, requests, errors, durations."""


def row(at: int, subject: Subject, packed: bytes, *, others: bool) -> Row:
    """The counts of a subject in the five minutes that contain this time."""
    tally = Tally()
    tally.add(packed)
    durations = pack(0, 0, tally.buckets) if tally.buckets and subject.kind in ("all", "route", "upstream") else None
    name = subject.name.encode("utf-8", "replace").decode()  # token issuers may invent half surrogates
    return at - at % COARSE, subject.kind, name, int(others), tally.requests, tally.errors, durations


class WindowFile:
    """One file. It can be used by several processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = uuid.uuid4().hex
        self._seen = 0  # id of the last slice that was read
        log = ThrottledLog(logger.error, LOG_SECONDS)
        self._file = SqliteFile(path, "monitor", _prepare, log, "the monitor's numbers are only kept in memory")

    async def read(self, now: float) -> list[Kept]:
        """A few of the slices that others than this have added since the last time, in the order in which they did;
        none: these were all."""
        return await self._file.run(lambda connection: self._read(connection, now), create=False) or []

    async def name(self) -> str | None:
        """The name of this gateway for others: the same for all processes with this file."""
        return await self._file.run(_name)

    async def write(self, slices: Sequence[Kept], rows: Sequence[Row], now: float) -> bool:
        """Add these, in one transaction, and let go what is too old; whether that worked."""
        return await self._file.run(lambda connection: self._write(connection, slices, rows, now)) is not None

    async def add_others(self, rows: Sequence[Row], number: tuple[int, int]) -> bool:
        """Add what another gateway sent under this number, unless that has been added; whether that worked."""
        return await self._file.run(lambda connection: _add_others(connection, rows, number)) is not None

    async def history(self, subject: Subject, now: float, *, others: bool) -> list[Point]:
        """The last three days by five minutes, the oldest first; with what other gateways served, or without."""
        end = int(now) - int(now) % COARSE + COARSE
        begin = end - DAYS_SECONDS
        known = await self._file.run(lambda connection: _history(connection, subject, begin, end, others), create=False)
        tallies, watched = known or ({}, set())
        points = []
        for at in range(begin, end, COARSE):
            seconds = min(float(COARSE), now - at)
            points.append(Point(at, tallies.get(at, Tally()) if at in watched else None, seconds))
        return points

    def troubles(self) -> Iterable[str]:
        """Its current problem."""
        return self._file.troubles()

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()

    # On the thread.

    def _read(self, connection: Connection, now: float) -> list[Kept]:
        while True:
            found = []
            rows = connection.execute(_SLICES, (self._seen, AT_ONCE)).fetchall()
            for number, writer, step, start, data in rows:
                self._seen = number
                if writer != self._writer and now - step * (KEPT.get(step, 0) + 1) <= start <= now:
                    found.append(Kept(step, start, data))
            if found or not rows:
                return found

    def _write(self, connection: Connection, slices: Sequence[Kept], rows: Sequence[Row], now: float) -> bool:
        with connection:
            connection.executemany(
                "INSERT INTO slices (writer, step, start, data) VALUES (?, ?, ?, ?)",
                [(self._writer, each.step, each.start, each.data) for each in slices],
            )
            connection.executemany(_ADD, rows)
            for step in (FINE, MINUTE):
                oldest = int(now) - step * (KEPT[step] + 1)
                connection.execute("DELETE FROM slices WHERE step = ? AND start < ?", (step, oldest))
            connection.execute("DELETE FROM counts WHERE at < ?", (int(now) - DAYS_SECONDS - COARSE,))
            if _size(connection) > MOST_BYTES:
                # Of what is oldest, the durations go first, then all of it.
                (at,) = connection.execute("SELECT min(at) FROM counts WHERE durations IS NOT NULL").fetchone()
                if at is not None:
                    connection.execute("UPDATE counts SET durations = NULL WHERE at = ?", (at,))
                else:
                    connection.execute("DELETE FROM counts WHERE at = (SELECT min(at) FROM counts)")
        return True


def _prepare(connection: Connection) -> None:
    """Make the tables; those of a version that is not this one's are made anew."""
    connection.create_function("add_durations", 2, _add_durations, deterministic=True)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, _VERSION):
        connection.executescript(
            "DROP TABLE IF EXISTS slices; DROP TABLE IF EXISTS counts; DROP TABLE IF EXISTS gateway;"
        )
    connection.executescript(_SCHEMA)
    with connection:
        connection.execute(
            "INSERT INTO gateway SELECT ?, 0, 0 WHERE NOT EXISTS (SELECT * FROM gateway)", (uuid.uuid4().hex,)
        )
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def _name(connection: Connection) -> str:
    (name,) = connection.execute("SELECT name FROM gateway").fetchone()
    return str(name)


def _add_others(connection: Connection, rows: Sequence[Row], number: tuple[int, int]) -> bool:
    with connection:
        connection.execute("BEGIN IMMEDIATE")  # of two processes with this file, one adds it
        known = connection.execute("SELECT followed_ms, followed_number FROM gateway").fetchone()
        if tuple(known) < number:
            connection.executemany(_ADD, rows)
            connection.execute("UPDATE gateway SET followed_ms = ?, followed_number = ?", number)
    return True


def _add_durations(one: bytes | None, other: bytes | None) -> bytes | None:
    whole = [packed for packed in (one, other) if packed is not None and _is_whole(packed)]
    return summed(whole) if whole else None


def _is_whole(packed: bytes) -> bool:
    try:
        check(packed)
    except ValueError:
        return False
    return True


def _size(connection: Connection) -> int:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _history(
    connection: sqlite3.Connection, subject: Subject, begin: int, end: int, others: bool
) -> tuple[dict[int, Tally], set[int]]:
    tallies: dict[int, Tally] = {}
    asked = (begin, end, COARSE, subject.kind, subject.name, int(others))
    for at, requests, errors, durations in connection.execute(_HISTORY, asked):
        tally = tallies.setdefault(at, Tally())
        tally.requests += requests
        tally.errors += errors
        if durations is not None and _is_whole(durations):
            tally.add(durations)
    return tallies, {at for (at,) in connection.execute(_WATCHED, (begin, end))}
