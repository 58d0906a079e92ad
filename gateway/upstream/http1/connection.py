"""An HTTP/1.1 connection to an endpoint: socket, time-outs and backpressure around the codec.

All connections of one loop read into one shared buffer: what the parser keeps of it, it copies, and a read ends
before the next one begins. So a connection that waits costs no buffer, and one whose client does not read holds
at most what it had when it was paused: HIGH_WATER and one buffer more.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import ssl
import time
from typing import Final, cast

from gateway.deadlines import NEVER, Deadlines
from gateway.errors import ErrorKind, GatewayError, without_frames
from gateway.http import Response, WholeBody
from gateway.http.frames import FrameReader
from gateway.http.messages import REFUSALS, Attempt
from gateway.http.retry_after import seconds_to_wait
from gateway.outbox import Outbox, Writer
from gateway.turns import ClientTurns
from gateway.upstream.http1.awaited import Awaited
from gateway.upstream.http1.bodies import StreamedBody, pass_hints_on, sent_at_once, upload
from gateway.upstream.http1.codec import (
    BODY,
    DONE,
    HEAD,
    IDLE,
    SWITCHED,
    BadResponse,
    CutShort,
    encode_request,
    seconds_kept,
)
from gateway.upstream.http1.failures import cut_short, overdue
from gateway.upstream.request import Request, Timeouts, response_headers
from gateway.upstream.retry import IDEMPOTENT
from gateway.upstream.tls import Named
from gateway.upstream.tunnel_side import Side

READ_BUFFER: Final = 64 * 1024  # bytes
NO_LIMITS: Final = Timeouts()
HIGH_WATER: Final = 32 * 1024  # bytes of a response body not yet taken, above which the socket is no longer read


class Connection(Awaited):
    """A Connection, and the exchange that it is in."""

    __slots__ = (
        "_authority",
        "_buffer",
        "_endless",
        "_outbox",
        "_reading",
        "_repeatable",
        "_transport",
        "_unsent",
        "asked",
        "deadline",
        "drained",
        "exchange_ends",
        "flowing",
        "idle_seconds",
        "label",
        "named",
        "request_sent",
        "timeouts",
        "writer",
    )
    __deletable__ = ["_transport", "writer"]  # noqa: RUF012  for the compiler

    def __init__(self, label: str, authority: bytes, buffer: memoryview, deadlines: Deadlines, outbox: Outbox) -> None:
        super().__init__(deadlines)
        self.label = label  # of the endpoint
        self.named: Named = "service"
        self.timeouts = NO_LIMITS
        self._authority = authority
        self._buffer = buffer
        self._outbox = outbox
        self._transport: asyncio.Transport
        self.writer: Writer
        self.flowing: StreamedBody | None = None
        self.drained: asyncio.Future[None] | None = None
        self._endless = False  # it is in an event stream
        self._reading = True
        self.request_sent = self._repeatable = False
        self._unsent = 0  # bytes in the write buffer when the clock was last set
        self.idle_seconds = self.exchange_ends = self.deadline = self.asked = NEVER

    @property
    def available(self) -> bool:
        """Whether it can take an exchange: it is open, and in none."""
        return not self.closed and self.reader.phase is IDLE

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
        if shown := transport.get_extra_info("peercert"):
            self.certificate_until = float(ssl.cert_time_to_seconds(shown["notAfter"]))
        self.writer = Writer(self._transport, self._outbox)
        self.deadlines.watch(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        reader = self.reader
        try:
            reader.feed(self._buffer[:nbytes])
        except BadResponse as error:
            detail = f"{self.label} sent an invalid response: {error}"
            self.abort(GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail))
            return
        waiter, flowing = self._waiter, self.flowing
        if reader.phase is BODY:
            self.set_deadline(self.idle_seconds)
            if flowing is not None and waiter is not None and not waiter.done():
                if flowing.hand_on(rests=nbytes == len(self._buffer)):
                    return
            elif reader.buffered > HIGH_WATER:
                self.pause()
        elif reader.phase is SWITCHED:
            self.deadline = NEVER
            self.pause()
        elif reader.phase is DONE:
            self.deadline = NEVER  # it is the client's turn now, whatever it still sends or reads
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self.wanted is not None:
            self._wake()
        if self._driver is not None:
            self._driver.resume()

    def eof_received(self) -> None:
        self._dropped_by_peer()
        self.closed = True  # no more requests; the loop closes the transport now

    def connection_lost(self, exc: Exception | None) -> None:
        self._dropped_by_peer()
        self.closed = True
        self.deadlines.forget(self)
        if self.failure is None:  # it closed as it may, or in the middle of something
            try:
                if exc is not None and self.reader.phase is not DONE:
                    raise CutShort
                self.reader.eof()
            except CutShort:
                self.failure = cut_short(self, exc, getattr(self, "_transport", None))  # see `give_up`
        self.reader.forget()
        self._wake()
        self.resume_writing()
        if self.owner is not None:
            self.owner.lost(self)

    def give_up(self) -> None:
        """The connect was cancelled just as it completed: the loop closes it without `connection_lost`."""
        self.closed = True
        self.deadlines.forget(self)
        self.reader.forget()
        with contextlib.suppress(AttributeError):  # where it was not made yet
            self._transport.abort()  # tells TLS, too, which uvloop has go on after its handshake, on a closed socket
            del self._transport, self.writer  # which know this, and would keep it alive

    def _dropped_by_peer(self) -> None:
        """The upstream closes it, unless that was done here."""
        phase = self.reader.phase
        if not self.closed and (phase is IDLE or (phase is HEAD and not self.reader.started)):
            self.dropped = True

    def pause_writing(self) -> None:
        self.drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)
        self.drained = None

    def expired(self, now: float) -> None:
        """A deadline has passed; the phase shows which one."""
        if self.reader.phase is IDLE:
            self.close()
            return
        takes = not self.request_sent and self.writer.unsent < self._unsent  # some of the request, if slowly
        if takes and now < self.exchange_ends:
            self.set_deadline(self.idle_seconds)
            return
        self.abort(overdue(self, now, reading=self._reading))

    # One exchange.

    async def exchange(self, request: Request, attempt: Attempt) -> Response:
        """Send a request, and wait for the head of its response. See `Connection`."""
        uploading: asyncio.Task[None] | None = None
        exchange, reader = request.exchange, self.reader
        try:
            expecting = exchange.expectation is not None and exchange.expectation.pending
            self._begin(request, attempt, expecting)
            body = exchange.body
            if body is not None and (expecting or not sent_at_once(self, request, body, attempt)):
                uploading = self._loop.create_task(upload(self, request, body, attempt, expecting=expecting))
            while reader.phase is HEAD:
                if self.failure is not None:
                    raise self.failure
                driver = exchange.driver
                try:
                    if driver is not None and driver.by_hand:
                        self._driver = driver
                        await driver
                    else:
                        self._waiter = asyncio.Future(loop=self._loop)  # as `create_future` does, for more
                        await self._waiter
                finally:
                    self._waiter = self._driver = None
                if reader.early_hints:
                    await pass_hints_on(reader, exchange)
            if self.failure is not None and reader.phase is not DONE:
                raise self.failure  # its body failed before anything of it was passed on
        except BaseException:
            if uploading is not None:
                uploading.cancel()
            self.close()
            raise
        attempt.seconds = time.perf_counter() - attempt.started - attempt.waited
        attempt.status = status = reader.status
        attempt.open_ended = reader.until_eof
        if status in REFUSALS:
            attempt.retry_after = seconds_to_wait(reader.fields.get(b"retry-after"), time.time())
        if uploading is None and reader.phase is DONE:  # it came whole with its head, as small ones do
            data, trailers = reader.take(), reader.trailers
            headers = response_headers(reader.headers, reader.fields)
            self.finish()
            attempt.received = len(data)
            attempt.end()
            return Response(status, headers, WholeBody(data, trailers) if trailers else data)
        return self._streamed(StreamedBody(self, attempt, uploading), request.timeouts)

    def _begin(self, request: Request, attempt: Attempt, expecting: bool) -> None:
        """Send the head."""
        exchange, timeouts, headers = request.exchange, request.timeouts, request.headers
        if expecting:
            headers = [*headers, (b"expect", b"100-continue")]
        host = request.host or self._authority
        query = b"?" + exchange.query if exchange.query or exchange.bare_query else b""
        head = encode_request(exchange.method, exchange.target_path, query, host, headers)
        self.used += 1
        self._endless = False
        self.reader.begin(exchange.method, upgrade=exchange.websocket)
        # Not in `exchange`, where the compiler would take it for None in all that follows.
        self.failure = None
        self.exchange_ends = ends = exchange.deadline
        self.timeouts, self.idle_seconds = timeouts, timeouts.idle
        self.request_sent = sent = exchange.body is None
        self.asked = attempt.started + attempt.waited
        # Once only: what makes its endpoints hang is not to go through all of them.
        self._repeatable = sent and exchange.method in IDEMPOTENT and len(exchange.attempts) <= 1
        due = self._loop.time() + (timeouts.response_header if sent else timeouts.idle)
        self.deadline = due if due < ends else ends
        self._unsent = 0
        self.writer.write(head)

    def _streamed(self, body: StreamedBody, timeouts: Timeouts) -> Response:
        """A response that goes on behind its head."""
        reader = self.reader
        if reader.phase is SWITCHED:
            return Response(reader.status, reader.headers, body)
        if reader.fields.get(b"content-type", b"").lower().startswith(b"text/event-stream"):
            self._endless = True
            self.idle_seconds = timeouts.event_stream_idle
            if reader.phase is BODY and self._reading:
                self.set_deadline(self.idle_seconds)
        return Response(reader.status, response_headers(reader.headers, reader.fields), body)

    def finish(self) -> None:
        """The exchange is over. What is not fit for another one is closed."""
        done = self.request_sent and self.reader.phase is DONE
        # What comes next must not be read by one who still waits for this.
        read_on = self._waiter is not None or self._driver is not None
        if done and not read_on and self.reader.reusable and not self.closed and self.owner is not None:
            if not self._reading:
                self.resume()
            hint = self.reader.fields.get(b"keep-alive")
            self.kept = NEVER if hint is None else seconds_kept(hint)
            self.reader.phase = IDLE
            self.deadline = NEVER
            self.owner.released(self)
        else:
            self.close()

    def switch(self, frames: FrameReader, turns: ClientTurns) -> Side:
        """After a 101: one end of a tunnel in place of this. What has come behind the head is its first."""
        if self.closed:
            detail = f"{self.label} closed the connection before the client was joined to it"
            raise GatewayError(ErrorKind.UPSTREAM_RESET, detail)
        self.deadlines.forget(self)
        reader = self.reader
        reader.forget()
        return Side(self._transport, reader.behind, frames, self._buffer, turns, masks=True)

    def close(self) -> None:
        """Close at once, whatever it is in."""
        self.abort(None)

    def abort(self, failure: GatewayError | None) -> None:
        """The same; `failure` is what is raised where this connection is waited for."""
        if self.failure is None:
            self.failure = failure
        elif failure is None:
            without_frames(self.failure)  # it may have been raised
        self.closed = True
        self.deadline = NEVER
        self.writer.abort()
        self._wake()

    @property
    def waits_since(self) -> float:
        """The time since which the request is sent without a response head; NEVER otherwise."""
        return self.asked if self.request_sent and self.reader.phase is HEAD and not self.closed else NEVER

    def abandon(self) -> None:
        """Fail what can be asked of another endpoint, where nothing of a response has come."""
        if self._repeatable and self.waits_since != NEVER and not self.reader.started:
            detail = f"{self.label} was found to be down while its response was waited for"
            self.abort(GatewayError(ErrorKind.UPSTREAM_DOWN, detail, retryable=True))

    def leave(self) -> None:
        """See `Connection`."""
        if self._endless:
            detail = f"{self.label} has left its service, and the time of its streams is over"
            self.abort(GatewayError(ErrorKind.UPSTREAM_RESET, detail))

    def idle(self, seconds: float) -> None:
        """Close after this time, unless an exchange begins."""
        if seconds > 0:
            self.deadline = self._loop.time() + seconds
        else:
            self.close()

    # Clocks, and reading.

    def set_deadline(self, seconds: float) -> None:
        """Set a deadline from now, within that of the exchange."""
        if not self.request_sent:
            self._unsent = self.writer.unsent
        # While it is not read, for the sake of a slow client, its silence says nothing.
        deadline = self._loop.time() + seconds if self._reading else NEVER
        self.deadline = deadline if deadline < self.exchange_ends else self.exchange_ends

    def pause(self) -> None:
        """Stop reading."""
        if self._reading:
            self._reading = False
            self._transport.pause_reading()
            self.set_deadline(NEVER)

    def resume(self) -> None:
        """Read on."""
        if not self._reading and not self.closed:
            self._reading = True
            self.set_deadline(self.idle_seconds)
            self._transport.resume_reading()
