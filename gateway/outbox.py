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
            held = writer.held
            if held:  # `Writer.flush`, without the call
                writer.held = b""
                if not writer.transport.is_closing():
                    writer.transport.write(held)


class Writer:
    """The sending side of a transport: the same bytes in the same order, only later."""

    __slots__ = ("_outbox", "held", "transport")

    def __init__(self, transport: asyncio.Transport, outbox: Outbox) -> None:
        self.transport = transport
        self._outbox = outbox
        self.held = b""  # what was not handed over yet; few pieces come in one turn, so they are joined as they come

    @property
    def unsent(self) -> int:
        """Bytes that the socket has not taken."""
        return len(self.held) + self.transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Send bytes, at the end of this turn of the loop at the latest."""
        held = self.held
        if held:
            data = held + data
        else:
            writers = self._outbox.writers
            if not writers:
                asyncio.get_running_loop().call_soon(self._outbox.flush)
            writers.append(self)
        self.held = data
        if len(data) > DIRECT:
            self.flush()

    def flush(self) -> None:
        """Hand over what was collected."""
        held = self.held
        if held:
            self.held = b""
            if not self.transport.is_closing():
                self.transport.write(held)

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
        self.held = b""
        self.transport.abort()
