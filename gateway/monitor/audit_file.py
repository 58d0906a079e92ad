"""The file of the audit log, and beside it the head: where the chain goes on after a restart, a rotation, a kill -9.

Everything here blocks, and belongs on the writer's thread. OSError goes to the caller; the chain only counts what
was written as a whole.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import stat
import time
from pathlib import Path
from typing import Any

from gateway.monitor.audit_chain import HEAD_BYTES, Line, Link, Sealer

logger = logging.getLogger("gateway.audit_log")

LONGEST_LINE = 1024 * 1024
TURN_SECONDS = 2.0  # that a process which shares it waits for the other one
LOOK_SECONDS = 0.005

Record = dict[str, Any]


def head_path(path: Path) -> Path:
    """Beside the log."""
    return path.with_name(path.name + ".head")


class AuditFile:
    """An open audit log. Only one process at a time can have it. `broken`: it must be closed, and opened anew.

    `shared`: another gateway, which takes over from this one or the other way round, writes it by turns with this one.
    """

    def __init__(self, path: Path, key: bytes | None, *, shared: bool = False) -> None:
        self.end = Link()
        self.size = 0
        self.broken = False
        self._locked = False
        self._path = path
        self._sealer = Sealer(key)
        self._head_end = Link()
        self._head = os.open(head_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._file = -1
        try:
            self._lock(TURN_SECONDS if shared else 0)
            # Find where the chain goes on, and say in it what was found.
            self._open()
            written = os.pread(self._head, HEAD_BYTES, 0)
            head = self._sealer.read_head(written) if written else None
            last, torn = self._tail()
            self.end, fault = _continue(head, last, head_is_broken=bool(written) and head is None)
            events = [_event("opened", **fault)]
            if fault:
                logger.error("%s: %s", self._path, fault["problem"])
            if torn:
                logger.warning("%s: its last line was cut short; the next one records that", self._path)
            self.append(_torn(torn) + events, b"\n" if torn else b"")
            self.mark()
            logger.info("%s: goes on; --expect %s", self._path, self.end)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the files, for another process."""
        for descriptor in (self._file, self._head):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._head = -1

    def begin_turn(self) -> None:
        """Go on where another process has left it, if one shares it. Raises OSError."""
        if self._locked:
            return
        self._lock(TURN_SECONDS)
        head = self._sealer.read_head(os.pread(self._head, HEAD_BYTES, 0))
        if head == self.end and os.fstat(self._file).st_size == self.size:
            return
        self._open()
        last, torn = self._tail()
        self.end, fault = _continue(head, last, head_is_broken=head is None)
        self._head_end = head or self._head_end
        events = [_event("continued", **fault)] if fault else []
        if events or torn:
            self.append(_torn(torn) + events, b"\n" if torn else b"")

    def end_turn(self) -> None:
        """Release the lock for another process."""
        fcntl.flock(self._head, fcntl.LOCK_UN)
        self._locked = False

    def _lock(self, seconds: float) -> None:
        """Raises OSError where another process has it all this time."""
        until = time.monotonic() + seconds
        while not self._locked:
            try:
                fcntl.flock(self._head, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._locked = True
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise OSError(errno.EBUSY, "another process writes it") from None
                time.sleep(LOOK_SECONDS)

    def append(self, records: list[Record], before: bytes = b"") -> None:
        """Write all of these, so that a power cut does not lose them, or none. Raises OSError."""
        lines, end = [before], self.end
        for record in records:
            line, end = self._sealer.seal(record, end)
            lines.append(line)
        data = b"".join(lines)
        try:
            descriptor = self._file
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fdatasync(self._file)
        except OSError:
            # What is written in part was never there.
            try:
                os.ftruncate(self._file, self.size)
            except OSError:
                self.broken = True
            raise
        self.size += len(data)
        self.end = end

    def mark(self) -> None:
        """Write the head, if it does not say yet where the log ends. Raises OSError."""
        if self._head_end != self.end:
            os.pwrite(self._head, self._sealer.seal_head(self.end), 0)
            os.fdatasync(self._head)
            self._head_end = self.end

    @property
    def is_gone(self) -> bool:
        """Whether the file was deleted."""
        return os.fstat(self._file).st_nlink == 0

    def reopen(self) -> None:
        """Go on in the file that is at the path now: the former one was renamed. Raises OSError."""
        self._open()
        self.append([_event("continued")])

    def rotate(self) -> None:
        """Rename the file, and go on in a new one. Raises OSError."""
        target = self._path.with_name(f"{self._path.name}.{self.end.number:012d}")
        if target.exists():
            raise FileExistsError(errno.EEXIST, f"{target.name} is there already")
        self._path.rename(target)
        self.reopen()

    def _open(self) -> None:
        self.broken = True
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._file = os.open(self._path, flags, 0o640)
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        self.size = status.st_size
        self.broken = False

    # After a start.

    def _tail(self) -> tuple[Line | None, bytes]:
        """The last whole line, and what stands behind it."""
        data = os.pread(self._file, LONGEST_LINE, max(0, self.size - LONGEST_LINE))
        whole, newline, torn = data.rpartition(b"\n")
        last = self._sealer.read(whole.rpartition(b"\n")[2]) if newline else None
        return (last if last is not None and last.intact else None), torn


def _continue(head: Link | None, last: Line | None, *, head_is_broken: bool) -> tuple[Link, dict[str, str]]:
    """After which link the chain goes on, and what is wrong with what was found.

    Where lines are missing that the head knows of, the chain goes on behind them, so that the gap can be seen for ever.
    """
    if head is None:
        found = last.link if last is not None else Link()
        if head_is_broken:
            return found, {"problem": "the head cannot be read, or was made with another key"}
        return found, {"problem": "there is no head beside the log"} if last is not None else {}
    if last is None or last.number > head.number:
        return (head if last is None else last.link), {}
    if last.link != head:
        return head, {"problem": f"the log ends with record {last.number}, and the head says {head.number}"}
    return head, {}


def _torn(torn: bytes) -> list[Record]:
    return [_event("torn", bytes=len(torn), sha256=hashlib.sha256(torn).hexdigest())] if torn else []


def _event(name: str, **details: object) -> Record:
    return {"time": time.time(), "event": name, **details}
