"""The gateway's own log, on stderr, written by a thread: a reader that is stuck stops no request."""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
from collections.abc import Iterator
from logging.handlers import QueueHandler, QueueListener

from gateway.config.secrets import KnownSecrets

QUEUE_BYTES = 4 * 1024**2  # of texts that may wait for the writer; those beyond it are lost
MAX_TEXT = 16 * 1024  # characters of one, traceback included
_RECORD_BYTES = 512  # what a record takes beside its text


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


class _Handler(QueueHandler):
    queue: Lines

    def __init__(self, lines: Lines, secrets: KnownSecrets) -> None:
        super().__init__(lines)
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """The text, of which the middle is left out where it is too long: what custom code raises may say anything."""
        text = super().format(record)
        if len(text) <= MAX_TEXT:
            return text
        text, half = self._secrets.hide(text), MAX_TEXT // 2  # a half of one would not be known
        return f"{text[:half]}\n... {len(text) - MAX_TEXT} characters ...\n{text[-half:]}"

    def enqueue(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)


class _Formatter(logging.Formatter):
    """Hides secrets in the whole text, tracebacks included."""

    def __init__(self, secrets: KnownSecrets) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return self._secrets.hide(super().format(record))


@contextlib.contextmanager
def process_log(secrets: KnownSecrets) -> Iterator[None]:
    """Send what is logged to stderr, without these secrets, as long as the context lasts."""
    lines = Lines(QUEUE_BYTES)
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(_Formatter(secrets))
    handler, listener = _Handler(lines, secrets), QueueListener(lines, out)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for library in ("uvicorn", "httpx2", "httpcore2", "websockets", "gateway.websocket"):  # they log URLs and headers
        logging.getLogger(library).setLevel(logging.WARNING)
    root.addHandler(handler)
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(handler)
        listener.stop()
