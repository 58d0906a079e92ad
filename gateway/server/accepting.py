"""Accepts connections many at a time: libuv takes one of each listening socket in a turn of the loop.

While turns are long, as with a thousand busy clients, a new client would otherwise wait for one turn for each client
that connected before it. So once one has been accepted, those behind it are taken as well, up to a share of the turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final

AT_ONCE: Final = 64  # connections that are accepted in one turn of the loop, beside libuv's own


class Acceptor:
    """Takes what waits on listening sockets that a server of the loop serves already."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Sequence[socket.socket],
        protocol: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._loop = loop
        self._sockets = list(sockets)
        self._protocol = protocol
        self._tls = tls
        self._due = False
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Take no more."""
        self._sockets.clear()

    def look(self) -> None:
        """A connection has been accepted: look in this turn whether there are more."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self._accept)

    def _accept(self) -> None:
        self._due = False
        for listener in self._sockets:
            # Nothing waits, or descriptors are used up, which libuv sees to.
            with contextlib.suppress(OSError):
                for _ in range(AT_ONCE):
                    self._take(listener.accept()[0])

    def _take(self, accepted: socket.socket) -> None:
        task = self._loop.create_task(self._serve(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        with contextlib.suppress(OSError):  # it is gone already
            await self._loop.connect_accepted_socket(self._protocol, accepted, ssl=self._tls)
