"""The gateway's own log, on stderr, written by a thread: a reader that is stuck stops no request."""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
from collections.abc import Iterator
from logging.handlers import QueueHandler, QueueListener

from gateway.config.secrets import KnownSecrets

QUEUE_LIMIT = 10_000  # lines that may wait for the writer; those beyond it are lost

Lines = queue.Queue[logging.LogRecord]


class _Handler(QueueHandler):
    queue: Lines

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
    lines: Lines = queue.Queue(QUEUE_LIMIT)
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(_Formatter(secrets))
    handler, listener = _Handler(lines), QueueListener(lines, out)
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
