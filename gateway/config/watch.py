"""Have the files changed, and are they whole? Their contents decide, and times only of large ones (`large_files.py`).

A ConfigMap is swapped by a symlink, an editor replaces a file, a careless script truncates it and writes on for a
while. So a change counts once the contents have stayed the same for SETTLE_SECONDS, and no process
holds one of the files open for writing (Linux lets the owner of a file ask: fcntl(2), F_SETLEASE).
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.config.directories import files_of
from gateway.config.files import Read, listed, read_files
from gateway.config.problems import ConfigError, Problem
from gateway.config.regular_files import read_regular

POLL_SECONDS = 0.2
SETTLE_SECONDS = 0.4

Contents = Mapping[str, bytes] | ConfigError
"""The contents of the files by name, or why they cannot be read."""


class BeingWritten(ConfigError):
    """Files that a process has open for writing, or wrote while they were read: they are for a moment later."""

    def __init__(self, names: Iterable[str]) -> None:
        message = "this file is being written; it is read once the writer has closed it"
        super().__init__([Problem(name, 0, 0, "", message) for name in names])


def look(directory: Path, named: Iterable[str] = (), read: Read = read_regular) -> tuple[Contents, BeingWritten | None]:
    """What is there now, and which files, these that it names included, are being written: before, while or after they
    were read."""
    before = being_written(directory, (*listed(directory), *named))
    contents = _read(directory, read)
    names = dict.fromkeys((*listed(directory), *(() if isinstance(contents, ConfigError) else contents), *named))
    written = before | being_written(directory, names)
    return contents, BeingWritten([name for name in names if name in written]) if written else None


def _read(directory: Path, read: Read) -> Contents:
    try:
        return read_files(directory, read)
    except ConfigError as error:
        return error


def same(one: Contents | None, other: Contents | None) -> bool:
    """Whether two readings say the same."""
    if isinstance(one, ConfigError) and isinstance(other, ConfigError):
        return one.problems == other.problems
    return one == other


@dataclass(frozen=True, slots=True)
class Seen:
    """The state: the files, and the digests of the others that they name."""

    contents: Contents
    named: Mapping[str, bytes]

    def same(self, other: Seen | None) -> bool:
        """Whether nothing changed in between."""
        return other is not None and self.named == other.named and same(self.contents, other.contents)


def being_written(directory: Path, names: Iterable[str]) -> set[str]:
    """The files that are open for writing, or directories with such files, as far as this process may know."""
    return {name for name in names if _has_writer(directory / name)}


def _has_writer(path: Path) -> bool:
    if path.is_dir():
        with suppress(OSError, ValueError):
            return any(_has_writer(path / name) for name, _ in files_of(path))
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # A writer who comes in this moment breaks the lease with a signal: one that is ignored by default.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(descriptor)
    return False


class Settling:
    """Decides which reading of the files is one to apply. Knows no clock: `now` is an argument, in seconds."""

    def __init__(self) -> None:
        self._applied: Seen | None = None
        self._seen: Seen | None = None
        self._since = 0.0

    def settled(self, seen: Seen, now: float, *, written: bool) -> bool:
        """Whether what is there is new, and has stayed as it is for long enough."""
        if seen.same(self._applied):
            self._seen = self._applied  # not `seen`: the files are held once
            return False
        if written or not seen.same(self._seen):
            self._seen, self._since = seen, now
            return False
        return now - self._since >= SETTLE_SECONDS

    def changed(self, named: Mapping[str, bytes]) -> list[str]:
        """Which of the files that are named are others than those in force."""
        known = {} if self._applied is None else self._applied.named
        return [name for name, digest in named.items() if known.get(name) != digest]

    def applied(self, seen: Seen) -> None:
        """This is what is in force, or was refused."""
        self._applied = self._seen = seen
