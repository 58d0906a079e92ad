"""WebSockets to a backend (RFC 6455), joined message by message to the client's.

The frames are the `websockets` library's work, on this side as on the client's; a message longer than the limit,
or text that is no UTF-8, ends the connection before it reaches the other side.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Headers, Response
from gateway.http.fields import response_headers, values
from gateway.http.messages import Message, Receive, Send
from gateway.upstream.endpoint import Endpoint

GOING_AWAY = 1001
_NOT_SENT = {1005: 1000, 1006: 1011, 1015: 1011}
"""Close codes that only name what happened, and what is sent in their place (RFC 6455, 7.4.1)."""


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """Bounds of every WebSocket."""

    max_message: int = 16 * 1024 * 1024  # bytes
    ping_interval: float = 30.0  # seconds


class _Connect(connect):
    """A redirect is the client's to follow, not ours."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_websocket(
    exchange: Exchange,
    endpoint: Endpoint,
    headers: Headers,
    *,
    host: bytes,
    connect_seconds: float,
    limits: WebSocketLimits,
) -> Response:
    """Ask an endpoint for a WebSocket: 101 with a session, or what the endpoint answered. Raises GatewayError."""
    target = f"{host.decode('latin-1')}{exchange.target_path}"
    query = f"?{exchange.query.decode('latin-1')}" if exchange.query else ""
    tls = endpoint.tls_context
    options: dict[str, Any] = {"ssl": tls, "server_hostname": endpoint.server_name} if tls else {}
    offered = b",".join(values(exchange.headers, b"sec-websocket-protocol")).decode("latin-1")
    subprotocols = [Subprotocol(name.strip()) for name in offered.split(",") if name.strip()]
    try:
        connection = await _Connect(
            f"{'wss' if tls else 'ws'}://{target}{query}",
            host=await endpoint.resolve(),
            port=endpoint.address.port,
            additional_headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers],
            subprotocols=subprotocols or None,
            compression=None,
            user_agent_header=None,
            proxy=None,
            open_timeout=connect_seconds,
            ping_interval=limits.ping_interval,
            ping_timeout=limits.ping_interval * 2,
            max_size=limits.max_message,
            logger=logging.getLogger("gateway.websocket"),
            **options,
        )
    except InvalidStatus as error:
        return _refusal(error)
    except (InvalidHandshake, InvalidMessage, EOFError) as error:
        detail = f"{endpoint.label} did not answer the WebSocket handshake as it should: {error}"
        raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail) from error
    except TimeoutError as error:
        detail = f"{endpoint.label} did not accept a WebSocket within {connect_seconds:g} s"
        raise GatewayError(ErrorKind.UPSTREAM_CONNECT_TIMEOUT, detail, retryable=True) from error
    except OSError as error:
        detail = f"{endpoint.label}: {error.strerror or error}"
        raise GatewayError(ErrorKind.UPSTREAM_REFUSED, detail, retryable=True) from error
    return Response(101, [], session=Session(connection, endpoint))


def _refusal(error: InvalidStatus) -> Response:
    answer = error.response
    lines = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in answer.headers.raw_items()]
    body = bytes(answer.body or b"")
    kept = [line for line in response_headers(lines) if line[0] != b"content-length"]
    return Response(answer.status_code, [*kept, (b"content-length", b"%d" % len(body))], body)


class Session:
    """Two WebSockets, joined."""

    __slots__ = ("_connection", "_endpoint", "_ended")

    def __init__(self, connection: ClientConnection, endpoint: Endpoint) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def run(self, receive: Receive, send: Send) -> None:
        """Accept the client, and carry messages both ways until either side ends."""
        self._endpoint.in_flight += 1
        carriers: list[asyncio.Task[None]] = []
        try:
            await receive()  # websocket.connect
            await send({"type": "websocket.accept", "subprotocol": self._connection.subprotocol, "headers": []})
            carriers = [
                asyncio.create_task(self._from_client(receive)),
                asyncio.create_task(self._from_upstream(send)),
            ]
            await asyncio.wait([*carriers, self._ended], return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                await self._close_both(send, self._ended.result())
        finally:
            for carrier in carriers:
                carrier.cancel()
            await asyncio.gather(*carriers, return_exceptions=True)
            self._endpoint.in_flight -= 1
            self._connection.transport.abort()

    def close(self, code: int) -> None:
        """End both sides with this code."""
        if not self._ended.done():
            self._ended.set_result(code)

    async def _close_both(self, send: Send, code: int) -> None:
        await send({"type": "websocket.close", "code": code})
        await self._connection.close(code)

    async def _from_client(self, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code") or 1005
                await self._connection.close(_NOT_SENT.get(code, code), message.get("reason") or "")
                return
            try:
                await self._connection.send(_payload(message))
            except ConnectionClosed:
                await asyncio.Event().wait()  # the other carrier tells the client

    async def _from_upstream(self, send: Send) -> None:
        try:
            while True:
                data = await self._connection.recv()
                kind = "text" if isinstance(data, str) else "bytes"
                await send({"type": "websocket.send", kind: data})
        except ConnectionClosed:
            code = self._connection.close_code or 1006
            reason = self._connection.close_reason or ""
            await send({"type": "websocket.close", "code": _NOT_SENT.get(code, code), "reason": reason})


def _payload(message: Message) -> str | bytes:
    text: str | None = message.get("text")
    data: bytes = message.get("bytes") or b""
    return data if text is None else text
