"""Connections of clients, which may not hold one for ever by sending a request, or reading an answer, as slowly as they
can."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.control_plane.body_limit import INTERNAL
from gateway.control_plane.problems import Problem, answer
from gateway.reading.clocked import READ_SECONDS, Unread, clocked, end

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

HEAD_SECONDS: Final = 15.0
"""For the head of a request, from its first byte on, or from the connection on; and for what is left of a body that is
answered already."""


class Connection(H11Protocol):
    """One of them; uvicorn bounds how large a head is, and how long nothing comes between two requests."""

    _head: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, unread: Unread, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._unread = unread

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(clocked(transport, self._unread))
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_protocol() is not self or not self._is_to_come:  # it may be a WebSocket from now on
            self._end_head()
        elif self._head is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        end(self.transport)
        super().connection_lost(exc)

    @property
    def _is_to_come(self) -> bool:
        """Whether nothing is done before more comes: a head, or what is left of a body that is answered already."""
        their = self.conn.their_state
        return their is h11.IDLE or (their is h11.SEND_BODY and self.cycle.response_complete)

    def _await_head(self) -> None:
        self._head = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._head = None
        if self._is_to_come:
            self.transport.close()

    def _end_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


class WebSocketConnection(WebSocketsSansIOProtocol):
    """One that may be refused by an answer of ours: to uvicorn, only an acceptance and its own 403 end a handshake, so
    that it logs each other answer as an error of the application."""

    def connection_lost(self, exc: Exception | None) -> None:
        end(self.transport)
        super().connection_lost(exc)

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True


class AnswerLimit:
    """ASGI middleware: no more answers are made while too much of others waits for its clients. Gateways get theirs."""

    def __init__(self, app: ASGIApp, unread: Unread) -> None:
        self._app = app
        self._unread = unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(INTERNAL) and self._unread.is_too_much:
            said = f"{self._unread.most >> 20} MiB of answers wait until their clients read them; ask again later"
            headers = {"connection": "close", "retry-after": f"{READ_SECONDS:.0f}"}
            await answer(Problem(503, said, headers=headers))(scope, receive, send)
        else:
            await self._app(scope, receive, send)
