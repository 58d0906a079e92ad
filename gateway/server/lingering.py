"""The end of a client connection on which everything is said.

Closing while bytes come in would reset the connection, and the client might never see the answer. So only our side is
closed, and what still comes is dropped: as long as the client reads or sends, in turn with others (`turns.py`), and at
most LIMIT seconds. Where it sent what is no request, or a head that is too large, it is owed less: FEW bytes more.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from gateway.deadlines import NEVER
from gateway.outbox import Writer
from gateway.reading.progress import Progress, reset
from gateway.server.context import ServerContext

SECONDS: Final = 2.0  # without a byte either way
LIMIT: Final = 30.0  # seconds
FEW: Final = 256 * 1024  # bytes that are dropped of what is no request
_ESTABLISHED: Final = b"\1"  # the first byte of the kernel's `tcp_info`, its state
BULK: Final = 16 * 1024  # bytes of a read from which on the next one waits for its turn


class Lingering(asyncio.BufferedProtocol):
    """A connection that only its client has still to close. Takes the place of the protocol that answered it."""

    def __init__(
        self,
        context: ServerContext,
        transport: asyncio.Transport,
        sock: socket.socket,  # of the transport
        writer: Writer,
        place: bytes | str,
        stall: float,  # seconds without progress of a client that has not read everything
        *,
        refused: bool,  # what came was no request
    ) -> None:
        self._context = context
        self._transport = transport
        self._socket = sock
        self._writer = writer
        self._place = place
        self._stall = stall
        self._refused = refused
        self._received = 0  # bytes, since the last look
        self._open = True
        try:  # noqa: SIM105  every connection that is refused comes here
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        except (OSError, AttributeError):
            pass  # on Linux, the answer and the end of it go in one packet
        now = context.loop.time()
        self._until = now + LIMIT
        self._progress = Progress(sock, writer)
        self._progress.begin_unseen(now)
        self.deadline = now + SECONDS
        context.connections.add(self)
        context.deadlines.watch(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = False
        self._context.connections.discard(self)
        self._context.deadlines.forget(self)

    def eof_received(self) -> bool:
        """The client has closed its side: the loop closes ours, once all is sent."""
        return False

    def pause_writing(self) -> None:
        """Unread data is checked when its time is up."""

    def resume_writing(self) -> None:
        """The same."""

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._context.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._received += nbytes
        if self._refused:
            if self._received > FEW:
                self._writer.abort()
        elif nbytes >= BULK:
            self._transport.pause_reading()
            self._context.turns.join(self._place, self)

    def go_on(self) -> None:
        """Its turn to have more dropped."""
        if self._open:
            self._transport.resume_reading()

    def expired(self, now: float) -> None:
        """Go on while the client still reads, or still sends."""
        received, self._received = self._received, 0
        if self._progress.unsent:
            goes_on = not self._progress.stalled(now, self._stall)
        else:
            goes_on = received > 0 and now < self._until
        self.deadline = now + SECONDS if goes_on else NEVER
        if not goes_on:
            self._writer.abort()

    def abandon(self) -> None:
        """Reset it."""
        reset(self._socket, self._writer)


def linger(
    context: ServerContext,
    transport: asyncio.Transport,
    sock: socket.socket,
    writer: Writer,
    place: bytes | str,
    stall: float,
    *,
    refused: bool,
    sends: bool,  # the client may still send
) -> None:
    """End a connection once everything is sent, with a moment for its client to read it. See `Lingering`."""
    transport.set_protocol(Lingering(context, transport, sock, writer, place, stall, refused=refused))
    if sends and transport.can_write_eof():  # not with TLS
        writer.write_eof()
    else:
        writer.close()


def is_reset(sock: socket.socket) -> bool:
    """Whether the client has reset the connection, of which the loop learns only after what it had sent before."""
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    except OSError:
        return False


def has_left(sock: socket.socket) -> bool:
    """Whether the client has closed its side, or reset the connection, which the loop learns only later."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != _ESTABLISHED
    except (OSError, AttributeError):
        return False  # not on this system
