"""How a response is written on a connection of HTTP/1.1 (RFC 9112, 6 and 9)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Final

from gateway.http import Headers
from gateway.http.bodies import chunk
from gateway.native import JoinedHead, ResponseHead, joined_head, response_head
from gateway.server.channel import ServerChannel

DISCARD_LIMIT: Final = 256 * 1024  # bytes of an unread request body that are read and thrown away to keep a connection
JOIN_LIMIT: Final = 16 * 1024  # bytes up to which head and body are copied into one piece

_JOINED: Final = joined_head  # compiled, a constant of this module is found sooner
_FRAMED: Final = response_head
_OWN_LINES: Final = frozenset({b"transfer-encoding", b"connection", b"content-length"})
_LOOKED_AT: Final = _OWN_LINES | {b"date"}


def _status_line(status: int) -> bytes:
    phrase = ""
    with contextlib.suppress(ValueError):
        phrase = HTTPStatus(status).phrase
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


STATUS_LINES: Final = {status: _status_line(status) for status in range(100, 1000)}


class Http1Channel(ServerChannel):
    """One request and its response on a connection of HTTP/1.1."""

    ended_here: bool = False  # a policy or a backend ends the connection, which the client may not expect
    joined: JoinedHead | None = _JOINED  # these two write heads
    framed: ResponseHead | None = _FRAMED
    _head: bytes | None = None  # not sent yet
    _bodyless: bool = False
    _chunked: bool = False
    _owed: int | None = None  # bytes of the announced length that were not sent yet
    _length_stands: bool = False  # in the lines of the response
    _promises_trailers: bool = False

    @property
    def given_up(self) -> bool:
        return self._left or self.response_complete  # that of a WebSocket is

    def _ask_for_body(self) -> None:
        self._carrier.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def hint(self, links: Headers) -> None:
        if not self.response_started and self.head.version == "1.1":
            lines = b"".join(b"link: %b\r\n" % value for _, value in links)
            self._carrier.write(b"HTTP/1.1 103 Early Hints\r\n" + lines + b"\r\n")
            if self._carrier.drained is not None:
                await self._carrier.drained

    def respond(self, status: int, headers: Headers, body: bytes) -> Awaitable[None] | None:
        if self._carrier.drained is not None:  # by answers before this one
            return self._answer_once_read(self._carrier.drained, status, headers, body)
        self.answer(status, headers, body)
        return None

    async def _answer_once_read(
        self, drained: asyncio.Future[None], status: int, headers: Headers, body: bytes
    ) -> None:
        await drained
        self.answer(status, headers, body)

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole response, whether the client reads or not."""
        self.begin(status, headers, trailers=False)
        if self._bodyless:
            body = b""
        elif self._owed != len(body):
            body = self._framed(body, last=True)
        self._write(body)
        self.response_complete = True
        self._carrier.answered()

    def begin(self, status: int, headers: Headers, *, trailers: bool) -> Awaitable[None] | None:
        self._bodyless = status in (204, 304) or self.head.method == "HEAD"
        start, date, framed = STATUS_LINES[status], self._context.date_line, self.framed
        stays = self.keep_alive and self.body_complete and self.head.version != "1.0" and not self._context.draining
        written = framed(start, headers, date) if framed is not None and stays and status != 204 else None
        if written is not None:  # as it mostly is
            self._head, self._owed = written
            self._length_stands = True
        else:
            length: bytes | None = None
            alone = True
            for name, value in headers:
                if name in _LOOKED_AT:
                    if name == b"date":
                        date = b""
                    else:
                        alone = alone and length is None and name == b"content-length"
                        length = value
            if length is not None:
                if alone and status != 204 and length.isdigit() and (len(length) == 1 or length[0] != 48):  # of a zero
                    self._owed = int(length)
                    self._length_stands = True
                else:
                    headers = self._take_framing(headers)
            usual = stays and self._length_stands and self.keep_alive
            more = date if usual else date + self._framing(status)
            head = None if self.joined is None else self.joined((start,), headers, more)
            if head is None:
                lines = b"\r\n".join([*map(b": ".join, headers), b""])
                if not lines.count(b"\n") == lines.count(b"\r") == len(headers):
                    raise ValueError("a response header holds a line break")
                head = start + lines + more + b"\r\n"
            self._head = head
        self._promises_trailers = trailers and self._chunked
        self.response_started = True
        return self._carrier.drained

    def write(self, data: bytes) -> Awaitable[None] | None:
        self._write(b"" if self._bodyless else self._framed(data, last=False))
        return self._carrier.drained

    def end(self, trailers: Headers) -> Awaitable[None] | None:
        if self._promises_trailers:
            lines = b"".join(b"%b: %b\r\n" % line for line in trailers)
            if lines.count(b"\n") != len(trailers):
                raise ValueError("a trailer holds a line break")
            self._write(b"0\r\n%b\r\n" % lines)
        else:
            self._write(b"" if self._bodyless else self._framed(b"", last=True))
        self.response_complete = True
        self._carrier.answered()
        return None

    def _take_framing(self, headers: Headers) -> Headers:
        """The framing fields of a response, and the lines to keep; the others are written here."""
        fields = dict(headers)
        length = fields.get(b"content-length")
        if length is not None:
            self._owed = int(length)
        if b"close" in fields.get(b"connection", b"").lower():
            self.keep_alive = False
            self.ended_here = True
        return [line for line in headers if line[0] not in _OWN_LINES]

    def _framing(self, status: int) -> bytes:
        """The header lines that delimit the body, and end the connection (RFC 9112, 6.3 and 9.3)."""
        line = b""
        http_1_0 = self.head.version == "1.0"
        if self._owed is not None:
            line = b"" if self._length_stands or status == 204 else b"content-length: %d\r\n" % self._owed
        elif http_1_0:
            self.keep_alive = self.keep_alive and self._bodyless
        elif not self._bodyless:
            self._chunked = True
            line = b"transfer-encoding: chunked\r\n"
        elif status not in (204, 304):  # HEAD: without it Node's agent, for one, does not keep the connection
            line = b"transfer-encoding: chunked\r\n"
        if self._expects_continue or self.body_left > DISCARD_LIMIT or self._context.draining:
            self.keep_alive = False
        if not self.keep_alive:
            return line + b"connection: close\r\n"
        return line + b"connection: keep-alive\r\n" if http_1_0 else line

    def _framed(self, data: bytes, *, last: bool) -> bytes:
        """A piece of the body as it goes over the wire. Raises RuntimeError where it is not as long as announced."""
        if self._owed is not None:
            self._owed -= len(data)
            if self._owed < 0 or (last and self._owed):
                raise RuntimeError("the response body is not as long as its Content-Length says")
        elif self._chunked:
            data = chunk(data) if data else b""
            if last:
                data += b"0\r\n\r\n"
        return data

    def _write(self, data: bytes) -> None:
        head = self._head
        if head is not None:
            self._head = None
            if len(data) <= JOIN_LIMIT:
                data = head + data
            else:
                self._carrier.write(head)
        if data:
            self._carrier.write(data)
