"""Heads as they are written, of mutated header lines, good and bad: the same bytes, and the same refusals."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

from gateway.app import Gateway
from gateway.config.models import ClientLimits
from gateway.deadlines import Deadlines
from gateway.http import Outcome, Response
from gateway.http.messages import RequestHead
from gateway.live import Owner
from gateway.native import JoinedHead, ResponseHead
from gateway.reload import Reloader
from gateway.server.context import ServerContext
from gateway.server.http1.channel import Http1Channel
from gateway.upstream.http1.codec import encode_request
from gateway.upstream.transport import Connector, Resolver

NAMES: Final = (b"content-type", b"x-request-id", b"content-length", b"connection", b"transfer-encoding", b"date", b"")
PIECES: Final = (
    *(b"", b"a", b"0", b"17", b"close", b"text/html; charset=utf-8", b"x" * 31, b"y" * 300, b"z" * 5000),
    *(b"\t", b" ", b":", b"\x00", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\x85", b"\x8d", b"\x8a", b"\xff"),
)
BREAKS: Final = (b"\r", b"\n", b"\r\n", b"\n\r", b"\r\n\r\n")
LENGTHS: Final = (b"17", b"17", b"0", b"017", b"+17", b"", b"9" * 18, b"9" * 19)
PATHS: Final = ("/", "/a%20b", "/\xe9", "/" + "x" * 300)
STATUSES: Final = (200, 200, 204, 304, 404, 999)
DATE: Final = b"date: Fri, 27 Nov 2026 01:00:00 GMT\r\n"


class Named(bytes):
    """Bytes of another class."""


ODD: Final = (
    *((), (b"a",), (b"a", b"b", b"c"), [b"a", b"b"], b"ab", "ab", None, 7, {b"a": b"b"}),
    *(("a", b"b"), (b"a", "b"), (b"a", None), (None, b"b"), (7, 7), (b"a", 7.0)),
    *((bytearray(b"a"), b"b"), (b"a", bytearray(b"b\n")), (b"a", memoryview(b"b")), (Named(b"a"), Named(b"b\r"))),
)
"""What is no header line, and what Python takes for one all the same."""


def mutated_lines(random: Random) -> list[Any]:
    """Some lines, mostly good ones."""
    lines: list[Any] = [_line(random) for _ in range(random.choice((0, 1, 2, 5, 14, 40)))]
    if random.random() < 0.5:
        lines.insert(random.randrange(len(lines) + 1), (b"content-length", random.choice(LENGTHS)))
    for _ in range(random.choice((0, 0, 1, 2))):
        at = random.randrange(len(lines) + 1)
        if random.random() < 0.3:
            lines.insert(at, random.choice(ODD))
        else:
            line = list(_line(random))
            place = random.randrange(2)
            cut = random.randrange(len(line[place]) + 1)
            line[place] = line[place][:cut] + random.choice(BREAKS) + line[place][cut:]
            lines.insert(at, tuple(line))
    return lines


def _line(random: Random) -> tuple[bytes, bytes]:
    name = random.choice(NAMES) if random.random() < 0.2 else _piece(random)
    return name, _piece(random)


def _piece(random: Random) -> bytes:
    return b"".join(random.choice(PIECES) for _ in range(random.choice((1, 1, 2))))


class Wire:
    """A connection to a client, and what was sent on it."""

    drained: asyncio.Future[None] | None = None

    def __init__(self) -> None:
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    def resume_reading(self) -> None: ...

    def set_deadline(self) -> None: ...

    def answered(self) -> None: ...

    def abandon(self) -> None: ...

    def accept(self, response: Response, outcome: Outcome) -> Awaitable[None]:
        raise NotImplementedError


async def _context() -> ServerContext:
    deadlines = Deadlines(asyncio.get_running_loop())
    reloader = Reloader(Path(), {}, Owner(), Connector(deadlines, Resolver({})))
    context = ServerContext(Gateway(reloader, []), deadlines, ClientLimits)
    context.date_line = DATE
    return context


class Writers:
    """Writes heads with the native form and without it."""

    def __init__(self) -> None:
        self._context = asyncio.run(_context())

    def request(self, lines: Any, native: JoinedHead | None, path: str = "/a") -> tuple[object, ...]:
        """The head of a request to a backend, or why there is none."""
        try:
            return (encode_request("GET", path, b"?b", b"a.example:9000", lines, native),)
        except Exception as error:  # whatever it is: it must be the same one
            return type(error).__name__, str(error)

    def response(
        self, seed: int, lines: Any, joined: JoinedHead | None, framed: ResponseHead | None
    ) -> tuple[bytes, str, str, bool, bool, bool]:
        """What a client is sent: a head to one of many requests, or why there is none, and the answer in its place."""
        random = Random(seed)
        version, method = random.choice(("1.1", "1.1", "1.0")), random.choice(("GET", "GET", "HEAD"))
        head = RequestHead(method, version, "/", b"", [], {}, bare_query=False, websocket=False)
        self._context.draining = random.random() < 0.1
        keep_alive = random.random() < 0.8
        wire, fault = Wire(), ("", "")
        channel = Http1Channel(
            self._context, wire, head, "127.0.0.1", "http", 0, keep_alive=keep_alive, expects_continue=False
        )
        channel.joined, channel.framed = joined, framed
        try:
            channel.begin(random.choice(STATUSES), lines, trailers=random.random() < 0.1)
        except Exception as error:
            fault = type(error).__name__, str(error)
            assert not channel.response_started
            channel.answer(500, [(b"content-length", b"2")], b"no")
        else:
            with contextlib.suppress(RuntimeError):  # the body is not as long as announced
                channel.write(random.choice((b"", b"seventeen bytes..")))
                channel.end([])
        return wire.sent, *fault, channel.response_complete, channel.keep_alive, channel.ended_here

    def either(
        self, number: int, lines: Any, joined: JoinedHead | None, framed: ResponseHead | None
    ) -> tuple[object, ...]:
        """One of them in turn."""
        if number % 2:
            return self.response(number, lines, joined, framed)
        return self.request(lines, joined, PATHS[number // 2 % len(PATHS)])


def differences(
    count: int, seed: int, joined: JoinedHead, framed: ResponseHead
) -> Iterator[tuple[object, object, object]]:
    """The lines of which the two forms make different heads, or that only one refuses; and what each makes of them."""
    random, writers = Random(seed), Writers()
    for number in range(count):
        lines = mutated_lines(random)
        ours, theirs = (writers.either(number, lines, *forms) for forms in ((joined, framed), (None, None)))
        if ours != theirs:
            yield lines, ours, theirs
