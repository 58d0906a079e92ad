"""Handing a message over to who wants it: read, once, and whatever comes of it harms nothing else."""

from __future__ import annotations

import logging
from collections import OrderedDict
from functools import partial
from typing import Any, Final

from gateway.bus.bus import Counts, Handler, Received
from gateway.bus.letters import MAX_ID, Unreadable, opened
from gateway.events import Envelope, Message
from gateway.live import on_thread

logger = logging.getLogger("gateway.bus")

REMEMBERED: Final = 10_000  # ids of messages that were handled
INLINE: Final = 32 * 1024  # bytes that are read at once; more of them on a thread


class Delivery:
    """The messages of one kind, for one handler."""

    def __init__(self, kind: str, handle: Handler[Any], counts: Counts) -> None:
        self.kind = kind
        self._handle = handle
        self._counts = counts
        self._handled: OrderedDict[str, None] = OrderedDict()

    async def take(self, data: bytes, age: float) -> None:
        """Hand it over, unless it cannot be read, or was handed over before. Never raises."""
        try:
            envelope, message = await self._opened(data)
        except Unreadable as error:
            self._counts.drop(self.kind, error.reason, str(error))
            return
        if envelope.id in self._handled:
            return
        self._handled[envelope.id] = None
        if len(self._handled) > REMEMBERED:
            self._handled.popitem(last=False)
        try:
            await self._handle(message, Received(envelope.id, envelope.sender, age))
        except Exception as error:
            logger.exception("a message %s cannot be handled", self.kind)
            self._counts.drop(self.kind, "failed", repr(error)[:120])
        else:
            self._counts.receive(self.kind)

    async def _opened(self, data: bytes) -> tuple[Envelope, Message]:
        read = partial(opened, self.kind, data)
        envelope, message = read() if len(data) <= INLINE else await on_thread("bus", read)
        if len(envelope.id) > MAX_ID:
            raise Unreadable("invalid", "its id is too long")
        return envelope, message
