"""WebSockets to a backend (RFC 6455), joined message by message to the client's.

The frames are the `websockets` library's work, on this side as on the client's; a message longer than the limit,
or text that is no UTF-8, ends the connection before it reaches the other side.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Headers, Response
from gateway.http.fields import response_headers, values
from gateway.http.messages import Message, Receive, Send
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.transport import connect_failures

logger = logging.getLogger("gateway.websocket")

NORMAL = 1000
GOING_AWAY = 1001
NO_CODE = 1005
LOST = 1006
TOO_BIG = 1009
FAILED = 1011

CLOSE_SECONDS = 3.0  # for the backend to answer a close


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """Bounds of every WebSocket."""

    max_message: int = 16 * 1024 * 1024  # bytes
    ping_interval: float = 30.0  # seconds


class _Connect(connect):
    """Asks for the target as it is, of which parsing a URL would lose a part: path parameters, a bare "?".

    A redirect is the client's to follow, not ours.
    """

    def __init__(self, uri: str, target: str, **options: Any) -> None:
        super().__init__(uri, **options)
        self.ws_uri = replace(self.ws_uri, path=target, query="")

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_websocket(
    exchange: Exchange,
    endpoint: Endpoint,
    headers: Headers,
    *,
    host: bytes,
    connect_seconds: float,
    answer_seconds: float,
    limits: WebSocketLimits,
) -> Response:
    """Ask an endpoint for a WebSocket: 101 with a session, or what the endpoint answered. Raises GatewayError."""
    options: dict[str, Any] = {}
    if endpoint.tls_context is not None:
        options = {"ssl": endpoint.tls_context, "server_hostname": endpoint.server_name}
    sock = await endpoint.socket(connect_seconds)
    try:
        with connect_failures(endpoint.label, connect_seconds):
            connection = await _Connect(
                f"{'wss' if options else 'ws'}://{host.decode('latin-1')}/",
                exchange.target_path + exchange.query_part().decode("latin-1"),
                sock=sock,
                additional_headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers],
                subprotocols=_offered(exchange.headers) or None,
                compression=None,
                user_agent_header=None,
                proxy=None,
                open_timeout=answer_seconds,
                close_timeout=CLOSE_SECONDS,
                ping_interval=limits.ping_interval,
                ping_timeout=limits.ping_interval * 2,
                max_size=limits.max_message,
                max_queue=1,  # frames, each as large as a message may be
                logger=logger,
                **options,
            )
    except InvalidStatus as error:
        return _refusal(error)
    except (InvalidHandshake, InvalidMessage, EOFError) as error:
        detail = f"{endpoint.label} did not answer the WebSocket handshake as it should: {error}"
        raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail) from error
    except GatewayError as error:
        if error.kind is not ErrorKind.UPSTREAM_CONNECT_TIMEOUT:
            raise
        detail = f"{endpoint.label} did not answer the WebSocket handshake within {answer_seconds:g} s"
        raise GatewayError(ErrorKind.UPSTREAM_TIMEOUT, detail) from error
    session = Session(connection, endpoint, limits.max_message)
    exchange.defer(session.release)
    return Response(101, _accepted(connection), session=session)


def _offered(headers: Headers) -> list[Subprotocol]:
    lines = b",".join(values(headers, b"sec-websocket-protocol")).decode("latin-1")
    return [Subprotocol(name.strip()) for name in lines.split(",") if name.strip()]


def _lines(answer: Any) -> Headers:
    lines = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in answer.headers.raw_items()]
    return [line for line in response_headers(lines) if line[0] not in (b"content-length", b"date")]


def _accepted(connection: ClientConnection) -> Headers:
    """What a backend says beside its 101, such as cookies; the handshake itself is made anew with the client."""
    return [line for line in _lines(connection.response) if not line[0].startswith(b"sec-websocket-")]


def _refusal(error: InvalidStatus) -> Response:
    body = bytes(error.response.body or b"")
    headers = [*_lines(error.response), (b"content-length", b"%d" % len(body))]
    return Response(error.response.status_code, headers, body)


class Session:
    """Two WebSockets, joined; before `run` the backend's alone. Until `release` it is in flight."""

    __slots__ = ("_connection", "_ended", "_endpoint", "_max_message", "_released")

    def __init__(self, connection: ClientConnection, endpoint: Endpoint, max_message: int) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self._max_message = max_message
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._released = False
        endpoint.in_flight += 1

    async def run(self, receive: Receive, send: Send) -> None:
        """Accept the client, and carry messages both ways until either side ends."""
        await receive()  # websocket.connect
        accept = {"type": "websocket.accept", "subprotocol": self._connection.subprotocol}
        await send(accept | {"headers": _accepted(self._connection)})
        await self._carry(receive, send)

    def release(self) -> None:
        """Let go of the backend, at once, whether the client was ever joined to it or not."""
        if not self._released:
            self._released = True
            self._endpoint.in_flight -= 1
            self._connection.transport.abort()

    def close(self, code: int) -> None:
        """End both sides with this code."""
        if not self._ended.done():
            self._ended.set_result(code)

    async def _carry(self, receive: Receive, send: Send) -> None:
        carriers = [
            asyncio.create_task(self._from_client(receive)),
            asyncio.create_task(self._from_upstream(send)),
        ]
        ends: list[asyncio.Future[Any]] = [*carriers, self._ended]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                await send({"type": "websocket.close", "code": self._ended.result()})
                await self._connection.close(self._ended.result())
        finally:
            for carrier in carriers:
                carrier.cancel()
            for outcome in await asyncio.gather(*carriers, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, OSError):  # OSError: the client is gone
                    logger.error("a WebSocket to %s failed", self._endpoint.label, exc_info=outcome)

    async def _from_client(self, receive: Receive) -> None:
        while (message := await receive())["type"] != "websocket.disconnect":
            data = _payload(message)
            if len(data) > self._max_message:
                self.close(TOO_BIG)
                return
            try:
                await self._connection.send(data, text="text" in message and message["text"] is not None)
            except ConnectionClosed:
                await asyncio.Event().wait()  # the other carrier tells the client
        await self._connection.close(*_client_close(message))

    async def _from_upstream(self, send: Send) -> None:
        try:
            while True:
                data = await self._connection.recv()
                kind = "text" if isinstance(data, str) else "bytes"
                await send({"type": "websocket.send", kind: data})
        except ConnectionClosed as closed:
            close = closed.rcvd or closed.sent
            code, reason = (close.code, close.reason) if close else (FAILED, "the backend went away")
            await send({"type": "websocket.close", "code": NORMAL if code == NO_CODE else code, "reason": reason})


def _payload(message: Message) -> bytes:
    text: str | None = message.get("text")
    data: bytes = message.get("bytes") or b""
    return data if text is None else text.encode()


def _client_close(message: Message) -> tuple[int, str]:
    """Code and reason for the backend. Codes that only say what happened are never sent (RFC 6455, 7.4.1)."""
    code: int = message.get("code") or NO_CODE
    reason: str | None = message.get("reason")
    if code == LOST or reason is None:  # no close frame came: uvicorn then tells no reason, not even an empty one
        return GOING_AWAY, ""
    return NORMAL if code == NO_CODE else code, reason
