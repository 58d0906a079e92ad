"""The audit log: one record for each request, with what every rule decided about it; written in batches on a thread.

A request only appends to a queue. A file that cannot be written is tried again and again; meanwhile records wait, up to
QUEUE_LIMIT of them, and those beyond that are counted, and the count is in the log afterwards. What was not written
when the process is killed is lost: the requests of the last BATCH_SECONDS and of the write that is under way.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from gateway.errors import ErrorKind, GatewayError, OwnKind
from gateway.http import Exchange, Outcome
from gateway.http.redaction import without_userinfo
from gateway.monitor.audit_file import AuditFile, Record
from gateway.plurals import counted

logger = logging.getLogger("gateway.audit_log")

QUEUE_LIMIT = 20_000  # records that may wait for the writer
REFUSING_FROM = QUEUE_LIMIT // 2  # with on_failure: closed; what is under way still needs room
BATCH_SECONDS = 0.1
BATCH_RECORDS = 1000
RETRY_SECONDS = 1.0
STOP_SECONDS = 3.0
ANCHOR_SECONDS = 3600.0

SERVICE = ("audit_log",)
"""The one identity under which it lives: it outlives every reload."""


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where the log is."""

    path: Path
    key: bytes | None = field(repr=False)
    rotate_size: int


Order = Literal["reopen", "share", "stop"]
Change = AuditSettings | None


@dataclass(frozen=True, slots=True)
class _Switch:
    """In the queue: every record behind it belongs there."""

    settings: Change


@dataclass(frozen=True, slots=True)
class AdminChange:
    """One request to the admin API that was to change something."""

    at: float  # time.time()
    holder: str | None  # of the token; None: it was refused before there was any
    client: str
    method: str
    path: str  # with its query
    status: int  # of the answer


