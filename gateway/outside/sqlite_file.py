"""SQLite files of the state directory: with a write-ahead log, safe against power cuts, for their owner only."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
_COMPANIONS = ("", "-wal", "-shm")


def open_file(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """Open or make it. Files that were there already, with what SQLite puts beside them, are closed to others, too.

    Raises sqlite3.Error or OSError. May be used on any one thread at a time.
    """
    path.parent.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    # SQLite would make it as the umask says; what it makes later itself has the mode of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    for companion in _COMPANIONS:
        with contextlib.suppress(FileNotFoundError, PermissionError):  # a file of another user stays as that one has it
            os.chmod(f"{path}{companion}", FILE_MODE)
    connection = sqlite3.connect(path, busy_seconds, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
