"""State that all client connections of one server share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Final

from gateway.app.gateway import Gateway
from gateway.config.models import ClientLimits
from gateway.deadlines import Deadlines
from gateway.outbox import Outbox
from gateway.server.connection_limit import ConnectionLimit
from gateway.turns import Beginnings, Turns

READ_BUFFER: Final = 64 * 1024  # bytes; one buffer for all connections: the parser copies what it keeps
HEAD_BUFFER: Final = 16 * 1024  # bytes of it, for a read that may wait for its turn
WRITE_HIGH_WATER: Final = 32 * 1024  # bytes that the socket has not taken, above which a response waits


class ServerContext:
    """The gateway that answers, the limits in force, and what costs less when it is shared."""

    def __init__(self, gateway: Gateway, deadlines: Deadlines, limits: Callable[[], ClientLimits]) -> None:
        self.loop = asyncio.get_running_loop()
        self.gateway = gateway
        self.deadlines = deadlines
        self.limits = limits
        self.variables = copy_context()  # with which every request begins
        self.idle: list[Any] = []  # tasks that wait for a request that needs one: see `RequestTask`
        self.draining = False  # no connection should be kept
        self.connections: set[Any] = set()  # those that are open, of whatever protocol
        self.connection_limit = ConnectionLimit(self.connections, limits)
        self.date_line = b""  # of responses, written anew every second
        self.outbox = Outbox()
        self.turns = Turns()
        self.beginnings = Beginnings()
        self.buffer = memoryview(bytearray(READ_BUFFER))
        self.head_buffer = self.buffer[:HEAD_BUFFER]
