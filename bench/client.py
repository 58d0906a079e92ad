"""One connection that sends a request, awaits the response, and sends the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

import httptools


class Client(asyncio.Protocol):
    """Counts what it is answered. It ends behind the last request, and may be stopped between two of them only, so that
    each one sent is counted."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._stopped = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answered = 0
        self.failures = 0

    def stop(self) -> None:
        """Send no more. `ended` is done once the answer that is awaited has come."""
        self._stopped = True

    def abort(self) -> None:
        """Await no more."""
        self.failures += not self.ended.done()
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.failures += 1
            self.ended.set_result(None)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.answered += 1
        self.failures += self._parser.get_status_code() != 200
        following = None if self._stopped else next(self._requests, None)
        if following is not None:
            self._transport.write(following)
        elif not self.ended.done():
            self.ended.set_result(None)
            self._transport.close()
