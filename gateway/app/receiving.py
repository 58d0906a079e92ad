"""ASGI messages -> request body, and the word that the client went away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Headers
from gateway.http.fields import announces_body
from gateway.http.messages import Expectation, Message, Receive, Send


class RequestBody:
    """A request body as ASGI hands it over. A Body."""

    __slots__ = ("_expectation", "_over", "_receive", "received", "trailers")

    def __init__(self, receive: Receive, expectation: Expectation | None) -> None:
        self._receive = receive
        self._expectation = expectation
        self._over = False
        self.received = 0  # bytes
        self.trailers: Headers = []

    @property
    def ready(self) -> bool:
        return self._over

    async def read(self) -> bytes:
        if self._expectation is not None:
            self._expectation.pending = False
        while not self._over:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._over = True
                raise message.get("gateway.error") or GatewayError(ErrorKind.CLIENT_GONE, "the client went away")
            if not message.get("more_body", False):
                self._over = True
                self.trailers = message.get("gateway.trailers", [])
            data: bytes = message.get("body", b"")
            if data:
                self.received += len(data)
                return data
        return b""

    def close(self) -> None:
        self._over = True


def request_body(exchange: Exchange, receive: Receive, extensions: dict[str, Any]) -> RequestBody | None:
    """The body, where the head announces one."""
    if not announces_body(exchange.fields):
        return None
    if b"expect" in exchange.fields and exchange.http_version != "1.0" and "gateway.eager" not in extensions:
        exchange.expectation = Expectation()
    return RequestBody(receive, exchange.expectation)


async def until_disconnect(
    handle: Callable[..., Awaitable[None]],
    scope: dict[str, Any],
    receive: Receive,
    send: Send,
    extensions: dict[str, Any],
) -> None:
    """For servers that do not cancel the task of a client that went away: listen for it beside the exchange."""
    body_over = asyncio.Event()

    async def listened() -> Message:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            body_over.set()
        return message

    async def listen() -> None:
        if announces_body(dict(scope["headers"])):
            await body_over.wait()
        while (await receive())["type"] != "http.disconnect":
            pass

    exchange = asyncio.ensure_future(handle(scope, listened, send, extensions))
    listener = asyncio.create_task(listen())
    try:
        await asyncio.wait({exchange, listener}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (exchange, listener):
            task.cancel()
        await asyncio.wait({exchange, listener})
    if not exchange.cancelled():
        exchange.result()
