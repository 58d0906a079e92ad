"""One connection that sends a request, awaits the response, and sends it again."""

from __future__ import annotations

import asyncio
from typing import cast

import httptools


class Client(asyncio.Protocol):
    """Counts what it is answered."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._stopped = False
        self.answered = 0
        self.failures = 0

    def stop(self) -> None:
        """Send no more."""
        self._stopped = True
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._stopped:
            self.failures += 1

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.answered += 1
        self.failures += self._parser.get_status_code() != 200
        if not self._stopped:
            self._transport.write(self._request)
