"""The access log: one line for each request, written in batches by a thread of its own.

A request only appends to a queue. The reader of the log may be slow or stuck: then lines are dropped, and counted,
but no request waits. A change of destination goes through the same queue: every line before it goes to the old one.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

from gateway.errors import GatewayError
from gateway.http import Exchange, Outcome
from gateway.http.messages import Attempt
from gateway.http.redaction import without_userinfo
from gateway.plurals import counted

logger = logging.getLogger("gateway.access_log")

Record = dict[str, Any]

QUEUE_LIMIT: Final = 10_000  # records that may wait for the writer
QUEUE_BYTES: Final = 8 * 1024 * 1024  # of them: a record may hold a path of kilobytes
BATCH_SECONDS: Final = 0.1
BATCH_RECORDS: Final = 1000
STANDARD: Final = {"stdout": 1, "stderr": 2, "off": -1}  # outputs that are no file; their descriptors


@dataclass(frozen=True, slots=True)
class AccessLogSettings:
    """Where the log goes, and for whom it is."""

    output: str = "stdout"  # stdout, stderr, off, or a path
    format: Literal["json", "console"] = "json"


@dataclass(frozen=True, slots=True)
class _Destination:
    settings: AccessLogSettings
    descriptor: int  # -1: nowhere

    def close(self) -> None:
        if self.descriptor > 2:
            os.close(self.descriptor)


class AccessLog:
    """Takes records on the event loop, writes them on its own thread. Raises OSError where a file cannot be opened."""

    def __init__(self, settings: AccessLogSettings) -> None:
        self.settings = settings
        self.dropped = 0  # records, since the start
        self._dropped_reported = 0
        self._failing = False
        self._queue: deque[bytes | _Destination] = deque()
        self._put = 0  # bytes that were put into it, which only the loop counts
        self._taken = 0  # bytes that were taken out of it, which only the writer counts
        self._wanted = threading.Event()
        self._stopping = False
        self._destination = _open(settings)
        self._writer = threading.Thread(target=self._work, name="access-log", daemon=True)
        self._writer.start()

    def report(self, exchange: Exchange, outcome: Outcome) -> None:
        """An exchange is over. Takes a record of it; never blocks."""
        if self.settings.output == "off":
            return
        queue = self._queue
        if len(queue) >= QUEUE_LIMIT or self._put - self._taken >= QUEUE_BYTES:
            self.dropped += 1
            if self.dropped == self._dropped_reported + 1:
                logger.warning("%s is not read: access log lines are dropped", self.settings.output)
            return
        # Made a line at once: bytes wait more cheaply than what made them.
        record = _record(exchange, outcome)
        line = _console_line(record) if self.settings.format == "console" else _json_line(record)
        self._put += len(line)
        queue.append(line)
        if len(queue) == 1:
            self._wanted.set()

    def configure(self, settings: AccessLogSettings) -> None:
        """Go on like this. Raises OSError, and goes on as before, where the file cannot be opened."""
        self._queue.append(_open(settings))
        self.settings = settings
        self._wanted.set()

    def reopen(self) -> None:
        """The file was moved away (SIGUSR1): go on in a new one."""
        self.change(self.settings)

    def change(self, settings: AccessLogSettings) -> None:
        """Go on like this; as before where the file cannot be opened, which the log says."""
        try:
            self.configure(settings)
        except OSError as error:
            reason = f"{settings.output}: {error.strerror}"
            logger.warning("the access log cannot be reopened, it goes on in the old file: %s", reason)

    def close(self, seconds: float = 2.0) -> None:
        """Write what is left, waiting at most `seconds` for a reader that is stuck."""
        self._stopping = True
        self._wanted.set()
        self._writer.join(seconds)

    # On the writer's thread.

    def _work(self) -> None:
        while not self._stopping or self._queue:
            self._wanted.wait()
            self._wanted.clear()
            if not self._stopping:
                time.sleep(BATCH_SECONDS)
            while self._queue:
                self._write_batch()
            self._tell_dropped()

    def _write_batch(self) -> None:
        """Write records up to the next change of destination, if there is one."""
        lines: list[bytes] = []
        following: _Destination | None = None
        while self._queue and len(lines) < BATCH_RECORDS:
            item = self._queue.popleft()
            if isinstance(item, _Destination):
                following = item
                break
            lines.append(item)
            self._taken += len(item)
        if lines:
            self._write(b"".join(lines))
        if following is not None:
            self._destination.close()
            self._destination = following

    def _tell_dropped(self) -> None:
        dropped = self.dropped - self._dropped_reported
        if dropped:
            self._dropped_reported += dropped
            console = self._destination.settings.format == "console"
            text = f"{counted(dropped, 'line')} dropped\n" if console else f'{{"dropped":{dropped}}}\n'
            self._write(text.encode())
            logger.warning("%s is read again: %s dropped", self.settings.output, counted(dropped, "access log line"))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._destination.descriptor >= 0:
            try:
                written = os.write(self._destination.descriptor, view)
                view = view[written:]
            except BlockingIOError:
                time.sleep(BATCH_SECONDS)
            except OSError as error:
                self._failed(error)
                return
        self._failing = False

    def _failed(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            logger.error(
                "%s: %s; access log lines are lost until it can be written", self.settings.output, error.strerror
            )


def _record(exchange: Exchange, outcome: Outcome) -> Record:
    """What the log says of it. Seconds are rounded to microseconds; what `round` does takes five times as long."""
    error, original = exchange.error, exchange.original_path
    last = exchange.attempts[-1] if exchange.attempts else None
    fallback = None  # what stood in the place of which failure
    for decision in exchange.decisions:
        if decision.rule == "fallback":
            fallback = decision.reason
            break
    return {
        "time": outcome.at,
        "request_id": exchange.request_id,
        "trace_id": exchange.trace_id,
        "client": exchange.client,
        "consumer": exchange.identity.consumer if exchange.identity else None,
        "method": exchange.method,
        "host": without_userinfo(exchange.host) if "@" in exchange.host else exchange.host,
        "path": without_userinfo(exchange.path) if "@" in exchange.path else exchange.path,
        "original_path": without_userinfo(original) if "@" in original else original,
        "route": exchange.route,
        "upstream": exchange.upstream,
        "endpoint": last and last.endpoint,
        "status": outcome.status,
        "bytes_in": outcome.received,
        "bytes_out": outcome.sent,
        "duration": int(outcome.seconds * 1e6 + 0.5) / 1e6,
        "upstream_duration": last and last.seconds and int(last.seconds * 1e6 + 0.5) / 1e6,
        "cache": exchange.cache,
        "fallback": fallback,
        "attempts": list(map(Attempt.summary, exchange.attempts)),
        "error": f"{error.kind.slug}: {error}" if isinstance(error, GatewayError) else error and repr(error),
    }


def check_output(settings: AccessLogSettings) -> None:
    """Raises OSError where it cannot be written."""
    descriptor = _open(settings).descriptor
    if descriptor > 2:
        os.close(descriptor)


def _open(settings: AccessLogSettings) -> _Destination:
    if settings.output in STANDARD:
        return _Destination(settings, STANDARD[settings.output])
    # O_NONBLOCK, because opening a named pipe without a reader would otherwise wait for one.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    return _Destination(settings, os.open(settings.output, flags, 0o640))


def _json_line(record: Record) -> bytes:
    try:
        return orjson.dumps(record) + b"\n"  # a copy of the right size: what orjson returns has room to spare
    except TypeError:  # text that is no Unicode, such as a lone surrogate in the text of an error
        return json.dumps(record, default=repr).encode() + b"\n"


def _console_line(record: Record) -> bytes:
    """One line for people: what, where to, how it ended, how long it took."""
    at = datetime.fromtimestamp(record["time"], UTC).strftime("%H:%M:%S")
    where = f"{record['route'] or '-'} -> {record['endpoint'] or '-'}"
    seconds = record["duration"]
    line = f"{at} {record['status']} {record['method']} {record['path']}  {where}  {seconds * 1000:.1f} ms"
    if record["error"]:
        line += f"  ({record['error']})"
    return "".join(character if character.isprintable() else "?" for character in line).encode() + b"\n"
