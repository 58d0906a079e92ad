"""What a backend receives: the client's header lines, and what the gateway adds to them (RFC 9110, 7.6)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from gateway.deadlines import NEVER
from gateway.http import Body, Exchange, Headers, WrappedBody
from gateway.http.fields import may_be_trailer, nominated, tokens
from gateway.http.forwarded import forwarding_headers
from gateway.http.header_filter import STRANGERS

TIME_LEFT: Final = b"x-envoy-expected-rq-timeout-ms"
"""How many milliseconds a backend has to answer. Envoy's name for it, which backends and proxies know."""

REREADABLE_LIMIT: Final = 64 * 1024  # bytes of a request body that are kept until the response begins


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. An event stream may be silent for hours, and so has a bound of its own."""

    connect: float = 5.0
    response_header: float = 60.0
    idle: float = 300.0
    event_stream_idle: float = NEVER
    total: float = NEVER


class Request:
    """What one exchange asks of a connection; the same for all of its attempts. (Made for every request.)"""

    __slots__ = ("exchange", "headers", "host", "timeouts")

    def __init__(self, exchange: Exchange, headers: Headers, host: bytes, timeouts: Timeouts) -> None:
        self.exchange = exchange  # method, target, body, deadline
        self.headers = headers  # all lines but Host and Expect
        self.host = host  # that the backend is asked for; empty: its own
        self.timeouts = timeouts


def request_headers(exchange: Exchange) -> Headers:
    """The lines that go to the backend: the client's, less those that end here, plus what the gateway says of it."""
    received, fields = exchange.headers, exchange.fields
    only = exchange.header_filter or STRANGERS
    known = only.known
    headers = [line for line in received if (known[line[0]] if line[0] in known else only.passes(line[0]))]
    if b"connection" in fields and (named := nominated(received, fields)):
        headers = [line for line in headers if line[0] not in named]
    hidden = exchange.hidden_headers
    if hidden and only.underscores:  # which CGI and WSGI read as hyphens
        headers = [line for line in headers if line[0].replace(b"_", b"-") not in hidden]
    elif hidden and not hidden.isdisjoint(fields):
        headers = [line for line in headers if line[0] not in hidden]
    headers += exchange.extra_headers
    headers += forwarding_headers(exchange)
    if exchange.body is not None:
        headers.append(
            (b"transfer-encoding", b"chunked")
            if is_chunked(exchange)
            else (b"content-length", fields[b"content-length"].lstrip(b"0"))
        )
    elif b"content-length" in fields:
        headers.append((b"content-length", b"0"))
    if b"te" in fields and b"trailers" in tokens(received, b"te"):
        headers += [(b"te", b"trailers"), (b"connection", b"te")]
    return headers


def with_time_left(headers: Headers, deadline: float) -> Headers:
    """These lines, and how long the exchange may take from now on, in place of what the client says of that."""
    left = max(1, int((deadline - asyncio.get_running_loop().time()) * 1000))
    return [*(line for line in headers if line[0] != TIME_LEFT), (TIME_LEFT, b"%d" % left)]


def request_trailers(exchange: Exchange, trailers: Headers) -> Headers:
    """The trailer lines that go to the backend: none that could pass for a header it goes by."""
    hidden = exchange.hidden_headers
    passes = (exchange.header_filter or STRANGERS).passes
    lines = [line for line in trailers if may_be_trailer(line[0]) and passes(line[0])]
    return [line for line in lines if line[0].replace(b"_", b"-") not in hidden]


def is_chunked(exchange: Exchange) -> bool:
    """Whether the request body is of unknown length."""
    return b"content-length" not in exchange.fields


class Rereadable(WrappedBody):
    """A Body that can be read once more, as long as what was read of it is not over REREADABLE_LIMIT."""

    __slots__ = ("_kept", "_size", "_unread")

    def __init__(self, body: Body) -> None:
        super().__init__(body, body.read)
        self._kept: list[bytes] = []
        self._size = 0
        self._unread: list[bytes] = []  # of what was read before, the last piece first

    @property
    def ready(self) -> bool:
        return bool(self._unread) or self._body.ready

    async def read(self) -> bytes:
        if self._unread:
            return self._unread.pop()
        data = await self._body.read()
        self._size += len(data)
        if self._size <= REREADABLE_LIMIT:
            self._kept.append(data)
        else:
            self._kept.clear()
        return data

    def rewind(self) -> bool:
        """Read it from the beginning again; False where that is not possible."""
        if self._size > REREADABLE_LIMIT:
            return False
        self._unread = [piece for piece in reversed(self._kept) if piece]
        return True
