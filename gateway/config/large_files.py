"""Large files of a configuration, which are read again only where they may say something else.

A file with 100,000 keys has 12 MB. To read it five times a second costs as much as two thousand requests do, and drives
what requests need out of the caches of the processor. So one whose state is that of before (the same file, its size,
and when it was changed, which no program can set) says the same, for RECHECKED_SECONDS. Then it is compared, because
the state that a file system of another machine tells may be stale.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.config.named_files import RACY_SECONDS
from gateway.config.regular_files import opened_regular, read_regular

LARGE: Final = 256 * 1024  # bytes; smaller ones are read each time
RECHECKED_SECONDS: Final = 30.0
PIECE: Final = 64 * 1024  # bytes that are compared at once

State = tuple[int, ...]


@dataclass(slots=True)
class _Known:
    """A file as it was read."""

    data: bytes
    state: State | None = None  # None: it may have changed without another one
    compared: float = 0.0  # time.monotonic()


class LargeFiles:
    """Reads files, and keeps large ones. It is used by one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[Path, _Known] = {}

    def read(self, path: Path, limit: int) -> bytes:
        """What `read_regular` returns; the same object as long as that is the same."""
        known = self._known.pop(path, None)
        if known is None:
            known = _Known(read_regular(path, limit))
        else:
            _look_again(known, path, limit)
        if len(known.data) > LARGE:
            self._known[path] = known
        return known.data

    def doubt(self) -> None:
        """Compare all of them when they are read next."""
        for known in list(self._known.values()):
            known.state = None


def _look_again(known: _Known, path: Path, limit: int) -> None:
    """Read the file where it may say something else."""
    began, now, found = time.monotonic(), time.time(), os.stat(path)
    state = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    if state == known.state and began < known.compared + RECHECKED_SECONDS:
        return
    known.state = None
    if not (found.st_size == len(known.data) <= limit and _says(path, known.data)):
        known.data = read_regular(path, limit)
    if now - max(found.st_mtime, found.st_ctime) > RACY_SECONDS:
        known.state, known.compared = state, began


def _says(path: Path, data: bytes) -> bool:
    """Whether this is what the file says; it is compared in pieces, so that it needs no memory."""
    at = 0
    with opened_regular(path) as file:
        while piece := file.read(PIECE):
            if not data.startswith(piece, at):
                return False
            at += len(piece)
    return at == len(data)
