"""An HTTP/1.1 connection to an endpoint: socket, time-outs and backpressure around the codec.

All connections of one loop read into one shared buffer: what the parser keeps of it, it copies, and a read ends
before the next one begins. So a connection that waits costs no buffer, and one whose client does not read holds
at most what it had when it was paused: HIGH_WATER and one buffer more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import time
from typing import Final, cast

from gateway.deadlines import NEVER, Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Body, Headers, Response, WholeBody
from gateway.http.frames import FrameReader
from gateway.http.messages import REFUSALS, Attempt
from gateway.http.retry_after import seconds_to_wait
from gateway.outbox import Outbox, Writer
from gateway.turns import ClientTurns
from gateway.upstream.connection import Owner
from gateway.upstream.http1.codec import (
    BODY,
    DONE,
    HEAD,
    IDLE,
    SWITCHED,
    BadResponse,
    CutShort,
    ResponseReader,
    encode_chunk,
    encode_last_chunk,
    encode_request,
)
from gateway.upstream.request import Request, is_chunked, request_trailers, response_headers
from gateway.upstream.retry import IDEMPOTENT
from gateway.upstream.tunnel import Side

logger = logging.getLogger("gateway.upstream")

READ_BUFFER: Final = 64 * 1024  # bytes
CONTINUE_SECONDS: Final = 1.0  # that the upstream has to say 100 before it is sent the body nevertheless
HIGH_WATER: Final = 32 * 1024  # bytes of a response body not yet taken, above which the socket is no longer read

_EXPECT: Final = (b"expect", b"100-continue")
_CONTENT_TYPE: Final = b"content-type"
_EVENT_STREAM: Final = b"text/event-stream"


class Connection(asyncio.BufferedProtocol):
    """A Connection, and the exchange that it is in."""

    __slots__ = (
        "_asked",
        "_authority",
        "_buffer",
        "_closed",
        "_continue",
        "_drained",
        "_endless",
        "_exchange_ends",
        "_failure",
        "_idle_seconds",
        "_label",
        "_loop",
        "_outbox",
        "_reader",
        "_reading",
        "_repeatable",
        "_request_sent",
        "_transport",
        "_unsent",
        "_waiter",
        "_writer",
        "deadline",
        "deadlines",
        "dropped",
        "idle_since",
        "idled",
        "opened",
        "owner",
        "used",
    )
    __deletable__ = ["_transport", "_writer"]  # noqa: RUF012  for the compiler

    def __init__(self, label: str, authority: bytes, buffer: memoryview, deadlines: Deadlines, outbox: Outbox) -> None:
        self.owner: Owner | None = None
        self._label = label  # of the endpoint
        self._authority = authority
        self._buffer = buffer
        self.deadlines = deadlines
        self._outbox = outbox
        self._loop = asyncio.get_running_loop()
        self._reader = ResponseReader()
        self._transport: asyncio.Transport
        self._writer: Writer
        self._continue: asyncio.Future[None] | None = None  # set while a 100 is waited for
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._endless = False  # it is in an event stream
        self._failure: GatewayError | None = None
        self._reading = True
        self._request_sent = False
        self._asked = NEVER
        self._repeatable = False
        self._unsent = 0  # bytes in the write buffer when the clock was last set
        self._idle_seconds = NEVER
        self._exchange_ends = NEVER
        self.deadline = NEVER
        self._closed = False
        self.used = 0
        self.opened = self.idle_since = time.perf_counter()
        self.idled = 0.0
        self.dropped = False

    @property
    def available(self) -> bool:
        """Whether it can take an exchange: it is open, and in none."""
        return not self._closed and self._reader.phase is IDLE

    @property
    def readable(self) -> bool:
        """Whether anything has come that the loop has not handed over yet."""
        look = select.poll()
        look.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(look.poll(0))

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self._writer = Writer(self._transport, self._outbox)
        self.deadlines.watch(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        reader = self._reader
        try:
            reader.feed(self._buffer[:nbytes])
        except BadResponse as error:
            detail = f"{self._label} sent what is no valid response: {error}"
            self._abort(GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail))
            return
        if reader.phase is BODY:
            self._set_deadline(self._idle_seconds)
            if reader.buffered > HIGH_WATER:
                self._pause()
        elif reader.phase is SWITCHED:
            self.deadline = NEVER
            self._pause()
        elif reader.phase is DONE:
            self.deadline = NEVER  # it is the client's turn now, whatever it still sends or reads
        self._wake()

    def eof_received(self) -> None:
        self._dropped_by_peer()
        self._closed = True  # no more requests; the loop closes the transport now

    def connection_lost(self, exc: Exception | None) -> None:
        self._dropped_by_peer()
        self._closed = True
        self.deadlines.forget(self)
        if self._failure is None:
            self._end(exc)
        self._reader.forget()
        self._wake()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self.owner is not None:
            self.owner.lost(self)

    def give_up(self) -> None:
        """Nobody waits for it any more, at the moment when it is made: the loop closes it without `connection_lost`."""
        self._closed = True
        self.deadlines.forget(self)
        self._reader.forget()
        with contextlib.suppress(AttributeError):  # where it was not made yet
            del self._transport, self._writer  # which know this, and would keep it alive

    def _dropped_by_peer(self) -> None:
        """The upstream closes it, unless that was done here."""
        phase = self._reader.phase
        if not self._closed and (phase is IDLE or (phase is HEAD and not self._reader.started)):
            self.dropped = True

    def _end(self, exc: Exception | None) -> None:
        """The upstream closed: as it may, or in the middle of something."""
        try:
            if exc is not None and self._reader.phase is not DONE:
                raise CutShort
            self._reader.eof()
        except CutShort:
            what = "in the middle of its response" if self._reader.started else "before it answered"
            self._failure = GatewayError(
                ErrorKind.UPSTREAM_RESET,
                f"{self._label} closed the connection {what}",
                retryable=not self._reader.started,
            )

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def expired(self, now: float) -> None:
        """A deadline has passed; which one, the phase tells."""
        if self._reader.phase is IDLE:
            self.close()
            return
        if now < self._exchange_ends and self._takes_request():
            self._set_deadline(self._idle_seconds)
            return
        kind = ErrorKind.UPSTREAM_TIMEOUT
        if now >= self._exchange_ends:
            detail = f"the exchange with {self._label} took longer than the route's total time-out"
            if self._reader.phase is HEAD and not self._request_sent and not self._writer.unsent:
                kind = ErrorKind.REQUEST_TIMEOUT  # it has all that there was: the client is slow
            elif not self._reading:
                kind = ErrorKind.CLIENT_GONE  # who does not read
        elif self._reader.phase is BODY:
            detail = f"{self._label} sent nothing more of its response for {self._idle_seconds:g} s"
        elif self._request_sent:
            detail = f"{self._label} sent no response in time"
        else:
            detail = f"{self._label} took no more of the request for {self._idle_seconds:g} s"
        retryable = kind is ErrorKind.UPSTREAM_TIMEOUT and not self._reader.started
        self._abort(GatewayError(kind, detail, retryable=retryable))

    def _takes_request(self) -> bool:
        """Whether the upstream took any of the request since the clock was set, if slowly."""
        return not self._request_sent and self._writer.unsent < self._unsent

    # One exchange.

    async def exchange(self, request: Request, attempt: Attempt) -> Response:
        """Send a request, and wait for the head of its response. See `Connection`."""
        upload: asyncio.Task[None] | None = None
        exchange, timeouts, reader = request.exchange, request.timeouts, self._reader
        try:
            expecting = exchange.expectation is not None and exchange.expectation.pending
            self._begin(request, attempt, expecting)
            if exchange.body is not None:
                upload = self._loop.create_task(self._upload(request, exchange.body, attempt, expecting))
            while reader.phase is HEAD:
                if self._failure is not None:
                    raise self._failure
                waiter = self._waiter = self._loop.create_future()
                try:
                    await waiter
                finally:
                    self._waiter = None
                if reader.early_hints:
                    await self._pass_hints_on(request)
            if self._failure is not None and reader.phase is not DONE:
                raise self._failure  # its body failed before anything of it was passed on
        except BaseException:
            if upload is not None:
                upload.cancel()
            self.close()
            raise
        attempt.seconds = time.perf_counter() - attempt.started - attempt.waited
        attempt.status = status = reader.status
        attempt.open_ended = reader.until_eof
        if status in REFUSALS:
            attempt.retry_after = seconds_to_wait(reader.fields.get(b"retry-after"), time.time())
        if upload is None and reader.phase is DONE:  # it came whole with its head, as small ones do
            data, trailers = reader.take(), reader.trailers
            headers = response_headers(reader.headers, reader.fields)
            self.finish()
            attempt.received = len(data)
            attempt.end()
            return Response(status, headers, WholeBody(data, trailers) if trailers else data)
        body = StreamedBody(self, self._label, attempt, upload)
        if reader.phase is SWITCHED:
            return Response(status, reader.headers, body)
        if _is_event_stream(reader.fields):
            self._endless = True
            self._use_idle_timeout(timeouts.event_stream_idle)
        return Response(status, response_headers(reader.headers, reader.fields), body)

    def _begin(self, request: Request, attempt: Attempt, expecting: bool) -> None:
        """Send the head."""
        exchange, timeouts, headers = request.exchange, request.timeouts, request.headers
        if expecting:
            headers = [*headers, _EXPECT]
        host = request.host or self._authority
        head = encode_request(exchange.method, exchange.target_path, exchange.query_part(), host, headers)
        self.used += 1
        self._endless = False
        self._reader.begin(exchange.method, upgrade=exchange.websocket)
        # Not in `exchange`, where the compiler would take it for None in all that follows.
        self._failure = None
        self._exchange_ends = ends = exchange.deadline
        self._idle_seconds = timeouts.idle
        self._request_sent = sent = exchange.body is None
        self._asked = attempt.started + attempt.waited
        # Once only: what makes its endpoints hang is not to go through all of them.
        self._repeatable = sent and exchange.method in IDEMPOTENT and len(exchange.attempts) <= 1
        due = self._loop.time() + (timeouts.response_header if sent else timeouts.idle)
        self.deadline = due if due < ends else ends
        self._unsent = 0
        self._writer.write(head)

    async def _pass_hints_on(self, request: Request) -> None:
        hints, self._reader.early_hints = self._reader.early_hints, []
        pass_on = request.exchange.early_hints
        for links in hints:
            if pass_on is not None and links:
                await pass_on(links)

    async def _upload(self, request: Request, body: Body, attempt: Attempt, expecting: bool) -> None:
        """Send the request body beside the wait for the response, which may come before all of it is sent, or any."""
        try:
            if await self._send_body(request, body, attempt, expecting):
                self._request_sent = True
                self._asked = time.perf_counter()
                if self._reader.phase is HEAD:
                    self._set_deadline(request.timeouts.response_header)
        except GatewayError as error:
            self._abort(error)
        except Exception:
            logger.exception("the request body for %s could not be read", self._label)
            self._abort(GatewayError(ErrorKind.INTERNAL, "the request body could not be read"))

    async def _send_body(self, request: Request, body: Body, attempt: Attempt, expecting: bool) -> bool:
        """Send the body as it comes, no faster than the upstream takes it. Returns whether all of it was sent."""
        if expecting and not await self._is_wanted():
            return False
        chunked = is_chunked(request.exchange)
        while True:
            if self._reader.phase is HEAD:
                self.deadline = self._exchange_ends  # it is the client's turn, whom the server keeps an eye on
            piece = await body.read()
            if self._closed:
                return False
            if not piece:
                break
            attempt.sent += len(piece)
            self._writer.write(encode_chunk(piece) if chunked else piece)
            self._set_deadline(self._idle_seconds)
            if self._drained is not None:
                await self._drained
        if chunked:
            self._writer.write(encode_last_chunk(request_trailers(request.exchange, body.trailers)))
        return True

    async def _is_wanted(self) -> bool:
        """Wait for a 100, or for CONTINUE_SECONDS; False where the upstream answered instead (RFC 9110, 10.1.1)."""
        reader = self._reader
        if reader.phase is HEAD and not reader.continued and not self._closed:
            wanted = self._continue = self._loop.create_future()
            timer = self._loop.call_later(CONTINUE_SECONDS, self._go_on)
            try:
                await wanted
            finally:
                self._continue = None
                timer.cancel()
        return reader.phase is HEAD and not self._closed

    def _go_on(self) -> None:
        if self._continue is not None and not self._continue.done():
            self._continue.set_result(None)

    def _use_idle_timeout(self, seconds: float) -> None:
        """From here on, how long the response may pause."""
        self._idle_seconds = seconds
        if self._reader.phase is BODY and self._reading:
            self._set_deadline(seconds)

    @property
    def has_data(self) -> bool:
        """Whether `read_body` would answer at once."""
        return self._reader.buffered > 0 or self._reader.phase is DONE or self._failure is not None

    @property
    def trailers(self) -> Headers:
        """The trailer section of the response."""
        return self._reader.trailers

    async def read_body(self) -> bytes:
        """The next piece of the response body, b"" at its end. Raises GatewayError when it is cut short."""
        reader = self._reader
        while True:
            if data := reader.take():
                self._resume()
                return data
            if reader.phase is DONE:
                return b""
            if self._failure is not None:
                raise self._failure
            await self._wait()

    def finish(self) -> None:
        """The exchange is over. What is not fit for another one is closed."""
        done = self._request_sent and self._reader.phase is DONE
        read_on = self._waiter is not None  # what comes next must not be read by one who still waits for this
        if done and not read_on and self._reader.reusable and not self._closed and self.owner is not None:
            self._resume()
            self._reader.phase = IDLE
            self.deadline = NEVER
            self.owner.released(self)
        else:
            self.close()

    def switch(self, frames: FrameReader, turns: ClientTurns) -> Side:
        """After a 101: one end of a tunnel in place of this. What has come behind the head is its first."""
        if self._closed:
            detail = f"{self._label} closed the connection before the client was joined to it"
            raise GatewayError(ErrorKind.UPSTREAM_RESET, detail)
        self.deadlines.forget(self)
        reader = self._reader
        reader.forget()
        return Side(self._transport, reader.behind, frames, self._buffer, turns, masks=True)

    def close(self) -> None:
        """Close at once, whatever it is in."""
        self._abort(None)

    def _abort(self, failure: GatewayError | None) -> None:
        """The same; `failure` is what is raised where this connection is waited for."""
        if failure is not None and self._failure is None:
            self._failure = failure
        self._closed = True
        self.deadline = NEVER
        self._writer.abort()
        self._wake()

    @property
    def kept(self) -> float:
        """Seconds that the `Keep-Alive` of the last response names; NEVER without one."""
        hint = self._reader.fields.get(b"keep-alive")
        return NEVER if hint is None else _seconds_kept(hint)

    @property
    def waits_since(self) -> float:
        """When the whole request was sent whose response head has not come; NEVER otherwise."""
        return self._asked if self._request_sent and self._reader.phase is HEAD and not self._closed else NEVER

    def abandon(self) -> None:
        """Fail what can be asked of another endpoint, where nothing of a response has come."""
        if self._repeatable and self.waits_since != NEVER and not self._reader.started:
            detail = f"{self._label} was found to be down while its response was waited for"
            self._abort(GatewayError(ErrorKind.UPSTREAM_DOWN, detail, retryable=True))

    def leave(self) -> None:
        """See `Connection`."""
        if self._endless:
            detail = f"{self._label} has left its service, and the time of its streams is over"
            self._abort(GatewayError(ErrorKind.UPSTREAM_RESET, detail))

    def idle(self, seconds: float) -> None:
        """Close after this time, unless an exchange begins."""
        if seconds > 0:
            self.deadline = self._loop.time() + seconds
        else:
            self.close()

    # Waiting, and being waited for.

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("a response is read by one at a time")
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self._continue is not None and (self._reader.continued or self._reader.phase is not HEAD or self._closed):
            self._go_on()

    def _set_deadline(self, seconds: float) -> None:
        if not self._request_sent:
            self._unsent = self._writer.unsent
        # While it is not read, for the sake of a slow client, its silence says nothing.
        deadline = self._loop.time() + seconds if self._reading else NEVER
        self.deadline = deadline if deadline < self._exchange_ends else self._exchange_ends

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()
            self._set_deadline(NEVER)

    def _resume(self) -> None:
        if not self._reading and not self._closed:
            self._reading = True
            self._set_deadline(self._idle_seconds)
            self._transport.resume_reading()


class StreamedBody:
    """A response body on its way, until `close`, after which the connection may be another's."""

    __slots__ = ("_attempt", "_connection", "_label", "_over", "_upload")

    def __init__(self, connection: Connection, label: str, attempt: Attempt, upload: asyncio.Task[None] | None) -> None:
        self._connection = connection
        self._label = label
        self._attempt = attempt
        self._upload = upload
        self._over = False

    @property
    def trailers(self) -> Headers:
        return self._connection.trailers if not self._over else []

    @property
    def ready(self) -> bool:
        return self._over or self._connection.has_data

    async def read(self) -> bytes:
        if self._over:
            raise GatewayError(ErrorKind.UPSTREAM_RESET, f"the response of {self._label} was closed")
        try:
            data = await self._connection.read_body()
        except GatewayError as error:
            self._attempt.failure = error.kind
            raise
        self._attempt.received += len(data)
        return data

    def close(self) -> None:
        if self._over:
            return
        self._over = True
        if self._upload is None or self._upload.done():
            self._connection.finish()
        else:
            self._upload.cancel()
            self._connection.close()
        self._attempt.end()


def _is_event_stream(fields: dict[bytes, bytes]) -> bool:
    return fields.get(_CONTENT_TYPE, b"").lower().startswith(_EVENT_STREAM)


def _seconds_kept(keep_alive: bytes) -> float:
    """For which the upstream says that it keeps an idle connection: `timeout=5`."""
    for parameter in keep_alive.split(b","):
        key, _, number = parameter.strip().partition(b"=")
        if key.lower() == b"timeout" and number.isdigit():
            return float(number)
    return NEVER
