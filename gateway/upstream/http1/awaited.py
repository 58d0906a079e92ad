"""Who waits for what comes on a connection: a driver, or a task by a future."""

from __future__ import annotations

import asyncio

from gateway.deadlines import Deadlines
from gateway.driver import Driver
from gateway.upstream.connection import Connection
from gateway.upstream.http1.bodies import go_on
from gateway.upstream.http1.codec import HEAD, ResponseReader


class Awaited(Connection):
    """A connection that one at a time waits for."""

    __slots__ = ("_driver", "_loop", "_waiter", "closed", "reader", "wanted")

    def __init__(self, deadlines: Deadlines) -> None:
        super().__init__(deadlines)
        self._loop = asyncio.get_running_loop()
        self.reader = ResponseReader()
        self.closed = False
        self.wanted: asyncio.Future[None] | None = None  # set while a 100 is waited for
        self._waiter: asyncio.Future[None] | None = None
        self._driver: Driver | None = None  # of who waits for the head, in its place

    async def wait(self) -> None:
        """Wait until data or the end has arrived."""
        if self._waiter is not None:
            raise RuntimeError("a response is read by one at a time")
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self._driver is not None:
            self._loop.call_soon(self._resume)  # what wakes it may be in the hands of such a driver
        wanted = self.wanted
        if wanted is not None and (self.reader.continued or self.reader.phase is not HEAD or self.closed):
            go_on(wanted)

    def _resume(self) -> None:
        if self._driver is not None:
            self._driver.resume()
