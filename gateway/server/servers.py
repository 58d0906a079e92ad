"""The gateway's own server, which drains before it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from email.utils import formatdate
from functools import partial
from typing import Any

from gateway.app import Gateway
from gateway.config.models import Drain
from gateway.http.frames import GOING_AWAY
from gateway.plurals import counted
from gateway.server.accepting import LET_IN, Acceptor
from gateway.server.context import ServerContext
from gateway.server.http1.connection import Http1Connection
from gateway.server.systemd import READY, STOPPING, notify, status

logger = logging.getLogger("gateway")

GRACE_SECONDS = 1.0  # behind the drain deadline
TURNED_AWAY_SECONDS = 0.02  # before the listeners are closed: connections that are half made get so long
PATIENT_SECONDS = 1.0  # for the first bytes, or the rest of a head, on connections when it is time to close them


class GatewayServer:
    """Calls `on_start` when it serves, `on_end` when it is asked to stop, and asks `is_last` whether no other process
    will serve its listeners after it."""

    def __init__(self, gateway: Gateway, context: ServerContext) -> None:
        self.gateway = gateway
        self.context = context
        self.on_start: Callable[[], None] = lambda: None
        self.on_end: Callable[[], None] = lambda: None
        self.is_last: Callable[[], bool] = lambda: False
        self._preparing: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._last_resort: threading.Timer | None = None
        self._deadline = 0.0
        self._started = False
        self._ended = asyncio.Event()  # what was to be done before the end; what is in flight is still finished
        self._acceptor: Acceptor

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Serve these sockets until it is asked to stop, and what is in flight has ended."""
        self._write_date()
        make = partial(Http1Connection, self.context)
        self._acceptor = Acceptor(self.context.loop, sockets, make, room=self._room)
        self.gateway.reloader.owner.hold(("connections",), self._acceptor)
        self.gateway.reloader.owner.hold(("connection limit",), self.context.connection_limit)
        self._started = True
        self.on_start()
        notify(READY, status("serving"))
        await self._ended.wait()
        await self._shut_down()

    def _write_date(self) -> None:
        """That of responses, now and with each second."""
        self.context.date_line = b"date: %b\r\n" % formatdate(usegmt=True).encode()
        self.context.loop.call_later(1 - time.time() % 1, self._write_date)

    def _room(self) -> int:
        return max(LET_IN, self.context.limits().connections // 8)

    async def prepared(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do what must be done before anything is served. Whether it was: a signal that ends the process ends it."""
        self._preparing = asyncio.create_task(work)
        try:
            await self._preparing
        except asyncio.CancelledError:
            logger.info("ended before anything was served")
            return False
        return True

    def drain(self, *, window: bool) -> None:
        """Begin to end."""
        if self._preparing is not None and not self._preparing.done():
            self._preparing.cancel()
        elif self._draining is None:
            left = self._stay()
            self._draining = asyncio.create_task(self._drain(window=window and not left))

    def hand_over(self) -> None:
        """Another process accepts from now on: finish what is in flight here, and end."""
        self._acceptor.pause()
        if self._draining is None:
            self._leaving = asyncio.create_task(self._leave())

    def take_back(self) -> None:
        """The other process has died: accept again."""
        if self._draining is None and not self._ended.is_set() and self._stay():
            self.context.draining = False
            self._acceptor.resume()

    @property
    def acts(self) -> bool:
        """Whether it serves, and no other process that follows it does."""
        return self._started and self._leaving is None

    @property
    def ending(self) -> str | None:
        """How the drain goes; None where there is none."""
        if not self.gateway.draining:
            return None
        left, open_ = max(0.0, self._deadline - self.context.loop.time()), len(self.context.connections)
        return f"draining: not ready, ending within {left:.0f} s, {counted(open_, 'connection')} left"

    def _stay(self) -> bool:
        """Whether this was leaving, which is given up."""
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving.cancel()
        if self._last_resort is not None:
            self._last_resort.cancel()
        return leaving is not None

    @property
    def seconds_to_end(self) -> float:
        """After which the process is ended, whatever is left."""
        return self._drain_settings().deadline + GRACE_SECONDS

    def _drain_settings(self) -> Drain:
        snapshot = self.gateway.reloader.current
        return snapshot.configuration.middleware.drain if snapshot else Drain.unset()

    async def _drain(self, *, window: bool) -> None:
        """Not ready any more, but still serving, until the load balancer has noticed; then stop accepting."""
        self.gateway.draining = True
        seconds = self._drain_settings().window if window else 0
        await self._begin_to_end("draining: not ready, serving for %g s more, ending within %g s", seconds)
        if self.is_last():
            self._acceptor.turn_away()
            await asyncio.sleep(TURNED_AWAY_SECONDS)
        self._ended.set()

    async def _leave(self) -> None:
        """It stays ready: a health check on a connection to this process is about the new one, too."""
        seconds = self._drain_settings().window
        await self._begin_to_end("leaving: closing connections when idle for %g s, ending within %g s", seconds)
        await self._emptied()
        self._ended.set()

    async def _begin_to_end(self, message: str, seconds: float) -> None:
        """Answer with `Connection: close` for so many seconds."""
        self.on_end()
        settings = self._drain_settings()
        self._deadline = asyncio.get_running_loop().time() + settings.deadline
        # End the process then, even if a task swallows its cancellation, or a thread or a reader of the log is stuck.
        timer = threading.Timer(self.seconds_to_end, os._exit, (0,))
        timer.daemon = True
        timer.start()
        self._last_resort = timer
        self.context.draining = True
        notify(STOPPING, status("draining"))
        logger.info(message, seconds, settings.deadline)
        await asyncio.sleep(min(seconds, settings.deadline))

    async def _emptied(self) -> None:
        """Wait until all connections have ended, or until the deadline; WebSockets are ended, and what is idle.

        Requests that are on their way on a connection get a moment to arrive.
        """
        loop, connections = asyncio.get_running_loop(), self.context.connections
        patient_until = loop.time() + PATIENT_SECONDS
        while (connections or self._acceptor.waiting) and loop.time() < self._deadline:
            self.gateway.close_websockets(GOING_AWAY)  # also those that are only now being opened
            for connection in list(connections):
                if isinstance(connection, Http1Connection):
                    connection.shutdown(loop.time() < patient_until)
            await asyncio.sleep(0.02)

    async def _shut_down(self) -> None:
        """Stop accepting, finish what is in flight, end WebSockets, and close what is left at the deadline."""
        self._acceptor.close(for_all=self.is_last())
        await self._emptied()
        self._acceptor.abandon()
        connections = self.context.connections
        if connections:
            logger.warning("%s cut off at the drain deadline", counted(len(connections), "connection"))
            self.gateway.cuts_off = True
            for connection in list(connections):
                connection.abandon()
            await asyncio.sleep(0.05)  # for the exchanges to notice it, and to report
        await self.gateway.reloader.stop()
        logger.info("ended")
