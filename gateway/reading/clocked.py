"""Transports that give up clients which do not read their answers, or only a little at a time.

To a clock that any byte sets back, a client that takes one now and then would be a good reader, and hold its answer,
and its connection, as long as it likes.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from gateway.outbox import Outbox, Writer
from gateway.reading.progress import Progress, reset

READ_SECONDS: Final = 15.0  # between two looks
BYTES_PER_SECOND: Final = 16 * 1024  # that a client has to take from one to the next, where so much waits for it


class Unread:
    """Bytes of all answers of one server that wait for their clients."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.transports: set[ClockedTransport] = set()
        self._bound = 0  # how many there are at most: those of the last count, and all that was written since

    def written(self, size: int) -> None:
        """So many more."""
        self._bound += size

    @property
    def is_too_much(self) -> bool:
        """Whether no more answers are to be made. All are counted only where there may be too many."""
        if self._bound >= self.most:
            self._bound = sum([each.get_write_buffer_size() for each in self.transports])
        return self._bound >= self.most


class ClockedTransport:
    """One of them: all of it is the transport's, but for what is written. Its protocol calls `end` once it is lost."""

    def __init__(self, transport: asyncio.Transport, unread: Unread) -> None:
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        self._writer = Writer(transport, Outbox())
        self._progress = Progress(self._socket, self._writer)
        self._written = 0  # bytes
        self._looking: asyncio.TimerHandle | None = None
        self._unread = unread
        unread.transports.add(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send bytes, and expect that the client reads."""
        self._transport.write(data)
        self._written += len(data)
        self._unread.written(len(data))
        self._expect_reads()

    def end(self) -> None:
        """Stop looking."""
        self._unread.transports.discard(self)
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _expect_reads(self) -> None:
        if self._looking is None and self._transport.get_write_buffer_size():
            unsent = self._progress.unsent
            wanted = self._written - unsent + min(unsent, READ_SECONDS * BYTES_PER_SECOND)
            self._looking = asyncio.get_running_loop().call_later(READ_SECONDS, self._look, wanted)

    def _look(self, wanted: float) -> None:
        self._looking = None
        if self._transport.get_write_buffer_size() and self._written - self._progress.unsent < wanted:
            reset(self._socket, self._writer)
        else:
            self._expect_reads()


def clocked(transport: asyncio.Transport, unread: Unread) -> asyncio.Transport:
    """The transport for a protocol, with a clock."""
    return cast(asyncio.Transport, ClockedTransport(transport, unread))


def end(transport: asyncio.Transport) -> None:
    """Its protocol has lost it."""
    cast(ClockedTransport, transport).end()
