"""Refused messages in an audit log of the bridge: a chain, which `gateway audit verify` checks."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from pathlib import Path
from typing import Any, Final

from gateway.agents.link import Refused
from gateway.agents.payloads import MODELS
from gateway.live import Tasks
from gateway.monitor.audit_file import AuditFile
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.agents")

ROUND_SECONDS: Final = 1.0  # in which the same refusals are one line
MOST: Final = 200  # lines of a round; more of them are counted only
MOST_BYTES: Final = 64 * 1024**2  # of one file
KEPT: Final = 8  # files that are full: who is refused must not fill the disk
LOG_SECONDS: Final = 60.0
SENDERS_MOST: Final = 32  # whose first refusal of each reason is logged at once
DETAIL_LENGTH: Final = 300  # characters
DETAILS_MOST: Final = 4  # of a line beside the first, those that came last

_NUMBERS: Final = re.compile(r"\d+")
_Same = tuple[str, str, int, str]


class RefusalLog:
    """Takes refusals on the event loop, and writes them on a thread."""

    def __init__(self, path: Path) -> None:
        self.tasks = Tasks()
        self.lost = 0  # that could not be written
        self.problem = ""
        self._path = path
        self._waiting: dict[_Same, dict[str, Any]] = {}
        self._file: AuditFile | None = None
        self._log = ThrottledLog(logger.warning, LOG_SECONDS)
        self._logged: dict[int, set[str]] = {}  # reasons by node

    def begin(self) -> None:
        """Begin to write."""
        self.tasks.supervise("the audit log of the bridge", self._run)

    async def stop(self) -> None:
        """Write what waits."""
        await self.tasks.end()
        await self._flush()
        if self._file is not None:
            await asyncio.to_thread(self._file.close)

    def take(self, refused: Refused) -> None:
        """A message did not count."""
        self._say(refused)
        topic = refused.topic if refused.topic in MODELS else ""  # of others there may be any number
        key = refused.reason, topic, refused.node, refused.hostname
        known = self._waiting.get(key)
        if known is not None:
            known["count"] += 1
            _add_detail(known, refused.detail[:DETAIL_LENGTH])
        elif len(self._waiting) >= MOST:
            self.lost += 1
        else:
            self._waiting[key] = {
                "time": time.time(),
                "event": "agent-refused",
                "reason": refused.reason,
                "topic": refused.topic[:200],
                "node": refused.node,
                "hostname": refused.hostname,
                "detail": refused.detail[:DETAIL_LENGTH],
                "count": 1,
            }

    def _say(self, refused: Refused) -> None:
        """Log it: the first of a reason and a node at once, whatever else was refused a short time ago."""
        log = self._log.line
        if refused.node in self._logged or len(self._logged) < SENDERS_MOST:
            reasons = self._logged.setdefault(refused.node, set())
            if refused.reason not in reasons:
                reasons.add(refused.reason)
                log = self._log.at_once
        sender = refused.hostname or f"node {refused.node}"
        log("a message of %s is refused (%s): %s", sender, refused.reason, refused.detail)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            await self._flush()

    async def _flush(self) -> None:
        records, self._waiting = list(self._waiting.values()), {}
        if not records:
            return
        try:
            await asyncio.to_thread(self._write, records)
            self.problem = ""
        except OSError as error:
            self.lost += sum(record["count"] for record in records)
            self.problem = f"refused messages cannot be written to {self._path}: {error.strerror or error}"

    def _write(self, records: list[dict[str, Any]]) -> None:
        if self._file is not None and self._file.broken:
            self._file.close()
            self._file = None
        if self._file is None:
            self._file = AuditFile(self._path, None)
        if self._file.size > MOST_BYTES:
            self._file.rotate()
            for path in sorted(self._path.parent.glob(f"{self._path.name}.{'[0-9]' * 12}"))[:-KEPT]:
                path.unlink()
        self._file.append(records)
        self._file.mark()


def _add_detail(record: dict[str, Any], detail: str) -> None:
    """Keep a detail that differs from the first in more than its numbers, and of those the last ones, as `others`."""
    words = _NUMBERS.sub("", detail)
    if words != _NUMBERS.sub("", record["detail"]):
        others = [each for each in record.get("others", ()) if _NUMBERS.sub("", each) != words]
        record["others"] = [*others, detail][-DETAILS_MOST:]
