"""Small writes, collected and made together once everything that is ready has run.

A write is a system call, and one that wakes its reader: on a virtual machine, where the other core may have gone to
sleep, that can cost more than all the rest of a request. So what several exchanges have to say in one turn of the loop
is said at its end, and what one connection says in several pieces is one write.
"""

from __future__ import annotations

import asyncio
from typing import Final

DIRECT: Final = 16 * 1024  # bytes that one connection may collect; beyond that, back-pressure is to be felt


class Outbox:
    """The connections of one loop that have something to write."""

    __slots__ = ("writers",)

    def __init__(self) -> None:
        self.writers: list[Writer] = []

    def flush(self) -> None:
        """Write all of them. Scheduled by the first of a turn of the loop."""
        writers, self.writers = self.writers, []
        for writer in writers:
            pieces = writer.pieces
            if pieces:  # `Writer.flush`, without the call
                writer.pieces = []
                writer.size = 0
                if not writer.transport.is_closing():
                    writer.transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))


class Writer:
    """The sending side of a transport: the same bytes in the same order, only later."""

    __slots__ = ("_outbox", "pieces", "size", "transport")

    def __init__(self, transport: asyncio.Transport, outbox: Outbox) -> None:
        self.transport = transport
        self._outbox = outbox
        self.pieces: list[bytes] = []
        self.size = 0

    @property
    def unsent(self) -> int:
        """Bytes that the socket has not taken."""
        return self.size + self.transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Send bytes, at the end of this turn of the loop at the latest."""
        if not self.pieces:
            writers = self._outbox.writers
            if not writers:
                asyncio.get_running_loop().call_soon(self._outbox.flush)
            writers.append(self)
        self.pieces.append(data)
        self.size += len(data)
        if self.size > DIRECT:
            self.flush()

    def flush(self) -> None:
        """Hand over what was collected."""
        pieces = self.pieces
        if pieces:
            self.pieces = []
            self.size = 0
            if not self.transport.is_closing():
                self.transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def write_eof(self) -> None:
        """Stop writing."""
        self.flush()
        if not self.transport.is_closing():
            self.transport.write_eof()

    def close(self) -> None:
        """Close, once everything is sent."""
        self.flush()
        self.transport.close()

    def abort(self) -> None:
        """Close at once; what is not sent is lost."""
        self.pieces = []
        self.size = 0
        self.transport.abort()
