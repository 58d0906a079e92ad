"""The access log: one line for each request, written in batches by a thread of its own.

A request only appends to a list. Whoever reads the log may be slow or stuck: then lines are dropped, and counted,
but no request waits.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

Record = dict[str, Any]

QUEUE_LIMIT = 50_000  # records that may wait for the writer
BATCH_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class AccessLogSettings:
    """Where the log goes, and for whom it is."""

    output: str = "stdout"  # stdout, stderr, off, or a path
    format: Literal["json", "console"] = "json"


class AccessLog:
    """Takes records on the event loop, writes them on its own thread."""

    def __init__(self, settings: AccessLogSettings) -> None:
        self.settings = settings
        self.dropped = 0  # records, since the start
        self._dropped_told = 0
        self._records: list[Record] = []
        self._wanted = threading.Event()
        self._stopping = False
        self._reopen = False
        self._descriptor = -1
        self._thread = threading.Thread(target=self._work, name="access-log", daemon=True)
        self._open()
        self._thread.start()

    def __call__(self, record: Record) -> None:
        """Take a record; never blocks."""
        records = self._records
        if len(records) >= QUEUE_LIMIT:
            self.dropped += 1
            return
        records.append(record)
        if len(records) == 1:
            self._wanted.set()

    def reopen(self) -> None:
        """The file was moved away (SIGUSR1): go on in a new one."""
        self._reopen = True
        self._wanted.set()

    def close(self, seconds: float = 2.0) -> None:
        """Write what is left, waiting at most `seconds` for a reader that is stuck."""
        self._stopping = True
        self._wanted.set()
        self._thread.join(seconds)

    # On the writer's thread.

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if not self._stopping:
                time.sleep(BATCH_SECONDS)
            if self._reopen:
                self._reopen = False
                self._open()
            self._write_batch()
            if self._stopping and not self._records:
                return

    def _write_batch(self) -> None:
        records, self._records = self._records, []
        encode = _console_line if self.settings.format == "console" else orjson.dumps
        lines = [encode(record) for record in records]
        if self.dropped > self._dropped_told:
            lines.append(orjson.dumps({"dropped": self.dropped - self._dropped_told}))
            self._dropped_told = self.dropped
        if lines and self._descriptor >= 0:
            self._write(b"\n".join(lines) + b"\n")

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                time.sleep(BATCH_SECONDS)
            except OSError as error:
                print(f"access log: {self.settings.output}: {error.strerror}", file=sys.stderr)
                return

    def _open(self) -> None:
        known = {"stdout": 1, "stderr": 2, "off": -1}
        if self.settings.output in known:
            self._descriptor = known[self.settings.output]
            return
        opened = os.open(self.settings.output, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        if self._descriptor > 2:
            os.close(self._descriptor)
        self._descriptor = opened


def _console_line(record: Record) -> bytes:
    """One line for people: what, where to, how it ended, how long it took."""
    at = datetime.fromtimestamp(record["time"], UTC).strftime("%H:%M:%S")
    where = f"{record['route'] or '-'} -> {record['endpoint'] or '-'}"
    seconds = record["duration"]
    line = f"{at} {record['status']} {record['method']} {record['path']}  {where}  {seconds * 1000:.1f} ms"
    if record["error"]:
        line += f"  ({record['error']})"
    return "".join(character if character.isprintable() else "?" for character in line).encode()
