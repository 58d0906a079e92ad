"""Writes the lines of the access log, in batches, on a thread of its own.

The reader of the log may be slow or stuck: then lines are dropped, and counted, but no request waits. A change of
destination goes through the same queue: every line before it goes to the old one.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.plurals import counted

logger = logging.getLogger("gateway.access_log")

QUEUE_LIMIT: Final = 10_000  # lines that may wait for the writer
QUEUE_BYTES: Final = 8 * 1024 * 1024  # of them: a line may hold a path of kilobytes
BATCH_SECONDS: Final = 0.1
BATCH_LINES: Final = 1000
RETRY_SECONDS: Final = 1.0
STANDARD: Final = {"stdout": 1, "stderr": 2, "off": -1}  # outputs that are no file; their descriptors


@dataclass(frozen=True, slots=True)
class Destination:
    """Where lines go. `console`: they are for people."""

    output: str  # stdout, stderr, off, or a path
    console: bool
    descriptor: int  # -1: nowhere

    def close(self) -> None:
        """Close the file, if it is one."""
        if self.descriptor > 2:
            os.close(self.descriptor)


def open_destination(output: str, *, console: bool) -> Destination:
    """Raises OSError where it cannot be written."""
    if output in STANDARD:
        return Destination(output, console, STANDARD[output])
    # O_NONBLOCK, because opening a named pipe without a reader would otherwise wait for one.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    return Destination(output, console, os.open(output, flags, 0o640))


class LogWriter:
    """The queue, and the thread that empties it. The access log puts lines into it, as long as there is room."""

    def __init__(self, destination: Destination) -> None:
        self.dropped = 0  # lines that found no room, since the start
        self.lost = 0  # lines that could not be written, since the start
        self.failure = ""  # why nothing can be written now
        self.waiting = False  # the reader does not read
        self._lost_before = 0  # of them, before the failure that is now
        self._reported = 0  # of them, in the file
        self._dropped_reported = 0
        self._torn = False  # half a line stands at the end of the file
        self.queue: deque[bytes | Destination] = deque()
        self.put = 0  # bytes that were put into it, which only the loop counts
        self.taken = 0  # bytes that were taken out of it, which only the writer counts
        self.wanted = threading.Event()
        self._stopping = False
        self._destination = destination
        self._writing = threading.Thread(target=self._work, name="access-log", daemon=True)
        self._writing.start()

    def no_room(self) -> None:
        """A line found no room."""
        self.dropped += 1
        self.waiting = True
        if self.dropped == self._dropped_reported + 1:
            logger.warning("%s is not read: access log lines are dropped", self._destination.output)

    def go_on_in(self, destination: Destination) -> None:
        """Every line that follows belongs there."""
        self.queue.append(destination)
        self.wanted.set()

    def close(self, seconds: float) -> None:
        """Write what is left, waiting at most `seconds` for a reader that is stuck."""
        self._stopping = True
        self.wanted.set()
        self._writing.join(seconds)

    def troubles(self) -> Iterator[str]:
        """The current problem, and its remedy."""
        output, lost = self._destination.output, counted(self.lost - self._lost_before, "line")
        if self.failure:
            yield f"the access log {output} cannot be written: {self.failure}; {lost} lost; {self._remedy}"
        elif self.waiting:
            dropped = counted(self.dropped - self._dropped_reported, "line")
            yield f"the access log {output} is not read: {dropped} dropped; look at what reads it"

    @property
    def _remedy(self) -> str:
        is_closed = self.failure == os.strerror(errno.EPIPE)
        return "start what reads it" if is_closed else "make room there, or let the gateway write it"

    # On the thread.

    def _work(self) -> None:
        while not self._stopping or self.queue:
            self.wanted.wait(RETRY_SECONDS if self.failure else None)
            self.wanted.clear()
            if not self._stopping:
                time.sleep(BATCH_SECONDS)
            while self.queue:
                # Write lines up to the next change of destination, if there is one.
                lines: list[bytes] = []
                following: Destination | None = None
                while self.queue and len(lines) < BATCH_LINES:
                    item = self.queue.popleft()
                    if isinstance(item, Destination):
                        following = item
                        break
                    lines.append(item)
                    self.taken += len(item)
                if lines:
                    self._write(b"".join(lines))
                if following is not None:
                    self._destination.close()
                    self._destination, self._torn = following, False
            dropped = self.dropped - self._dropped_reported
            if dropped:
                self._dropped_reported += dropped
                self._write(self._note(f"{counted(dropped, 'line')} dropped", f'{{"dropped":{dropped}}}'))
                output = self._destination.output
                logger.warning("%s is read again: %s dropped", output, counted(dropped, "access log line"))
            self.waiting = False
            if self.failure:
                self._write(b"")

    def _note(self, for_people: str, for_machines: str) -> bytes:
        return (for_people if self._destination.console else for_machines).encode() + b"\n"

    def _write(self, data: bytes) -> None:
        before = self._about_lost() if self.failure else b""
        view = memoryview(before + data)
        while view and self._destination.descriptor >= 0:
            try:
                written = os.write(self._destination.descriptor, view)
                view = view[written:]
            except BlockingIOError:
                time.sleep(BATCH_SECONDS)
            except OSError as error:
                self._failed(error, before + data, len(before) + len(data) - len(view), len(before))
                return
        if self.failure:
            lost = counted(self.lost - self._lost_before, "access log line")
            self.failure, self._torn, self._reported, self._lost_before = "", False, self.lost, self.lost
            logger.warning("%s is written again: %s lost", self._destination.output, lost)

    def _about_lost(self) -> bytes:
        """The end of a line that was cut short, and a note of how many are missing."""
        lost = self.lost - self._reported
        note = self._note(f"{counted(lost, 'line')} lost", f'{{"lost":{lost}}}') if lost else b""
        return b"\n" * self._torn + note

    def _failed(self, error: OSError, data: bytes, written: int, note: int) -> None:
        """Account for a partial write; `note` is the number of bytes that report earlier losses."""
        if written:
            self._torn = data[written - 1 : written] != b"\n"
        if written >= note:
            self._reported = self.lost
        self.lost += data.count(b"\n", max(written, note))
        reason = error.strerror or str(error)
        if not self.failure:
            self.failure, output = reason, self._destination.output
            remedy = self._remedy
            logger.error("%s: %s; access log lines are lost until it can be written; %s", output, reason, remedy)
        self.failure = reason
