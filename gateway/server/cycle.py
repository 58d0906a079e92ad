"""One request and its response on a client connection: what ASGI calls `receive` and `send`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from gateway.errors import GatewayError
from gateway.http import Headers, Response
from gateway.http.handshake import UPGRADE_LINES, spelled
from gateway.http.messages import Message, Receive, Send

if TYPE_CHECKING:
    from gateway.server.protocol import HTTPProtocol

BODY_HIGH_WATER: Final = 64 * 1024  # bytes of a request body that the application has not taken yet
DISCARD_LIMIT: Final = 256 * 1024  # bytes of an unread request body that are read and thrown away to keep a connection
JOIN_LIMIT: Final = 16 * 1024  # bytes up to which head and body are copied into one piece

_CONNECTION_LINES: Final = frozenset({b"transfer-encoding", b"connection"})
_OWN_LINES: Final = _CONNECTION_LINES | {b"content-length"}

logger = logging.getLogger("gateway.server")

Application = Callable[[Message, Receive, Send], Awaitable[None]]


def _status_line(status: int) -> bytes:
    phrase = ""
    with contextlib.suppress(ValueError):
        phrase = HTTPStatus(status).phrase
    return f"HTTP/1.1 {status} {phrase}".encode()


def switching(headers: Headers) -> bytes:
    """A 101 that makes a connection a WebSocket."""
    lines = [STATUS_LINES[101], *map(b": ".join, spelled([*UPGRADE_LINES, *headers])), b"", b""]
    head = b"\r\n".join(lines)
    if not head.count(b"\n") == head.count(b"\r") == len(lines) - 1:
        raise ValueError("a response header holds a line break")
    return head


STATUS_LINES: Final = {status: _status_line(status) for status in range(100, 1000)}


class Cycle:
    """Created when a request head is complete; over when its response is."""

    __deletable__ = ["_protocol"]  # noqa: RUF012  for the compiler

    def __init__(self, protocol: HTTPProtocol, scope: dict[str, Any], *, keep_alive: bool, expects_continue: bool):
        self._protocol = protocol
        self.scope = scope
        self.keep_alive = keep_alive
        self.ended_here = False  # the application ends the connection, which the client may not expect
        self._expects_continue = expects_continue
        self._is_eager = False  # it has the expectation, and did not wait
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._failure: GatewayError | None = None
        # The request body.
        self._pieces: list[bytes] = []
        self._pieces_size = 0
        self._end_told = False
        self.body_complete = False
        self.body_left = 0  # announced bytes that have not come yet; unknown counts as none
        self.trailers: Sequence[tuple[bytes, bytes]] = ()
        # The response.
        self._head: bytes | None = None
        self._bodyless = False
        self._chunked = False
        self._owed: int | None = None  # bytes of the announced length that the application has not sent yet
        self._length_told = False
        self._promises_trailers = False
        self.response_started = False
        self.response_complete = False

    # What the protocol tells.

    def start(self, app: Application) -> None:
        """Let the application answer."""
        if self._is_eager:
            self.scope["extensions"] = self.scope["extensions"] | {"gateway.eager": {}}
        self._task = self._protocol.loop.create_task(self._run(app))

    def answer(self, response: Response) -> None:
        """Answer at once, without the application."""
        self._send_start({"status": response.status, "headers": response.headers})
        self._send_body(cast(bytes, response.body), more=False)

    async def _run(self, app: Application) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            pass
        except Exception:
            logger.exception("the application failed on %s %s", self.scope.get("method"), self.scope.get("path"))
        finally:
            if not self.response_complete:
                self._protocol.abandon()
            self.scope.clear()  # which may hold the connection, that holds this
            self._task = None

    def leave(self) -> None:
        """It has become a WebSocket, which may be open for days: hold nothing of the connection or the request."""
        self.response_complete = True
        self.scope["extensions"].clear()
        self.scope.clear()
        del self._protocol

    def feed(self, data: bytes) -> bool:
        """A piece of the body. Returns whether the client should wait before it sends more."""
        self._not_waiting()
        self.body_left -= len(data)
        self._pieces.append(data)
        self._pieces_size += len(data)
        self._wake()
        return self._pieces_size > BODY_HIGH_WATER

    def end_of_body(self, trailers: Headers) -> None:
        """All of the body has come."""
        self.body_complete = True
        self._not_waiting()
        self.trailers = trailers
        self._wake()

    def _not_waiting(self) -> None:
        if self._expects_continue:
            self._is_eager, self._expects_continue = True, False

    def fail(self, failure: GatewayError) -> None:
        """The rest of the body will never come; its reader gets the reason."""
        self._failure = failure
        self.keep_alive = False
        self._wake()

    def disconnect(self) -> None:
        """The client went away: cancel the task, so that everything that is done for it stops."""
        if self._task is not None and not self.response_complete:
            self._task.cancel()

    @property
    def awaits_body(self) -> bool:
        """Whether the application waits for body bytes that the client owes."""
        return self._waiter is not None and not self.body_complete

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the application calls.

    async def receive(self) -> Message:
        """The next `http.request`; `http.disconnect` where nothing more will come, with the reason if it is known."""
        while True:
            if self._pieces:
                data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
                self._pieces.clear()
                self._pieces_size = 0
                self._protocol.resume_reading()
                return self._request(data)
            if self.body_complete and not self._end_told:
                return self._request(b"")
            if self._failure is not None or self.response_complete:
                return {"type": "http.disconnect", "gateway.error": self._failure}
            await self._more()

    def _request(self, data: bytes) -> Message:
        self._end_told = self.body_complete
        message: Message = {"type": "http.request", "body": data, "more_body": not self.body_complete}
        if self.body_complete and self.trailers:
            message["gateway.trailers"] = self.trailers
        return message

    async def _more(self) -> None:
        if self._expects_continue and not self.response_started:
            self._protocol.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects_continue = False
        self._waiter = self._protocol.loop.create_future()
        self._protocol.set_deadline()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._protocol.set_deadline()

    async def send(self, message: Message) -> None:
        """Take the next message of the response, and wait while the client does not read."""
        protocol = self._protocol
        kind = message["type"]
        if kind == "http.response.body":
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.start":
            self._send_start(message)
        elif kind == "http.response.trailers":
            self._finish(message["headers"])
        elif kind == "http.response.early_hint":
            self._send_early_hint(message["links"])
        else:
            raise RuntimeError(f"unknown ASGI message {kind!r}")
        if protocol.drained is not None and not self.response_complete:
            await protocol.drained

    def _send_early_hint(self, links: list[bytes]) -> None:
        if not self.response_started and self.scope["http_version"] == "1.1":
            lines = b"".join(b"link: %b\r\n" % link for link in links)
            self._protocol.write(b"HTTP/1.1 103 Early Hints\r\n" + lines + b"\r\n")

    def _send_start(self, message: Message) -> None:
        if self.response_started:
            raise RuntimeError("the response has been started already")
        status = message["status"]
        self._bodyless = status in (204, 304) or self.scope["method"] == "HEAD"
        headers: Headers = message["headers"]
        fields = dict(headers)
        if not _OWN_LINES.isdisjoint(fields):
            headers = self._take_framing(headers, fields, status)
        self._promises_trailers = message.get("trailers", False)
        lines = b"\r\n".join([STATUS_LINES[status], *map(b": ".join, headers)])
        if not lines.count(b"\n") == lines.count(b"\r") == len(headers):
            raise ValueError("a response header holds a line break")
        date = b"" if b"date" in fields else self._protocol.date_line
        self._head = b"".join((lines, b"\r\n", date, self._framing(status), b"\r\n"))
        self.response_started = True

    def _take_framing(self, headers: Headers, fields: dict[bytes, bytes], status: int) -> Headers:
        """What the application says of its framing, and the lines that stand; the others are written here."""
        length = fields.get(b"content-length")
        if length is not None:
            self._owed = int(length)
            alone = len(fields) == len(headers) and _CONNECTION_LINES.isdisjoint(fields)
            plain = length.isdigit() and (len(length) == 1 or length[0] != 48)  # and does not begin with a zero
            if alone and plain and status != 204:  # as it mostly is
                self._length_told = True
                return headers
        if b"close" in fields.get(b"connection", b"").lower():
            self.keep_alive = False
            self.ended_here = True
        return [line for line in headers if line[0] not in _OWN_LINES]

    def _framing(self, status: int) -> bytes:
        """The lines that tell the end of the body, and of the connection (RFC 9112, 6.3 and 9.3)."""
        line = b""
        http_1_0 = self.scope["http_version"] == "1.0"
        if self._owed is not None:
            line = b"" if self._length_told or status == 204 else b"content-length: %d\r\n" % self._owed
        elif http_1_0:
            self.keep_alive = self.keep_alive and self._bodyless
        elif not self._bodyless:
            self._chunked = True
            line = b"transfer-encoding: chunked\r\n"
        elif status not in (204, 304):  # HEAD: without it Node's agent, for one, does not keep the connection
            line = b"transfer-encoding: chunked\r\n"
        if self._expects_continue or self.body_left > DISCARD_LIMIT or self._protocol.draining:
            self.keep_alive = False
        if not self.keep_alive:
            return line + b"connection: close\r\n"
        return line + b"connection: keep-alive\r\n" if http_1_0 else line

    def _send_body(self, data: bytes, *, more: bool) -> None:
        if not self.response_started or self.response_complete:
            raise RuntimeError("a response body before its start, or after its end")
        if self._bodyless:
            data = b""
        elif self._owed is not None:
            self._owed -= len(data)
            if self._owed < 0 or (not more and self._owed):
                raise RuntimeError("the response body is not as long as its Content-Length says")
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if not more and not self._promises_trailers:
                data += b"0\r\n\r\n"
        head = self._head
        if head is not None and len(data) <= JOIN_LIMIT:
            self._head = None
            self._protocol.write(head + data)
        else:
            self._write(data)
        if not more and not (self._chunked and self._promises_trailers):
            self._done()

    def _write(self, data: bytes) -> None:
        head, self._head = self._head, None
        for piece in (head, data):
            if piece:
                self._protocol.write(piece)

    def _finish(self, trailers: Headers) -> None:
        if self._chunked and not self.response_complete:
            lines = b"".join(b"%b: %b\r\n" % line for line in trailers)
            if lines.count(b"\n") != len(trailers):
                raise ValueError("a trailer holds a line break")
            self._write(b"0\r\n%b\r\n" % lines)
            self._done()

    def _done(self) -> None:
        self.response_complete = True
        self._protocol.response_complete(self)
