"""SQLite files of the state directory, each on a thread of its own; for their owner only.

What was written outlives a kill -9 and a power cut: there is a write-ahead log, and `synchronous=FULL`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from gateway.outside.throttled_log import ThrottledLog

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
BUSY_SECONDS = 1.0  # another process is writing
_COMPANIONS = ("", "-wal", "-shm")

T = TypeVar("T")
Connection = sqlite3.Connection


class SqliteFile:
    """One file. A failure closes it and is logged with its `consequence`; the next work opens it anew.

    `prepare` makes the tables, on the thread, whenever the file was opened. `available` is False from a failure until
    it works again; `failures` counts them all, `outages` how often that began.
    """

    def __init__(
        self, path: Path, thread: str, prepare: Callable[[Connection], None], log: ThrottledLog, consequence: str
    ) -> None:
        self.path = path
        self.available = True
        self.failure = ""  # why it cannot be used now
        self.failures = 0
        self.outages = 0
        self._prepare = prepare
        self._log = log
        self._consequence = consequence
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread)

    async def run(self, work: Callable[[Connection], T], *, create: bool = True) -> T | None:
        """The result of the work, on the thread. None: the file cannot be used, or, without `create`, does not
        exist."""
        try:
            done = await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work, create)
        except (sqlite3.Error, OSError) as error:
            self.failures += 1
            self.outages += self.available
            self.available = False
            self.failure = str(error)
            self._log.line("%s, because %s cannot be used: %s", self._consequence, self.path, error)
            return None
        self.available = True
        return done

    def troubles(self) -> Iterable[str]:
        """Its current problem, and the remedy."""
        if not self.available:
            remedy = "see who holds it (fuser), whether there is room, and whether the gateway may write there"
            yield f"{self._consequence}, because {self.path} cannot be used: {self.failure}; {remedy}"

    async def close(self) -> None:
        """Close the file, after what is under way."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    # On the thread.

    def _run(self, work: Callable[[Connection], T], create: bool) -> T | None:
        if not create and not self.path.exists():
            return None
        try:
            if self._connection is None:
                self._connection = _opened(self.path)
                self._prepare(self._connection)
            return work(self._connection)
        except (sqlite3.Error, OSError):
            self._close()
            raise

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _opened(path: Path) -> Connection:
    """Open or make it. Files that were there already, with what SQLite puts beside them, are closed to others, too."""
    path.parent.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    # SQLite would make it as the umask says; what it makes later itself has the mode of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    for companion in _COMPANIONS:
        with contextlib.suppress(FileNotFoundError, PermissionError):  # a file of another user stays as that one has it
            os.chmod(f"{path}{companion}", FILE_MODE)
    connection = sqlite3.connect(path, BUSY_SECONDS, check_same_thread=False)  # it may be closed on another one
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
