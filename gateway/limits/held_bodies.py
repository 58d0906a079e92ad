"""Bodies that are read whole before anything is sent of them, as those of requests to models and to MCP servers are: a
bound on all of them together, in what they take decompressed and parsed."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Iterable
from functools import partial
from typing import Final

from gateway.algorithms.room import Room
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange
from gateway.live import Place
from gateway.live.machine_memory import memory_of_process
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.memory")

SETTING: Final = "limits.bodies_in_memory"
PLACE: Final[Place] = ("middleware.yaml", ("limits", "bodies_in_memory"))
SHARE: Final = 2  # that is, a half of the memory that there is
LOG_SECONDS: Final = 30.0
TROUBLE_SECONDS: Final = 60.0

COPIES: Final = 3  # as it came, parsed, and as it is sent
CONTAINER: Final = 96  # bytes of an object or a list that is parsed, beside its texts
VALUE: Final = 24  # of one of several values in it

MOST_TIMES: Final = 100  # larger than it is on the wire a body may be that is compressed
ALWAYS: Final = 1024**2  # bytes that it may have in any case

_MIB: Final = 2**20
_RETRY_AFTER: Final = (b"retry-after", b"5")


class HeldBodies:
    """Those of this process."""

    def __init__(self, size: int) -> None:
        self.room = Room(size)
        self._refused = 0
        self._refused_at = float("-inf")
        self._log = ThrottledLog(logger.warning, LOG_SECONDS)

    def take(self, size: int) -> None:
        """Take so many bytes, to be given back to `room`. Raises GatewayError where they are not there now, or never
        are."""
        room = self.room
        if room.take(size):
            return
        self._refused += 1
        self._refused_at = time.monotonic()
        if size > room.size:
            taken, most = f"{size / _MIB:.0f} MiB", f"{room.size / _MIB:.0f} ({SETTING})"
            detail = f"the body takes about {taken} in memory, and all together may have {most}"
            public = "the body takes more memory than all together may have here; send it in parts"
            raise GatewayError(ErrorKind.BODY_TOO_LARGE, detail, public_detail=public)
        self._log.line("a request was refused: %s", self._full())
        raise GatewayError(ErrorKind.OVERLOADED, self._full(), headers=(_RETRY_AFTER,))

    def hold(self, exchange: Exchange, size: int) -> None:
        """The same, until the end of the exchange."""
        self.take(size)
        exchange.defer(partial(self.room.give_back, size))

    def _full(self) -> str:
        return (
            f"{self.room.used / _MIB:.0f} of the {self.room.size / _MIB:.0f} MiB that bodies which are held in memory "
            f"may have are taken ({SETTING}); raise that, together with the memory of the gateway, or add a replica"
        )

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if time.monotonic() - self._refused_at < TROUBLE_SECONDS:
            yield f"requests were refused in the last minute, whose bodies found no room in memory: {self._full()}"

    def measures(self) -> dict[str, float]:
        """See `Measured`."""
        return {
            "gateway_held_bodies_bytes": self.room.used,
            "gateway_held_bodies_limit_bytes": self.room.size,
            "gateway_held_bodies_refused_total": self._refused,
        }


def held_bodies_of(context: Context) -> HeldBodies:
    """Those of all configurations, within the bound of this one."""
    return context.once("held bodies", partial(_made, context))


def _made(context: Context) -> HeldBodies:
    size = context.configuration.middleware.limits.bodies_in_memory or memory_of_process() // SHARE
    held = context.plan.need(("held bodies",), partial(HeldBodies, size), PLACE)
    context.plan.after_adoption(partial(setattr, held.room, "size", size))
    return held


def memory_for(data: bytes) -> int:
    """About how many bytes a body of JSON takes as long as it is held."""
    containers = data.count(b"{") + data.count(b"[")
    return COPIES * len(data) + CONTAINER * containers + VALUE * data.count(b",")


def decompressed(inflate: zlib._Decompress, data: bytes, most: int) -> bytes | None:
    """A body as `inflate` has it, if that is at most so many bytes; None where it is so much larger than `data` that
    it was made for that. Raises zlib.error."""
    usual = max(ALWAYS, MOST_TIMES * len(data))
    plain = inflate.decompress(data, min(most, usual) + 1)
    return None if len(plain) > usual else plain
