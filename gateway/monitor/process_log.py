"""The gateway's own log, on stderr, written by a thread: a reader that is stuck stops no request."""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
from collections.abc import Iterable, Iterator
from logging.handlers import QueueHandler, QueueListener
from time import gmtime, strftime
from typing import TextIO

import orjson

from gateway.config.secrets import KnownSecrets
from gateway.plurals import counted

QUEUE_BYTES = 4 * 1024**2  # of texts that may wait for the writer; those beyond it are lost
MAX_TEXT = 16 * 1024  # characters of one, traceback included
_RECORD_BYTES = 512  # what a record takes beside its text

SERVICE = ("process_log",)
"""The one identity under which it lives."""


class Lines(queue.Queue[logging.LogRecord | None]):
    """A queue that is full by what its records hold."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._size = 0

    def _qsize(self) -> int:
        return self._size

    def _put(self, item: logging.LogRecord | None) -> None:
        super()._put(item)
        self._size += _size(item)

    def _get(self) -> logging.LogRecord | None:
        item = super()._get()
        self._size -= _size(item)
        return item


def _size(record: logging.LogRecord | None) -> int:
    return _RECORD_BYTES if record is None else _RECORD_BYTES + len(str(record.msg))


class ProcessLog:
    """Settings of the log that may change while it is written, and its losses. `console`: readable lines."""

    def __init__(self, *, console: bool) -> None:
        self.console = console
        self.lost = 0  # records, since the start
        self._reported = 0  # of them, in the log

    def unreported(self) -> int:
        """Records that were lost since this was asked last."""
        lost = self.lost
        unreported, self._reported = lost - self._reported, lost
        return unreported

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if self.lost > self._reported:
            lost = counted(self.lost - self._reported, "line")
            yield f"the gateway's own log cannot be written to stderr: {lost} lost; look at what reads it, or its disk"

    def measures(self) -> dict[str, float]:
        """See `Measured`."""
        return {"gateway_process_log_lost_total": self.lost}


class _Handler(QueueHandler):
    queue: Lines

    def __init__(self, lines: Lines, secrets: KnownSecrets, log: ProcessLog) -> None:
        super().__init__(lines)
        self._secrets = secrets
        self._log = log

    def format(self, record: logging.LogRecord) -> str:
        """The text, of which the middle is left out where it is too long: what custom code raises may say anything."""
        text = super().format(record)
        if len(text) <= MAX_TEXT:
            return text
        text, half = self._secrets.hide(text), MAX_TEXT // 2  # a half of one would not be known
        return f"{text[:half]}\n... {len(text) - MAX_TEXT} characters ...\n{text[-half:]}"

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self._log.lost += 1


class _Output(logging.StreamHandler[TextIO]):
    """Writes lines on the thread, and says afterwards how many could not be written."""

    def __init__(self, stream: TextIO, log: ProcessLog) -> None:
        super().__init__(stream)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        before = self._log.lost
        super().emit(record)
        if self._log.lost == before and (lost := self._log.unreported()):
            message = f"{counted(lost, 'line')} of this log could not be written before this one: lost"
            super().emit(logging.LogRecord("gateway.process_log", logging.WARNING, "", 0, message, None, None))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  its name in logging
        """Neither raised nor printed: stderr is where that would go."""
        self._log.lost += 1


class _Formatter(logging.Formatter):
    """Hides secrets in the whole text, tracebacks included."""

    def __init__(self, secrets: KnownSecrets, log: ProcessLog) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = secrets
        self._log = log

    def format(self, record: logging.LogRecord) -> str:
        if self._log.console:
            return self._secrets.hide(super().format(record))
        line = {
            "time": f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(record.created))}.{int(record.created % 1 * 1e6):06d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._secrets.hide(record.getMessage()).encode("utf-8", "backslashreplace").decode(),
        }
        return orjson.dumps(line).decode()


@contextlib.contextmanager
def process_log(secrets: KnownSecrets, *, console: bool = True, level: int = logging.INFO) -> Iterator[ProcessLog]:
    """Send what is logged to stderr, from this level on and without these secrets, as long as the context lasts."""
    log, lines = ProcessLog(console=console), Lines(QUEUE_BYTES)
    out = _Output(sys.stderr, log)
    out.setFormatter(_Formatter(secrets, log))
    handler, listener = _Handler(lines, secrets, log), QueueListener(lines, out)
    root = logging.getLogger()
    root.setLevel(max(level, logging.INFO))  # libraries say too much, and what no one has looked at
    logging.getLogger("gateway").setLevel(level)
    for library in ("uvicorn", "httpx2", "httpcore2", "websockets", "gateway.websocket"):  # they log URLs and headers
        logging.getLogger(library).setLevel(max(level, logging.WARNING))
    root.addHandler(handler)
    listener.start()
    try:
        yield log
    finally:
        root.removeHandler(handler)
        listener.stop()