class AuditLog:
    """Takes records on the event loop, and writes them on its own thread."""

    def __init__(self) -> None:
        self.settings: Change = None
        self.refusing = False  # it is failing, or falls far behind
        self.failure = ""  # why nothing can be written now
        self.dropped = 0  # records, since the start
        self.written = 0
        self._dropped_reported = 0
        self._shared = False
        self._queue: deque[Record | _Switch | Order] = deque()
        self._wanted = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        # The writer's own.
        self._target: Change = None
        self._file: AuditFile | None = None
        self._batch: list[Record] = []
        self._failing = False
        self._unrotated = False
        self._anchored = time.monotonic()

    async def start(self) -> None:
        """The thread is started with the first settings."""

    async def stop(self) -> None:
        """Write what is left, waiting a bounded time for a disk that is stuck."""
        self._stopping = True
        self._give("stop")
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)
        lost = len(self._batch) + sum(isinstance(item, dict) for item in list(self._queue))
        if lost:
            logger.error("%s could not be written to the audit log: lost", counted(lost, "record"))

    def configure(self, settings: Change) -> None:
        """Write to this file from the next record on; None: nowhere."""
        if settings == self.settings:
            return
        self.settings = settings
        self._give(_Switch(settings))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="audit-log", daemon=True)
            self._thread.start()

    def reopen(self) -> None:
        """The file was renamed (SIGUSR1): go on in a new one."""
        if self.settings is not None:
            self._give("reopen")

    def share(self, shared: bool) -> None:
        """Whether another gateway writes the same file: one of the two takes over from the other."""
        if shared != self._shared:
            self._shared = shared
            if self.settings is not None:
                self._give("share")

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if self.settings is not None and (self.failure or self.refusing):
            reason = self.failure or "the disk is too slow"
            waiting = (
                f"{counted(len(self._queue) + len(self._batch), 'record')} wait in memory, {self.dropped} were lost"
            )
            remedy = "make room there, or let the gateway write it"
            yield f"the audit log {self.settings.path} cannot be written: {reason}; {waiting}; {remedy}"

    def measures(self) -> Mapping[str, float]:
        """See `Measured`."""
        if self.settings is None:
            return {}
        return {
            "gateway_audit_log_up": float(not self.failure and not self.refusing),
            "gateway_audit_log_waiting": len(self._queue) + len(self._batch),
            "gateway_audit_log_records_total": self.written,
            "gateway_audit_log_lost_total": self.dropped,
        }

    def report(self, exchange: Exchange, outcome: Outcome) -> None:
        """An exchange is over. Never blocks."""
        if self.settings is None:
            return
        if self._has_room():
            # Who, from where, what, and what was decided. Nothing of the request that may be a credential.
            identity, error = exchange.identity, exchange.error
            self._give(
                {
                    "time": outcome.at,
                    "request_id": exchange.request_id,
                    "client": exchange.client,
                    "peer": exchange.peer,
                    "method": exchange.method,
                    "host": without_userinfo(exchange.host),
                    "path": without_userinfo(exchange.path),
                    "original_path": without_userinfo(exchange.original_path),
                    "route": exchange.route,
                    "status": outcome.status,
                    "consumer": identity.consumer if identity is not None else None,
                    "tenant": identity.tenant if identity is not None else None,
                    "scheme": identity.scheme if identity is not None else None,
                    "credential": identity.fingerprint if identity is not None else None,
                    "claimed_consumer": exchange.claimed_consumer,
                    "error": error.kind if isinstance(error, GatewayError) else error and type(error).__name__,
                    "decisions": exchange.decisions,
                }
            )

    def report_change(self, change: AdminChange) -> None:
        """The admin API was asked to change something. Never blocks."""
        if self.settings is not None and self._has_room():
            self._give(
                {
                    "time": change.at,
                    "event": "admin",
                    "holder": change.holder,
                    "client": change.client,
                    "method": change.method,
                    "path": change.path,
                    "status": change.status,
                    "error": None,
                    "decisions": [],
                }
            )

    def _has_room(self) -> bool:
        """Whether one more record may wait."""
        waiting = len(self._queue)
        if waiting >= REFUSING_FROM:
            self.refusing = True
            if waiting >= QUEUE_LIMIT:
                self.dropped += 1
                return False
        return True

    def _give(self, item: Record | _Switch | Order) -> None:
        self._queue.append(item)
        if len(self._queue) == 1 or not isinstance(item, dict):
            self._wanted.set()

    # On the writer's thread.

    def _work(self) -> None:
        ended = False
        while not ended:
            self._wanted.wait(RETRY_SECONDS if self._failing else ANCHOR_SECONDS)
            self._wanted.clear()
            if not self._stopping:
                time.sleep(BATCH_SECONDS)
            ended = self._drain()
            self.refusing = self._failing or len(self._queue) >= REFUSING_FROM
            # Log the end of the chain to the gateway's own log too, which may be kept elsewhere.
            if self._file is not None and time.monotonic() - self._anchored >= ANCHOR_SECONDS:
                self._anchored = time.monotonic()
                logger.info("the audit log is at --expect %s", self._file.end)
        self._close()

    def _drain(self) -> bool:
        """Write everything that is queued; whether that was all."""
        while self._queue or self._batch or self._failing:
            order = self._collect()
            written = self._flush()
            if order == "stop":
                return True
            if isinstance(order, _Switch):
                # What could not be written to the former file goes into the new one.
                settings = order.settings
                self._close()
                self._target = settings
                self._flush()  # opens it: that is logged even before there is a request
            elif not written:
                return False
            elif order == "reopen" and self._file is not None:
                self._try(lambda: self._in_turn(AuditFile.reopen))
        return False

    def _collect(self) -> _Switch | Order | None:
        """Records up to the next order, which is returned."""
        while self._queue and len(self._batch) < BATCH_RECORDS:
            item = self._queue.popleft()
            if not isinstance(item, dict):
                return item
            # Add the verdict of all rules together; what the gateway refuses without a rule is a refusal, too.
            error = item["error"]
            verdicts = {decision.verdict for decision in item["decisions"]}
            verdict = "allow"
            if item.get("event") == "admin":
                verdict = "allow" if item["status"] < 400 else "deny"
            elif not verdicts.isdisjoint(("deny", "unknown")) or (
                isinstance(error, ErrorKind | OwnKind) and _is_refusal(error)
            ):
                verdict = "deny"
            elif "shadow-deny" in verdicts:
                verdict = "shadow-deny"
            item["verdict"] = verdict
            if isinstance(error, ErrorKind | OwnKind):
                item["error"] = error.slug
            self._batch.append(item)
        return None

    def _flush(self) -> bool:
        """Write the batch; whether that worked."""
        if self._target is not None:
            return self._try(lambda: self._in_turn(self._write))
        self._batch.clear()
        self._failing, self.failure = False, ""
        return True

    def _in_turn(self, work: Callable[[AuditFile], None]) -> None:
        """Work on the file, which another gateway may write, too."""
        target = self._target
        assert target is not None
        if self._file is not None and self._file.is_gone:
            logger.error("%s was deleted; going on in a new file, whose chain shows the gap", target.path)
            self._file.reopen()
        if self._file is None:
            self._file = AuditFile(target.path, target.key, shared=self._shared)
        file = self._file
        file.begin_turn()
        try:
            work(file)
        finally:
            if self._shared:
                file.end_turn()

    def _write(self, file: AuditFile) -> None:
        dropped = self.dropped - self._dropped_reported
        if dropped:
            file.append([{"time": time.time(), "event": "dropped", "count": dropped}])
            self._dropped_reported += dropped
        if self._batch:
            file.append(self._batch)
            self.written += len(self._batch)
            self._batch = []
        if self._target is not None and file.size >= self._target.rotate_size:
            try:
                file.rotate()
            except OSError as error:
                if file.broken:
                    raise
                if not self._unrotated:
                    logger.warning("the audit log cannot be rotated, the old file is still used: %s", error.strerror)
                self._unrotated = True
        file.mark()

    def _try(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except OSError as error:
            self._failed(error)
            return False
        if self._failing:
            self._failing, self.failure = False, ""
            logger.warning("the audit log is written again; records lost since the start: %d", self.dropped)
        return True

    def _failed(self, error: OSError) -> None:
        self.failure = error.strerror or str(error)
        if not self._failing:
            self._failing = self.refusing = True
            path = self._target.path if self._target is not None else None
            logger.error("the audit log %s cannot be written, records wait in memory: %s", path, error.strerror)
        if self._file is not None and self._file.broken:
            self._file.close()
            self._file = None

    def _close(self) -> None:
        if self._file is not None:
            logger.info("the audit log ends at --expect %s", self._file.end)
            self._file.close()
            self._file = None


_NO_REFUSALS: Final = (ErrorKind.CLIENT_GONE, ErrorKind.GATEWAY_ENDED, ErrorKind.INTERNAL)


def _is_refusal(kind: ErrorKind | OwnKind) -> bool:
    return kind.origin == "gateway" and kind not in _NO_REFUSALS
