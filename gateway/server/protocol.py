"""HTTP/1.1 as the server speaks it (RFC 9112), for uvicorn's `http=`: plain ASGI, with limits.

A connection is always in one of these phases, and each has its own clock:

    NEW        connected, nothing has come        header_timeout, then closed without a word
    HEAD       part of a request head has come    header_timeout, then 408
    BUSY       a request is being answered        stall, while the client owes body bytes or does not read;
                                                  HALF_CLOSED_SECONDS, once it has closed its side
    DISCARD    answered, its body still coming    DISCARD_SECONDS and DISCARD_LIMIT, then LINGER
    IDLE       between requests                   keep_alive, then closed
    LINGER     everything is said                 LINGER_SECONDS, or as long as the client reads or sends: closing
                                                  while bytes come in would reset the connection, and the client
                                                  would never see the answer
    CLOSED

Beyond ASGI it offers, as extensions: `gateway.cancel` (the task is cancelled when the client goes away),
`gateway.eager` (the client has an expectation, but did not wait) and `gateway.websocket` (the request is a handshake;
`accept` takes the Response that makes it a WebSocket, and returns at its end). An `http.disconnect` may carry
`gateway.error`, the reason why the body ended; the last `http.request` may carry `gateway.trailers`. What cannot be
read as a request is no request of ASGI: it is answered at once, without a task.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Final, cast
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway.algorithms.fairness import place_of
from gateway.config.models import ClientLimits
from gateway.deadlines import NEVER, Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Headers, Outcome, Response
from gateway.http.frames import FrameReader
from gateway.outbox import Outbox, Writer
from gateway.server.cycle import DISCARD_LIMIT, Cycle, switching
from gateway.server.head import Target, bad
from gateway.server.progress import Progress
from gateway.server.reader import FRAMING_AT_ONCE, RequestHead, RequestReader
from gateway.turns import ClientTurns, Turns
from gateway.upstream.tunnel import Side, Tunnel

READ_BUFFER: Final = 64 * 1024  # bytes; one buffer for all connections: the parser copies what it keeps
WRITE_HIGH_WATER: Final = 32 * 1024  # bytes that the socket has not taken, above which the application waits
LINGER_SECONDS: Final = 2.0
LINGER_LIMIT: Final = 30.0  # seconds
DISCARD_SECONDS: Final = 5.0
BULK: Final = 16 * 1024  # bytes of a read for nothing from which on it is not made at once
CRUMB: Final = 64  # bytes of a body up to which a read is next to nothing
HALF_CLOSED_SECONDS: Final = 0.5  # without a byte of a response

EXTENSIONS: Final[dict[str, dict[str, Any]]] = {
    "http.response.trailers": {},
    "http.response.early_hint": {},
    "gateway.cancel": {},
}
BARE_QUERY: Final = EXTENSIONS | {"gateway.bare_query": {}}
"""Of a request whose target ends in a "?": what ASGI calls a query does not say so."""


class Phase(Enum):
    """What a connection is doing."""

    NEW = "new"
    HEAD = "head"
    BUSY = "busy"
    DISCARD = "discard"
    IDLE = "idle"
    LINGER = "linger"
    CLOSED = "closed"


# An enumeration's members are slow to look up, and these are asked for many times in every request.
NEW: Final = Phase.NEW
HEAD: Final = Phase.HEAD
BUSY: Final = Phase.BUSY
DISCARD: Final = Phase.DISCARD
IDLE: Final = Phase.IDLE
LINGER: Final = Phase.LINGER
CLOSED: Final = Phase.CLOSED


class ServerContext:
    """What all connections of one server share."""

    def __init__(
        self,
        deadlines: Deadlines,
        limits: Callable[[], ClientLimits],
        refuse: Callable[[dict[str, Any], GatewayError], Response],
    ) -> None:
        self.deadlines = deadlines
        self.limits = limits
        self.refuse = refuse  # words what cannot be read, without a task
        self.draining = False
        self.outbox = Outbox()
        self.turns = Turns()
        self.buffer = memoryview(bytearray(READ_BUFFER))
        self._date_headers: list[tuple[bytes, bytes]] = []
        self._date_line = b""

    def date_line(self, state: ServerState) -> bytes:
        """The Date header line; uvicorn makes a new list for it every second."""
        if state.default_headers is not self._date_headers:
            self._date_headers = state.default_headers
            self._date_line = b"".join(b"%b: %b\r\n" % line for line in state.default_headers)
        return self._date_line


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
        self._writer: Writer
        self._reader = RequestReader(self, self._limits)
        self._phase = NEW
        self.deadline = NEVER
        self.place: bytes | str = ""  # the client's, where clients take turns
        self.drained: asyncio.Future[None] | None = None  # set while the client does not read
        self._progress: Progress
        self._lingers_until = NEVER
        self._reading = True
        self._resting = False  # not read for a moment, as its client sends crumbs
        self._cycle: Cycle | None = None  # the one that is being answered
        self._held = b""  # what came behind its request
        self._unread = b""  # what came of its body, and waits to be parsed
        self._closing = False  # nothing more is read as a request
        self._eof = False  # the client has closed its side
        self._received = 0  # bytes thrown away

    # The event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._writer = Writer(self._transport, self._context.outbox)
        self._progress = Progress(self._transport, self._writer)
        connections = cast(set[Any], self._server_state.connections)
        connections.add(self)
        self._client = _address(transport.get_extra_info("peername"))
        self.place = place_of(self._client[0]) if self._client else ""
        self._server = _address(transport.get_extra_info("sockname"))
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._context.deadlines.watch(self)
        self.set_deadline()
        if len(connections) > self._limits.connections:
            detail = f"more than {self._limits.connections} connections are open"
            self._refuse(GatewayError(ErrorKind.OVERLOADED, detail, headers=((b"retry-after", b"1"),)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = CLOSED
        cast(set[Any], self._server_state.connections).discard(self)
        self._context.deadlines.forget(self)
        cycle, self._cycle = self._cycle, None
        if cycle is not None:
            cycle.disconnect()
        self._reader.close()
        self.resume_writing()

    def eof_received(self) -> bool:
        """The client will send no more. It is gone, or it only closed its side: what is under way gets a moment."""
        self._eof = True
        if self._phase is HEAD:
            self._refuse(bad("the connection ended in the middle of a request head"))
        elif self._phase is not BUSY:
            return False
        elif self._cycle is not None and not self._cycle.body_complete:
            self._cycle.fail(bad("the connection ended in the middle of the request body"))
        self.set_deadline()
        return True

    def pause_writing(self) -> None:
        self.drained = self.loop.create_future()
        self._progress.begin(self.loop.time())
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
            self._received += nbytes
            if nbytes >= BULK and self._phase is LINGER:
                self._wait_for_turn(b"")
        elif self._unread:
            self._unread += bytes(self._context.buffer[:nbytes])
        elif self._phase is BUSY and self._cycle is not None and self._cycle.body_complete:
            self._hold(bytes(self._context.buffer[:nbytes]))
        elif nbytes > FRAMING_AT_ONCE and self._reader.in_chunks and self._context.turns.waiting:
            self._wait_for_turn(bytes(self._context.buffer[:nbytes]))
        else:
            self._read(bytes(self._context.buffer[:nbytes]))

    def _hold(self, data: bytes) -> None:
        """Keep what comes behind a request until that is answered."""
        self._held += data
        if len(self._held) >= READ_BUFFER:
            self._pause_reading()

    def go_on(self) -> None:
        """Its turn to have more of a chunked body parsed."""
        data, self._unread = self._unread, b""
        if data and not self._closing and self._phase is not CLOSED:
            self._read(data)
        self.resume_reading()

    def _read(self, data: bytes) -> None:
        try:
            rest = self._reader.read(data)
        except GatewayError as fault:
            if self._phase is not BUSY:
                self._cycle = None  # its head was good, and what came with it is not: it has not been started
            self._refuse(fault)
            return
        if self._cycle is not None and self._phase is not BUSY:
            self._start(self._cycle)
        read = len(data) - len(rest)
        if rest and not self._reader.between_requests:
            self._wait_for_turn(rest)
            rest = b""
        if self._phase is DISCARD:
            self._discard(read, rest)
        elif len(data) <= CRUMB and self._phase is BUSY and not self._reader.between_requests:
            self._crumb()
        elif rest:
            self._hold(rest)
        elif self._phase in (NEW, IDLE, HEAD) and not self._reader.between_requests:
            self._piece_of_head()

    def _wait_for_turn(self, unread: bytes) -> None:
        self._unread = unread
        self._pause_reading()
        self._context.turns.join(self.place, self)

    def _piece_of_head(self) -> None:
        """A head has begun, or goes on."""
        if self._phase is not HEAD:
            self._phase = HEAD
            self.set_deadline()
        else:
            self._crumb()

    def _crumb(self) -> None:
        """Next to nothing has come, which costs us far more than the client."""
        now = self.loop.time()
        if not self._resting and self._context.turns.is_crumb_too_many(self.place, now):
            self._resting = True
            self._pause_reading()
            self._context.turns.rest(self, now)

    def rested(self) -> None:
        """More may have come in the meantime."""
        self._resting = False
        self.resume_reading()

    def _discard(self, nbytes: int, rest: bytes) -> None:
        """Something has come of a body that is not read any more."""
        self._received += nbytes
        self._held = rest
        if self._reader.between_requests:
            self._next()
        elif self._received > DISCARD_LIMIT:
            self._linger()

    # The reader.

    def on_head(self, head: RequestHead) -> None:
        """A request begins, whose head may pass."""
        scope = self._scope(head.method, head.version, head.target, head.headers)
        # What comes behind a handshake is never read as a request: the client may have meant it for a WebSocket.
        keep_alive = head.keep_alive and not head.websocket
        cycle = Cycle(self, scope, keep_alive=keep_alive, expects_continue=head.expects_continue)
        cycle.body_left = head.length or 0
        if head.websocket:
            scope["extensions"] = scope["extensions"] | {"gateway.websocket": {"accept": self.accept}}
        self._cycle = cycle  # started once all that came with it is read

    def on_body(self, data: bytes) -> None:
        """A piece of its body."""
        if self._cycle is not None and self._cycle.feed(data):
            self._pause_reading()

    def on_end(self, trailers: Headers) -> None:
        """All of it has come."""
        if self._cycle is not None:
            self._cycle.end_of_body(trailers)

    # Requests.

    def _scope(self, method: str, version: str, target: Target, headers: Headers) -> dict[str, Any]:
        raw_path, query = target
        path = raw_path.decode("latin-1")
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
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
            "state": self._app_state.copy(),
            "extensions": EXTENSIONS if query or not self._reader.url.endswith(b"?") else BARE_QUERY,
        }

    def _start(self, cycle: Cycle) -> None:
        self._cycle = cycle
        self._phase = BUSY
        self.deadline = NEVER
        if self.drained is not None or self._eof:
            self.set_deadline()
        cycle.start(self._app)

    def _refuse(self, fault: GatewayError) -> None:
        """Nothing more that comes here is read. The reader of a body gets the reason; otherwise it is the answer."""
        self._closing = True
        self._unread = b""
        self._received = 0
        if self._phase in (LINGER, CLOSED):
            return
        if self._phase is DISCARD:
            self._linger()
            return
        if self._cycle is not None:
            self._cycle.fail(fault)
            return
        reader = self._reader
        path, _, query = reader.url.partition(b"?")
        scope = self._scope(reader.method, "1.1", (path or b"/", query), reader.headers)
        cycle = self._cycle = Cycle(self, scope, keep_alive=False, expects_continue=False)
        cycle.end_of_body([])
        self._phase = BUSY
        self.deadline = NEVER
        cycle.answer(self._context.refuse(scope, fault))

    def response_complete(self, cycle: Cycle) -> None:
        """Everything of a response is written."""
        self._server_state.total_requests += 1
        if not cycle.keep_alive:
            self._linger()
        elif cycle.body_complete:
            self._next()
        else:
            self._cycle = None
            self._phase = DISCARD
            self._received = 0
            self.set_deadline()
            self.resume_reading()

    def _next(self) -> None:
        """The next request, if it is here already; otherwise wait for one."""
        self._cycle = None
        if self._closing:
            self._linger()
            return
        held, self._held = self._held, b""
        self._phase = IDLE
        self.deadline = self.loop.time() + self._limits.keep_alive
        if not self._reading:
            self.resume_reading()
        if held:
            self._read(held)
        if self._eof and self._phase is not BUSY:
            self._linger()

    def abandon(self) -> None:
        """The application ended without completing its response: the client must not take it for a whole one."""
        if self._phase is CLOSED:
            return
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            # A reset, not an orderly end: to a client that reads until the end, a mere close would look complete.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.abort()

    # WebSockets.

    def accept(self, response: Response, outcome: Outcome) -> Awaitable[None]:
        """Make this connection one end of a WebSocket; wait for what is returned until that is over.

        Raises GatewayError, and so does what is returned.
        """
        session = cast(Any, response.session)
        head = switching(response.headers + session.handshake)
        context = self._context
        turns = ClientTurns(context.turns, self.place)

        def client(frames: FrameReader) -> Side:
            early = self._switch(head)
            return Side(self._transport, early, frames, context.buffer, turns, masks=False)

        tunnel: Tunnel = session.join(client, turns)
        return _until_over(tunnel, cast(set[Any], self._server_state.connections), outcome)

    def _switch(self, head: bytes) -> bytes:
        """Say 101, and have nothing more to do with the connection. Returns what has come of it meanwhile."""
        if self._phase is not BUSY or self._eof:
            raise GatewayError(ErrorKind.CLIENT_GONE, "the client went away")
        self._writer.write(head)
        self._writer.flush()
        cast(set[Any], self._server_state.connections).discard(self)
        self._server_state.total_requests += 1
        self._context.deadlines.forget(self)
        self._phase = CLOSED
        if self._cycle is not None:
            self._cycle.leave()
            self._cycle = None
        self._reader.close()
        self.resume_writing()
        early, self._held = self._held, b""
        return early

    # Clocks, reading, writing, closing.

    @property
    def draining(self) -> bool:
        """Whether this server is about to stop, so that no connection should be kept."""
        return self._context.draining

    @property
    def date_line(self) -> bytes:
        """The Date header line that uvicorn keeps up to date."""
        return self._context.date_line(self._server_state)

    def write(self, data: bytes) -> None:
        """Send bytes to the client."""
        if self._phase is not CLOSED:
            self._writer.write(data)
            if self._eof:
                self.set_deadline()

    def set_deadline(self) -> None:
        """Set the clock of what the connection is doing now."""
        seconds = self._seconds()
        self.deadline = self.loop.time() + seconds if seconds < NEVER else NEVER

    def _seconds(self) -> float:
        limits = self._limits
        if self._phase in (NEW, HEAD):
            return limits.header_timeout
        if self._phase is IDLE:
            return limits.keep_alive
        if self._phase is DISCARD:
            return DISCARD_SECONDS
        if self._phase is LINGER:
            return LINGER_SECONDS
        return self._busy_seconds()

    def _busy_seconds(self) -> float:
        limits = self._limits
        if self.drained is not None:
            return limits.stall
        if self._eof:
            return HALF_CLOSED_SECONDS
        return limits.stall if self._cycle is not None and self._cycle.awaits_body else NEVER

    def expired(self, now: float) -> None:
        """A clock ran out."""
        if self._phase is LINGER:
            self._linger_on(now)
        elif self.drained is not None:
            self._cut_off_if_stalled(now, self._limits.stall)
        elif self._phase is HEAD:
            detail = f"the request head took longer than {self._limits.header_timeout:g} s"
            self._refuse(GatewayError(ErrorKind.REQUEST_TIMEOUT, detail))
        elif self._phase is DISCARD:
            self._linger()
        elif self._phase is BUSY and not self._eof:
            self.deadline = NEVER
            detail = f"the client sent nothing more of the request body for {self._limits.stall:g} s"
            self._refuse(GatewayError(ErrorKind.REQUEST_TIMEOUT, detail))
        else:
            self._cut_off()

    def _cut_off_if_stalled(self, now: float, look_again: float) -> None:
        if self._progress.stalled(now, self._limits.stall):
            self._cut_off()
        else:
            self.deadline = now + look_again

    def _cut_off(self) -> None:
        self.deadline = NEVER
        self._writer.abort()

    def _pause_reading(self) -> None:
        if self._reading and self._phase is not CLOSED:
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Let the client send on, unless it is too far ahead already."""
        if (
            not (self._reading or self._unread or self._resting)
            and len(self._held) < READ_BUFFER
            and self._phase is not CLOSED
        ):
            self._reading = True
            self._transport.resume_reading()

    def _linger(self) -> None:
        """Everything is said. Close, but not under the hands of a client that is still sending."""
        cycle, self._cycle = self._cycle, None
        cut_short = cycle is not None and (cycle.ended_here or not cycle.body_complete)
        sends = self._closing or self._held or self._phase is DISCARD or cut_short
        self._phase = LINGER
        self._held = self._unread = b""
        if self._eof or not sends:
            self._writer.close()
        else:
            self._closing = True
            self.resume_reading()
            self._writer.write_eof()
        self._received = 0
        self._lingers_until = self.loop.time() + LINGER_LIMIT
        self._progress.begin_unseen(self.loop.time())
        self.set_deadline()

    def _linger_on(self, now: float) -> None:
        """Wait while the client still reads, or still sends what is dropped."""
        received, self._received = self._received, 0
        if self._progress.unsent:
            self._cut_off_if_stalled(now, LINGER_SECONDS)
        elif received and now < self._lingers_until:
            self.deadline = now + LINGER_SECONDS
        else:
            self._cut_off()

    def shutdown(self) -> None:
        """uvicorn stops: close when idle, otherwise after the response that is under way."""
        if self._phase in (NEW, IDLE, HEAD):
            self._phase = LINGER
            self._writer.close()
            self.set_deadline()
        elif self._phase is DISCARD:
            self._linger()
        elif self._cycle is not None:
            self._cycle.keep_alive = False


async def _until_over(tunnel: Tunnel, connections: set[Any], outcome: Outcome) -> None:
    """Wait for the end of a tunnel, as long as which the client's connection is one of the server's. Holds nothing of
    the handshake."""
    side = tunnel.client
    connections.add(side)
    try:
        await tunnel.ended
    finally:
        connections.discard(side)
        outcome.received, outcome.sent = tunnel.passed
    if tunnel.failure is not None:
        raise tunnel.failure


def _address(info: object) -> tuple[str, int] | None:
    if isinstance(info, tuple) and len(info) >= 2:
        return str(info[0]), int(info[1])
    return None
