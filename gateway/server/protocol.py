"""HTTP/1.1 as the server speaks it (RFC 9112), for uvicorn's `http=`: plain ASGI, with limits.

A connection is always in one of these phases, and each has its own clock:

    NEW        connected, nothing has come        header_timeout, then closed without a word
    HEAD       part of a request head has come    header_timeout, then 408
    BUSY       a request is being answered        stall, while the client owes body bytes or does not read
    DISCARD    answered, its body still coming    DISCARD_SECONDS and DISCARD_LIMIT, then LINGER
    IDLE       between requests                   keep_alive, then closed
    LINGER     everything is said; the client is given time to read it before the socket closes: closing while
               bytes come in would reset the connection, and the client would never see the answer
    CLOSED

Beyond ASGI it offers, as extensions: `gateway.cancel` (the task is cancelled when the client goes away) and
`gateway.refusal` (the request must be refused: the application only words the answer). An `http.disconnect` may
carry `gateway.error`, the reason why the body ended; the last `http.request` may carry `gateway.trailers`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway.config.models import Limits
from gateway.deadlines import NEVER, Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Headers
from gateway.server.cycle import DISCARD_LIMIT, Cycle
from gateway.server.head import REQUEST_START, Target, bad, check_head, is_websocket

READ_BUFFER = 64 * 1024  # bytes; one buffer for all connections: the parser copies what it keeps
WRITE_HIGH_WATER = 32 * 1024  # bytes that the socket has not taken, above which the application waits
LINGER_SECONDS = 2.0
LINGER_LIMIT = 1024 * 1024  # bytes
DISCARD_SECONDS = 5.0
START_BYTES = 32  # of a request, enough to see how it begins

EXTENSIONS: dict[str, dict[str, Any]] = {
    "http.response.trailers": {},
    "http.response.early_hint": {},
    "gateway.cancel": {},
}


class Phase(Enum):
    """What a connection is doing."""

    NEW = "new"
    HEAD = "head"
    BUSY = "busy"
    DISCARD = "discard"
    IDLE = "idle"
    LINGER = "linger"
    CLOSED = "closed"


@dataclass(slots=True)
class ServerContext:
    """What all connections of one server share."""

    deadlines: Deadlines
    limits: Callable[[], Limits]
    draining: bool = False
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(READ_BUFFER)))


class HTTPProtocol(asyncio.BufferedProtocol):
    """One client connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        context: ServerContext,
    ) -> None:
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._context = context
        self._limits = context.limits()
        self.loop = _loop or asyncio.get_running_loop()
        self._app = cast(Any, config.loaded_app)
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._phase = Phase.NEW
        self.deadline = NEVER
        self.drained: asyncio.Future[None] | None = None  # set while the client does not read
        self._unsent = 0  # bytes in the write buffer when the client last made progress
        self._progress_at = 0.0  # loop time
        self._reading = True
        self._cycle: Cycle | None = None  # the one that is being answered
        self._waiting: deque[Cycle] = deque()  # pipelined behind it
        self._incoming: Cycle | None = None  # the one whose body is coming
        self._closing = False  # nothing more is read as a request
        self._received = 0  # bytes of the current head, or bytes thrown away
        self._fault: GatewayError | None = None  # found inside a parser callback
        self._upgrading = False
        self._url = b""
        self._headers: Headers = []
        self._headers_size = 0
        self._head_complete = True

    # The event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        connections = cast(set[Any], self._server_state.connections)
        connections.add(self)
        self._client = _address(transport.get_extra_info("peername"))
        self._server = _address(transport.get_extra_info("sockname"))
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._context.deadlines.watch(self)
        self.set_deadline()
        if len(connections) > self._limits.connections:
            detail = f"more than {self._limits.connections} connections are open"
            self._refuse(GatewayError(ErrorKind.OVERLOADED, detail, headers=((b"retry-after", b"1"),)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = Phase.CLOSED
        cast(set[Any], self._server_state.connections).discard(self)
        self._context.deadlines.forget(self)
        for cycle in (self._cycle, *self._waiting):
            if cycle is not None:
                cycle.disconnect()
        self._waiting.clear()
        self.resume_writing()

    def eof_received(self) -> None:
        """The client closed its side: whatever is under way is not wanted any more. The loop closes the transport."""

    def pause_writing(self) -> None:
        self.drained = self.loop.create_future()
        self.set_deadline()

    def resume_writing(self) -> None:
        if self.drained is not None:
            if not self.drained.done():
                self.drained.set_result(None)
            self.drained = None
            self.set_deadline()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._context.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._closing:
            self._throw_away(nbytes)
            return
        data = self._context.buffer[:nbytes]
        if self._head_complete and (self._incoming is None or self._incoming.body_complete):
            self._received = 0
            if nbytes >= START_BYTES and not REQUEST_START.match(data):
                self._refuse(bad("this does not begin as an HTTP request does"))
                return
        self._feed(data)
        if self._phase is Phase.DISCARD:
            self._received += nbytes
            if self._received > DISCARD_LIMIT:
                self._linger()
        elif not self._head_complete:
            self._head_is_growing(nbytes)

    def _feed(self, data: bytes | memoryview) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(bytes(data[upgrade.args[0] :]))
        except httptools.HttpParserError as error:
            self._malformed(error)

    def _malformed(self, error: httptools.HttpParserError) -> None:
        fault, self._fault = self._fault, None
        if self._incoming is not None and not self._incoming.keep_alive and self._incoming.body_complete:
            self._closing = True  # bytes behind a request that closes the connection
            return
        if fault is None:
            if isinstance(error, httptools.HttpParserInvalidMethodError):
                fault = GatewayError(ErrorKind.NOT_IMPLEMENTED, "the method is none that this gateway knows")
            else:
                fault = bad(str(error) or "the request is no valid HTTP")
        self._refuse(fault)

    def _head_is_growing(self, nbytes: int) -> None:
        if self._phase in (Phase.NEW, Phase.IDLE):
            self._phase = Phase.HEAD
            self.set_deadline()
        self._received += nbytes
        if self._received > self._limits.head + self._limits.url:
            self._refuse(_too_large(self._limits))

    def _throw_away(self, nbytes: int) -> None:
        self._received += nbytes
        if self._received > LINGER_LIMIT:
            if self._phase is Phase.LINGER:
                self._transport.abort()
            else:
                self._pause_reading()

    # The parser.

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._headers_size = 0
        self._head_complete = False
        self._incoming = None

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.url:
            self._fault = GatewayError(ErrorKind.URL_TOO_LONG, f"the URL is over {self._limits.url} bytes")
            raise self._fault

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers_size += len(name) + len(value) + 4
        headers = self._headers if self._incoming is None else self._incoming.trailers
        headers.append((name.lower(), value.rstrip(b" \t")))
        if self._headers_size > self._limits.head or len(headers) > self._limits.headers:
            self._fault = _too_large(self._limits)
            raise self._fault

    def on_headers_complete(self) -> None:
        self._head_complete = True
        if self._parser.should_upgrade():
            self._upgrading = True
            return
        try:
            self._request()
        except GatewayError as fault:
            self._fault = fault
            raise

    def on_body(self, data: bytes) -> None:
        if self._phase is Phase.DISCARD or self._incoming is None:
            return
        if self._incoming.feed(data):
            self._pause_reading()

    def on_message_complete(self) -> None:
        if self._upgrading or self._incoming is None:
            return
        self._incoming.end_of_body()
        if self._phase is Phase.DISCARD:
            self._next()

    # Requests.

    def _request(self) -> None:
        """A head is complete. Raises GatewayError where it must not pass."""
        method = self._parser.get_method().decode()
        version = self._parser.get_http_version()
        target = check_head(method, version, self._url, self._headers)
        scope = self._scope(method, version, target)
        fields = dict(self._headers)
        cycle = Cycle(
            self,
            scope,
            keep_alive=self._parser.should_keep_alive(),
            expects_continue=b"expect" in fields and version == "1.1",
        )
        cycle.body_left = int(fields.get(b"content-length", b"0"))
        self._incoming = cycle
        self._enqueue(cycle)

    def _scope(self, method: str, version: str, target: Target) -> dict[str, Any]:
        path = target.path.decode("latin-1")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": self._scheme,
            "method": method,
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": target.path,
            "query_string": target.query,
            "headers": self._headers,
            "state": self._app_state.copy(),
            "extensions": EXTENSIONS,
        }

    def _enqueue(self, cycle: Cycle) -> None:
        if self._cycle is None:
            self._start(cycle)
        else:
            self._waiting.append(cycle)
            self._pause_reading()

    def _start(self, cycle: Cycle) -> None:
        self._cycle = cycle
        self._phase = Phase.BUSY
        self.deadline = NEVER
        cycle.start(self._app)

    def _refuse(self, fault: GatewayError) -> None:
        """Nothing more that comes here is read. Whoever waits for a body is told; otherwise it is the answer."""
        self._closing = True
        self._received = 0
        if self._phase in (Phase.LINGER, Phase.CLOSED):
            return
        if self._phase is Phase.DISCARD:
            self._linger()
            return
        if self._incoming is not None and not self._incoming.body_complete:
            self._incoming.fail(fault)
            return
        path, _, query = self._url.partition(b"?")
        method = self._parser.get_method().decode() if self._url else "-"
        scope = self._scope(method, "1.1", Target(path or b"/", query))
        scope["extensions"] = EXTENSIONS | {"gateway.refusal": {"error": fault}}
        cycle = Cycle(self, scope, keep_alive=False, expects_continue=False)
        cycle.end_of_body()
        self._incoming = cycle
        self._enqueue(cycle)

    def response_complete(self, cycle: Cycle) -> None:
        """Everything of a response is written."""
        self._server_state.total_requests += 1
        if not cycle.keep_alive:
            self._linger()
        elif cycle.body_complete:
            self._next()
        else:
            self._cycle = None
            self._phase = Phase.DISCARD
            self._received = 0
            self.set_deadline()
            self._force_reading()

    def _next(self) -> None:
        """The next request of the pipeline, or wait for one."""
        self._cycle = None
        if self._waiting:
            self._start(self._waiting.popleft())
        elif self._closing:
            self._linger()
            return
        else:
            self._phase = Phase.IDLE if self._head_complete else Phase.HEAD
            self.set_deadline()
        self.resume_reading()

    def abandon(self, cycle: Cycle) -> None:
        """The application ended without completing its response: the client must not take it for a whole one."""
        if self._phase is Phase.CLOSED:
            return
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            # A reset, not an orderly end: to a client that reads until the end, a mere close would look complete.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # WebSockets and other upgrades.

    def _upgrade(self, rest: bytes) -> None:
        """The parser stopped behind a head that asks for another protocol."""
        self._upgrading = False
        method, version = self._parser.get_method().decode(), self._parser.get_http_version()
        try:
            check_head(method, version, self._url, self._headers)
            websocket = is_websocket(method, version, self._headers)
        except GatewayError as fault:
            self._refuse(fault)
            return
        if websocket and self._cycle is None:
            self._hand_over(rest)
        else:
            self._ignore_upgrade(method, version, rest)

    def _ignore_upgrade(self, method: str, version: str, rest: bytes) -> None:
        """An upgrade may be ignored (RFC 9110, 7.8): read the same request again without it, so that its body counts."""
        headers = [line for line in self._headers if line[0] != b"upgrade"]
        headers = [(name, _without_upgrade(value) if name == b"connection" else value) for name, value in headers]
        head = _encode_head(method, self._url, version, headers)
        self._parser = httptools.HttpRequestParser(self)
        self._feed(head)
        if rest and not self._closing:
            self._feed(rest)

    def _hand_over(self, rest: bytes) -> None:
        """From here on it is a WebSocket, which uvicorn's protocol class serves."""
        ws_class = cast(Any, self._config.ws_protocol_class)
        protocol = ws_class(config=self._config, server_state=self._server_state, app_state=self._app_state)
        cast(set[Any], self._server_state.connections).discard(self)
        self._context.deadlines.forget(self)
        self._phase = Phase.CLOSED
        transport = self._transport
        transport.pause_reading()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        protocol.data_received(_encode_head("GET", self._url, "1.1", self._headers) + rest)

    # Clocks, reading, writing, closing.

    @property
    def draining(self) -> bool:
        """Whether this server is about to stop, so that no connection should be kept."""
        return self._context.draining

    @property
    def date_line(self) -> bytes:
        """The Date header line that uvicorn keeps up to date."""
        return b"".join(b"%b: %b\r\n" % line for line in self._server_state.default_headers)

    def write(self, data: bytes) -> None:
        """Send bytes to the client."""
        if self._phase is not Phase.CLOSED:
            self._transport.write(data)

    def set_deadline(self) -> None:
        """Set the clock of what the connection is doing now."""
        seconds = self._seconds()
        self.deadline = self.loop.time() + seconds if seconds < NEVER else NEVER

    def _seconds(self) -> float:
        limits = self._limits
        if self._phase in (Phase.NEW, Phase.HEAD):
            return limits.header_timeout
        if self._phase is Phase.IDLE:
            return limits.keep_alive
        if self._phase is Phase.DISCARD:
            return DISCARD_SECONDS
        self._note_progress()
        if self._phase is Phase.LINGER:
            return LINGER_SECONDS
        owes = self.drained is not None or (self._cycle is not None and self._cycle.awaits_body)
        return limits.stall if owes else NEVER

    def expired(self, now: float) -> None:
        """A clock ran out."""
        if self.drained is not None:
            self._slow_reader(now, self._limits.stall)
        elif self._phase is Phase.LINGER:
            self._slow_reader(now, LINGER_SECONDS)
        elif self._phase is Phase.HEAD:
            detail = f"the request head took longer than {self._limits.header_timeout:g} s"
            self._refuse(GatewayError(ErrorKind.REQUEST_TIMEOUT, detail))
        elif self._phase is Phase.DISCARD:
            self._linger()
        elif self._phase is Phase.BUSY:
            self.deadline = NEVER
            detail = f"the client sent nothing more of the request body for {self._limits.stall:g} s"
            self._refuse(GatewayError(ErrorKind.REQUEST_TIMEOUT, detail))
        else:
            self._cut_off()

    def _note_progress(self) -> None:
        self._unsent = self._transport.get_write_buffer_size()
        self._progress_at = self.loop.time()

    def _slow_reader(self, now: float, look_again: float) -> None:
        """The client has not read everything: cut it off once it has read nothing for `stall` seconds."""
        unsent = self._transport.get_write_buffer_size()
        if unsent < self._unsent:
            self._unsent, self._progress_at = unsent, now
        if unsent == 0 or now - self._progress_at >= self._limits.stall:
            self._cut_off()
        else:
            self.deadline = now + look_again

    def _cut_off(self) -> None:
        self.deadline = NEVER
        self._transport.abort()

    def _pause_reading(self) -> None:
        if self._reading and self._phase is not Phase.CLOSED:
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on, unless a pipelined request waits already."""
        if not self._waiting:
            self._force_reading()

    def _force_reading(self) -> None:
        if not self._reading and self._phase is not Phase.CLOSED:
            self._reading = True
            self._transport.resume_reading()

    def _linger(self) -> None:
        """Everything is said. Close, but not under the hands of a client that is still sending."""
        incoming = self._incoming
        done = incoming is None or incoming.body_complete
        self._cycle = None
        self._phase = Phase.LINGER
        self._received = 0
        if done and not self._closing:
            self._transport.close()
        else:
            self._closing = True
            self._force_reading()
            if self._transport.can_write_eof():
                self._transport.write_eof()
        self.set_deadline()

    def shutdown(self) -> None:
        """uvicorn stops: close when idle, otherwise after the response that is under way."""
        if self._phase in (Phase.NEW, Phase.IDLE, Phase.HEAD):
            self._phase = Phase.LINGER
            self._transport.close()
            self.set_deadline()
        else:
            self._closing = True
            for cycle in (self._cycle, *self._waiting):
                if cycle is not None:
                    cycle.keep_alive = False


def _address(info: object) -> tuple[str, int] | None:
    if isinstance(info, tuple) and len(info) >= 2:
        return str(info[0]), int(info[1])
    return None


def _too_large(limits: Limits) -> GatewayError:
    detail = f"the request headers are over {limits.head} bytes or {limits.headers} lines"
    return GatewayError(ErrorKind.HEADERS_TOO_LARGE, detail)


def _encode_head(method: str, url: bytes, version: str, headers: Headers) -> bytes:
    lines = [b"%b %b HTTP/%b\r\n" % (method.encode(), url, version.encode())]
    lines += [b"%b: %b\r\n" % line for line in headers]
    return b"".join(lines) + b"\r\n"


def _without_upgrade(value: bytes) -> bytes:
    tokens = [token.strip() for token in value.split(b",")]
    return b", ".join(token for token in tokens if token and token.lower() not in (b"upgrade", b"http2-settings"))
