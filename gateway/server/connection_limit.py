"""How many client connections there are, and that there may be no more: `limits.connections`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Final

from gateway.config.models import ClientLimits
from gateway.outside.throttled_log import ThrottledLog
from gateway.plurals import counted

logger = logging.getLogger("gateway")

TROUBLE_SECONDS: Final = 60.0  # for which /health reports it
REMEDY: Final = (
    "raise limits.connections in middleware.yaml, with two open files for each of them (ulimit -n, LimitNOFILE), or "
    "add a replica"
)


class ConnectionLimit:
    """Counts the clients that are refused, and says so. `connections`: those that are open."""

    def __init__(self, connections: Sized, limits: Callable[[], ClientLimits]) -> None:
        self._connections = connections
        self._limits = limits
        self._refused = 0
        self._lately = 0  # of these, since the last time that none was for a while
        self._since = self._last = -TROUBLE_SECONDS  # monotonic times of the first and the last of these
        self._log = ThrottledLog(logger.warning, TROUBLE_SECONDS)

    def refused(self) -> str:
        """A client is refused. Answers why."""
        now = time.monotonic()
        if now - self._last >= TROUBLE_SECONDS:
            self._since, self._lately = now, 0
        self._last = now
        self._lately += 1
        self._refused += 1
        reason = f"more than {counted(self._limits().connections, 'connection')} are open"
        self._log.line("a client is refused: %s; %s", reason, REMEDY)
        return reason

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        now = time.monotonic()
        if now - self._last < TROUBLE_SECONDS:
            yield (
                f"{counted(self._lately, 'client')} refused in {now - self._since:.0f} s, the last one "
                f"{now - self._last:.0f} s ago: {len(self._connections)} of "
                f"{counted(self._limits().connections, 'connection')} are open; {REMEDY}"
            )

    def measures(self) -> Mapping[str, float]:
        """See `Measured`."""
        return {
            "gateway_client_connections": len(self._connections),
            "gateway_client_connections_limit": self._limits().connections,
            "gateway_client_connections_refused_total": self._refused,
        }
