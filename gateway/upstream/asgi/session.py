"""A WebSocket that the application serves itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from typing import Any, Final

from gateway.custom_code import is_failure, place_of
from gateway.deadlines import Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Headers, Response
from gateway.http.bodies import Message, Receive, Send
from gateway.http.frames import FAILED, LOST, TOO_BIG, FrameReader
from gateway.http.handshake import accept_of
from gateway.turns import ClientTurns
from gateway.upstream.asgi.messages import AsgiCallable, BadMessage, headers_of
from gateway.upstream.asgi.running import Running
from gateway.upstream.tunnel import End, Tunnel
from gateway.upstream.websocket import WebSocketLimits, size_of, tunnel_to_application

logger = logging.getLogger("gateway.asgi")

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]*")


class Session:
    """The application is asked first, so that what it accepts or refuses is seen before the client is answered; then
    it is given the client's own channel. When the client has left, it is told, and may finish what it has to do then.
    """

    def __init__(
        self, exchange: Exchange, name: str, running: Running, limits: WebSocketLimits, deadlines: Deadlines
    ) -> None:
        loop = asyncio.get_running_loop()
        self._name = name
        self._request_id = exchange.request_id
        self._running = running
        self._task: asyncio.Task[None]
        self._answer: asyncio.Future[Message] = loop.create_future()
        self._channel: asyncio.Future[tuple[Receive, Send]] = loop.create_future()
        self._ended: asyncio.Future[int] = loop.create_future()
        self._asked = False
        self._failed = False
        self._gone = False  # a message could not be sent any more
        self._over = False  # the application has closed it, or knows that it is closed
        self._limits = limits
        self._deadlines = deadlines
        self._ends_at = exchange.deadline
        self._key = exchange.fields.get(b"sec-websocket-key", b"")
        self._tunnel: Tunnel | None = None
        self.handshake: Headers = []

    def begin(self, app: AsgiCallable, scope: dict[str, Any]) -> None:
        """Call the application."""
        self._task = self._running.begin(self._run(app, scope))

    async def _run(self, app: AsgiCallable, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._send)
        except BaseException as error:
            gone = self._gone and isinstance(error, OSError)  # it noticed what `_send` raises
            if is_failure(error) and not gone:
                self._failed = True
                place = place_of(error)
                logger.exception("%s failed on a WebSocket, request %s, at %s", self._name, self._request_id, place)
        if not self._answer.done():
            self._answer.set_exception(self._bad("ended before it took or refused a WebSocket"))
            self._answer.exception()  # whether it is waited for or not

    def _bad(self, what: str) -> GatewayError:
        return GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, f"{self._name} {what}")

    async def answer(self, seconds: float) -> Response:
        """101 with this session, or 403 where the application refuses. Raises GatewayError."""
        try:
            async with asyncio.timeout(seconds):
                first = await asyncio.shield(self._answer)
        except TimeoutError:
            detail = f"{self._name} did not answer the WebSocket handshake within {seconds:g} s"
            raise GatewayError(ErrorKind.UPSTREAM_TIMEOUT, detail) from None
        if first["type"] == "websocket.close":
            return Response(403, [(b"content-length", b"0")])
        self.handshake = [(b"sec-websocket-accept", accept_of(self._key))]
        if first["subprotocol"] is not None:
            self.handshake.append((b"sec-websocket-protocol", first["subprotocol"].encode("latin-1")))
        return Response(101, list(first["headers"]), session=self)

    def join(self, client: Callable[[FrameReader], End], turns: ClientTurns) -> Tunnel:
        """Join a client whose frames are ours to read."""
        self._tunnel, end = tunnel_to_application(client, self._deadlines, self._limits, self._ends_at)
        self._channel.set_result((end.receive_message, end.send_message))
        self._task.add_done_callback(lambda _: end.leave(self._failure() if self._failed else None))
        return self._tunnel

    def _failure(self) -> GatewayError:
        """As that of a backend's connection."""
        detail = f"{self._name} failed in the middle of a WebSocket; the gateway's log has the cause, under this id"
        return GatewayError(ErrorKind.UPSTREAM_RESET, detail)

    async def run(self, receive: Receive, send: Send, headers: Headers) -> None:
        """Give the application the channel of another server's client. Raises GatewayError if it fails."""
        await receive()  # websocket.connect
        await send({**self._answer.result(), "headers": headers})

        async def received() -> Message:
            message = await receive()
            if size_of(message) > self._limits.max_message:
                self.close(TOO_BIG)
                return {"type": "websocket.disconnect", "code": TOO_BIG, "reason": None}
            return message

        self._channel.set_result((received, send))
        ends: list[asyncio.Future[Any]] = [self._task, self._ended]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if self._ended.done():
            await send({"type": "websocket.close", "code": self._ended.result()})
        elif self._failed and not self._over:
            with contextlib.suppress(OSError, RuntimeError):  # the client may have left
                await send({"type": "websocket.close", "code": FAILED})
            raise self._failure()

    def close(self, code: int) -> None:
        """End it with this code."""
        if self._tunnel is not None:
            self._tunnel.close(code)
        if not self._ended.done():
            self._ended.set_result(code)

    def release(self) -> None:
        """End the session, whether the client was ever connected to it or not."""
        if not self._channel.done():
            self._channel.set_result((_nobody_sends, _nobody_takes))
        if self._tunnel is not None:
            self._tunnel.abort()
        if self._answer.done():
            self._running.leave(self._task, self._request_id)
        else:
            self._task.cancel()

    # What the application calls.

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "websocket.connect"}
        receive, _ = await asyncio.shield(self._channel)
        message = await receive()
        self._over = self._over or message["type"] == "websocket.disconnect"
        return message

    async def _send(self, message: Message) -> None:
        if self._answer.done():
            _, send = await asyncio.shield(self._channel)
            self._over = self._over or message["type"] == "websocket.close"
            try:
                await send(message)
            except OSError:
                self._gone = self._over = True
                raise
            return
        try:
            self._answer.set_result(self._checked(message))
        except BadMessage as error:
            self._answer.set_exception(self._bad(f"sent {error}"))
            self._answer.exception()
            raise

    @staticmethod
    def _checked(message: Message) -> Message:
        kind = message["type"]
        if kind == "websocket.close":
            return message
        if kind != "websocket.accept":
            raise BadMessage(f"{kind!r} where websocket.accept or websocket.close belongs")
        headers = [line for line in headers_of(message) if not line[0].startswith(b"sec-websocket-")]
        subprotocol = message.get("subprotocol")
        if subprotocol is not None and not (isinstance(subprotocol, str) and _TOKEN.fullmatch(subprotocol)):
            raise BadMessage(f"the subprotocol {subprotocol!r:.100}, which is no token (RFC 6455, 4.2.2)")
        return {"type": kind, "subprotocol": subprotocol, "headers": headers}


async def _nobody_sends() -> Message:
    return {"type": "websocket.disconnect", "code": LOST, "reason": None}


async def _nobody_takes(message: Message) -> None:
    if message["type"] != "websocket.close":
        raise ConnectionResetError("the client was never connected")
