"""The gateway as an ASGI 3 application, for servers that are not ours.

Such a server does not cancel the task of a client that went away, so that `http.disconnect` is awaited beside the
exchange. WebSockets come in messages.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from gateway.app.channel import Channel
from gateway.app.gateway import Gateway, handler_of, problem_of
from gateway.custom_code import is_failure
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Headers, Outcome, Response
from gateway.http.addresses import peer_address
from gateway.http.bodies import Expectation, Message, Receive, Send
from gateway.http.fields import announces_body
from gateway.http.handshake import make_key
from gateway.http.messages import RequestHead
from gateway.upstream.websocket import size_of

logger = logging.getLogger("gateway")

Scope = dict[str, Any]


class Application:
    """The ASGI application."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3: one request, one WebSocket, or the lifespan."""
        kind = scope["type"]
        if kind == "http":
            await _until_disconnect(self._gateway, scope, receive, send)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await receive()
            await self._gateway.reloader.start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._gateway.reloader.stop()
            await send({"type": "lifespan.shutdown.complete"})

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway, snapshot = self._gateway, self._gateway.reloader.current
        exchange = gateway.exchange(_head(scope), *_origin(scope), snapshot)
        if exchange.scheme == "https":
            exchange.certificate = client_certificate(scope)
        # Make the handshake one of our own, where another server speaks with the client, in messages.
        ours = {b"sec-websocket-key": make_key(), b"sec-websocket-version": b"13"}
        dropped = {*ours, b"sec-websocket-extensions"}
        exchange.headers = [line for line in exchange.headers if line[0] not in dropped] + list(ours.items())
        exchange.fields = dict(exchange.headers)
        outcome = Outcome(time.time(), time.perf_counter())
        counts = Counts()
        try:
            try:
                response = await handler_of(exchange, snapshot)(exchange)
            except BaseException as error:
                if not is_failure(error):
                    raise
                response = problem_of(error, exchange, snapshot)
            outcome.status = response.status
            if response.session is None:
                await receive()
                await _deny(response, scope, counts.sending(send))
            else:
                gateway.begin(response.session, exchange)
                await response.session.run(counts.receiving(receive), counts.sending(send), response.headers)
        except GatewayError as error:
            exchange.error = error
        except OSError:  # what ASGI servers raise when the client is no longer there
            exchange.error = GatewayError(ErrorKind.CLIENT_GONE, "the client went away")
        except BaseException as error:
            if not is_failure(error):
                raise
            logger.exception("WebSocket %s on %s failed", exchange.request_id, exchange.path)
            exchange.error = error
        finally:
            exchange.close()
            outcome.sent, outcome.received = counts.sent, counts.received
            gateway.report(exchange, outcome)


class AsgiChannel(Channel):
    """A client that another server speaks with."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.head = head = _head(scope)
        self.peer, self.scheme = _origin(scope)
        self.certificate = client_certificate(scope)
        self.has_body = announces_body(head.fields)
        if b"expect" in head.fields and head.version != "1.0":
            self.expectation = Expectation()
        extensions = scope.get("extensions") or {}
        self.sends_trailers = "http.response.trailers" in extensions
        self.trailers = []
        self._sends_hints = "http.response.early_hint" in extensions
        self._receive = receive
        self._send = send
        self._promises_trailers = False
        self._over = False

    # The request body.

    @property
    def ready(self) -> bool:
        return self._over

    async def read(self) -> bytes:
        if self.expectation is not None:
            self.expectation.pending = False
        while not self._over:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._over = True
                raise GatewayError(ErrorKind.CLIENT_GONE, "the client went away")
            self._over = not message.get("more_body", False)
            data: bytes = message.get("body", b"")
            if data:
                self.received += len(data)
                return data
        return b""

    def close(self) -> None:
        self._over = True

    # The response.

    async def hint(self, links: Headers) -> None:
        if self._sends_hints:
            await self._send({"type": "http.response.early_hint", "links": [value for _, value in links]})

    def respond(self, status: int, headers: Headers, body: bytes) -> Awaitable[None]:
        return self._respond(status, headers, body)

    async def _respond(self, status: int, headers: Headers, body: bytes) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def begin(self, status: int, headers: Headers, *, trailers: bool) -> Awaitable[None]:
        self._promises_trailers = trailers
        start = {"type": "http.response.start", "status": status, "headers": headers, "trailers": trailers}
        return self._send(start)

    def write(self, data: bytes) -> Awaitable[None]:
        return self._send({"type": "http.response.body", "body": data, "more_body": True})

    def end(self, trailers: Headers) -> Awaitable[None]:
        return self._end(trailers)

    async def _end(self, trailers: Headers) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        if self._promises_trailers:
            await self._send({"type": "http.response.trailers", "headers": trailers, "more_trailers": False})


def _head(scope: Scope) -> RequestHead:
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    headers: Headers = scope["headers"]
    websocket = scope["type"] == "websocket"
    method, version, query = scope.get("method", "GET"), scope["http_version"], scope["query_string"]
    return RequestHead(method, version, path, query, headers, dict(headers), bare_query=False, websocket=websocket)


def _origin(scope: Scope) -> tuple[str, str]:
    """The address at the other end of the connection, and http or https."""
    client = scope.get("client")
    return peer_address(client[0]) if client else "unknown", scope["scheme"].replace("ws", "http")


async def _until_disconnect(gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request, and give up when its client goes away."""
    body_over = asyncio.Event()

    async def listened() -> Message:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            body_over.set()
        return message

    async def listen() -> None:
        if channel.has_body:
            await body_over.wait()
        while (await receive())["type"] != "http.disconnect":
            pass

    channel = AsgiChannel(scope, listened, send)
    exchange = asyncio.ensure_future(gateway.serve(channel))
    listener = asyncio.create_task(listen())
    ended: asyncio.CancelledError | None = None
    try:
        await asyncio.wait({exchange, listener}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError as error:
        ended = error
    for task in (exchange, listener):
        task.cancel()
    await asyncio.wait({exchange, listener})
    if ended is not None:
        raise ended
    if not exchange.cancelled():
        exchange.result()


async def _deny(response: Response, scope: Scope, send: Send) -> None:
    """Answer a WebSocket handshake with something else than 101."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.http.response.start", "status": response.status, "headers": response.headers})
    body = response.body
    if isinstance(body, bytes):
        await send({"type": "websocket.http.response.body", "body": body})
        return
    while piece := await body.read():
        await send({"type": "websocket.http.response.body", "body": piece, "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b""})


def client_certificate(scope: dict[str, Any]) -> bytes | None:
    """The client's own certificate in PEM, if it showed one that the server could verify."""
    tls = (scope.get("extensions") or {}).get("tls")
    if tls is None or tls.get("client_cert_error") is not None:
        return None
    chain = tls.get("client_cert_chain") or ()
    return next((certificate.encode() for certificate in chain), None)


@dataclass(slots=True)
class Counts:
    """Payload bytes of a WebSocket."""

    received: int = 0
    sent: int = 0

    def receiving(self, receive: Receive) -> Receive:
        async def counted() -> Message:
            message = await receive()
            self.received += size_of(message)
            return message

        return counted

    def sending(self, send: Send) -> Send:
        async def counted(message: Message) -> None:
            self.sent += size_of(message)
            await send(message)

        return counted
