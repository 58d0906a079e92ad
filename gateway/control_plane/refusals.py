"""Requests that were to change something and were refused, or failed: they are in the audit log, too."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Scope

from gateway.algorithms.gcra import Window, debt, wait
from gateway.control_plane import audit
from gateway.control_plane.callers import Caller
from gateway.control_plane.database.connection import Database, DatabaseUnavailable
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.control_plane")

UNKNOWN: Final = Window(limit=60, seconds=60, burst=60)
"""Records for all unauthenticated callers together, each of which is a transaction; further ones are only counted."""


class Refusals:
    """Records refusals in the log of the caller's organization; those of unauthenticated callers in that of `host`."""

    def __init__(self, database: Database, host: UUID, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._database = database
        self._host = host
        self._clock = clock
        self._paid_back = 0
        self._left_out = 0
        self._log = ThrottledLog(logger.error, 10.0)

    async def record(self, scope: Scope, status: int) -> None:
        """One of them, with the status of its answer. Never raises because the database is away."""
        if status == HTTPStatus.SERVICE_UNAVAILABLE:  # nothing was decided, and the database cannot record it either
            return
        caller: Caller | None = scope["state"]["caller"]
        details: dict[str, object] = {"status": status, "client": scope["state"]["client"]}
        if caller is None:
            if not self._may():
                self._left_out += 1
                return
            details["left_out_before"], self._left_out = self._left_out, 0
        outcome = "failed" if status >= 500 else "refused"
        try:
            async with self._database.transaction() as session:
                request = scope["method"], scope["path"]
                if caller is not None:
                    await audit.record(session, caller, *request, outcome, details)
                else:
                    await audit.record(session, "unknown", *request, outcome, details, organization=self._host)
        except (DatabaseUnavailable, SQLAlchemyError, OSError) as error:
            self._log.line("a refused request could not be written to the audit log: %s", type(error).__name__)

    def _may(self) -> bool:
        now = self._clock()
        if wait(debt(self._paid_back, now), UNKNOWN.interval, UNKNOWN.capacity, 1):
            return False
        self._paid_back = max(self._paid_back, now) + UNKNOWN.interval
        return True
