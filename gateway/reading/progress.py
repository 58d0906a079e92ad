"""Whether a client takes what is written to it."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios

from gateway.outbox import Writer


class Progress:
    """Looks at what a client has not taken yet, here and in the kernel, which may hold megabytes of it."""

    __slots__ = ("_since", "_socket", "_unsent", "_writer")

    def __init__(self, sock: socket.socket, writer: Writer) -> None:
        self._socket = sock
        self._writer = writer
        self._unsent = 0  # bytes, when it last made progress
        self._since = 0.0  # loop time of that

    @property
    def unsent(self) -> int:
        """Bytes that the client's kernel has not acknowledged."""
        unsent = self._writer.unsent
        with contextlib.suppress(OSError, ValueError):
            unsent += struct.unpack("i", fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        return unsent

    def begin(self, now: float) -> None:
        """Expect reads from now on."""
        self._unsent, self._since = self.unsent, now

    def begin_unseen(self, now: float) -> None:
        """The same, without a look at it yet: most connections end before there is reason for one."""
        self._unsent, self._since = -1, now

    def stalled(self, now: float, seconds: float) -> bool:
        """Whether it has taken nothing for so long, as far as it was sampled."""
        unsent = self.unsent
        if unsent != self._unsent:
            self._unsent, self._since = unsent, now
        return now - self._since >= seconds


def reset(sock: socket.socket, writer: Writer) -> None:
    """No orderly end: to a client that reads until the end, a mere close would look complete, and
    what it has not taken would stay in the kernel."""
    with contextlib.suppress(OSError):  # it is closed already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.abort()
