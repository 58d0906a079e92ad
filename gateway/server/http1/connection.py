"""A client connection of HTTP/1.1 (RFC 9112), with limits. It is always in one of the phases of `phase.py`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from typing import cast

from gateway.algorithms.fairness import place_of
from gateway.deadlines import NEVER
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Headers, Outcome, Response
from gateway.http.messages import RequestHead
from gateway.outbox import Writer
from gateway.reading.progress import Progress, reset
from gateway.server.context import HEAD_BUFFER, READ_BUFFER, WRITE_HIGH_WATER, ServerContext
from gateway.server.head import bad
from gateway.server.http1.channel import DISCARD_LIMIT, Http1Channel
from gateway.server.http1.line_ends import CRUMB, FRAMING_AT_ONCE
from gateway.server.http1.phase import BUSY, DISCARD, GONE, HEAD, IDLE, NEW, may_bring_request, seconds_in, too_slow
from gateway.server.http1.reader import LARGE, RequestReader, looks_whole
from gateway.server.http1.websocket import join
from gateway.server.lingering import has_left, is_reset, linger


class Http1Connection(asyncio.BufferedProtocol):
    """One client connection, on this socket and from this address."""

    def __init__(self, context: ServerContext, sock: socket.socket, address: str) -> None:
        self._context = context
        self._limits = context.limits()
        self._socket = sock
        self._peer = address
        self.place = place_of(address)  # the client's, where clients take turns
        self._transport: asyncio.Transport
        self._writer: Writer
        self._reader = RequestReader(self, self._limits)
        self._phase = NEW
        self.deadline = NEVER
        self.drained: asyncio.Future[None] | None = None  # set while the client does not read
        self._progress: Progress | None = None  # made when it is first waited for
        self._reading = True
        self._waits = True  # what comes now is read a few connections at a time
        self._goes_last = False  # what has come will hardly be served: see `Beginnings`
        self._pipelines = False  # sends requests before it has the answers, and goes behind others
        self._fault: GatewayError | None = None  # for which it is refused when it has its turn
        self._resting = False  # not read for a moment, as its client sends crumbs
        self._channel: Http1Channel | None = None  # of the request that is being answered
        self._fragmented = False  # its body has come in very many chunks
        self._held = b""  # what came behind that
        self._unread = b""  # what came of its body, and waits to be parsed
        self._closing = False  # nothing more is read as a request
        self._eof = False  # the client has closed its side
        self._discarded = 0  # bytes of a body

    # The event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = made = cast(asyncio.Transport, transport)
        made.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        context = self._context
        self._writer = Writer(made, context.outbox)
        self._scheme = "https" if made.get_extra_info("sslcontext") else "http"
        context.connections.add(self)
        context.beginnings.came(self.place)
        context.deadlines.watch(self)
        self.deadline = context.loop.time() + self._limits.header_timeout
        if len(context.connections) > self._limits.connections:
            detail = context.connection_limit.refused()
            self._refuse(GatewayError(ErrorKind.OVERLOADED, detail, headers=((b"retry-after", b"1"),)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._let_go()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.disconnect()
            if self._goes_last:
                self._context.beginnings.gave_up()

    def eof_received(self) -> bool:
        """The client will send no more: it disconnected, or only closed its side. What is in progress gets a moment."""
        self._eof = True
        if self._unread or self._fault is not None:
            return True  # that is read first, or answered
        if self._phase is HEAD:
            self._refuse(bad("the connection ended in the middle of a request head"))
        elif self._phase is not BUSY:
            self._writer.flush()  # an answer of this turn of the loop: what is not handed over before the end is lost
            return False
        elif self._channel is not None and not self._channel.body_complete:
            self._channel.fail(bad("the connection ended in the middle of the request body"))
        self.set_deadline()
        return True

    def pause_writing(self) -> None:
        self.drained = self._context.loop.create_future()
        self._progress = self._progress or Progress(self._socket, self._writer)
        self._progress.begin(self._context.loop.time())
        self.set_deadline()

    def resume_writing(self) -> None:
        if self.drained is not None:
            if not self.drained.done():
                self.drained.set_result(None)
            self.drained = None
            self.set_deadline()

    def get_buffer(self, sizehint: int) -> memoryview:
        context, phase, beginnings = self._context, self._phase, self._context.beginnings
        patient = self._goes_last or self._pipelines or (beginnings.crowded and beginnings.is_crowd(self.place))
        self._waits = waits = phase is NEW or phase is HEAD or (patient and phase is IDLE)
        return context.head_buffer if waits or self._fragmented else context.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._closing:
            return  # the reader of a body has got the reason
        data = self._context.buffer[:nbytes].tobytes()
        if self._unread:
            self._unread += data
            self._pause_reading()
        elif self._waits:
            self._unread = data
            if nbytes == HEAD_BUFFER:
                self._pause_reading()
            self._await_turn(last=self._goes_last or (nbytes <= LARGE and not looks_whole(data)))
        elif self._phase is BUSY and self._channel is not None and self._channel.body_complete:
            self._hold(data)
        elif nbytes > FRAMING_AT_ONCE and self._reader.in_chunks and self._context.turns.waiting:
            self._unread = data
            self._pause_reading()
            self._context.turns.join(self.place, self)
        else:
            self._read(data)

    # Reading requests.

    def _await_turn(self, *, last: bool) -> None:
        """`last`: behind all others, because what came will hardly be served."""
        self._goes_last, large = last, len(self._unread) > LARGE
        self._context.beginnings.join(self.place, self, large=large, behind=self._pipelines, last=last)

    def _hold(self, data: bytes) -> None:
        """Keep what comes behind a request until that is answered."""
        self._held, self._pipelines = self._held + data, True
        if len(self._held) >= READ_BUFFER:
            self._pause_reading()

    def go_on(self, *, at_once: bool = True) -> bool | None:
        """Its turn: have a head, or more of a chunked body, parsed, or be refused. Is it busy now? None: it is gone."""
        if self._phase is GONE:
            return None
        if self._phase is NEW and not self._goes_last and (self._eof or has_left(self._socket)):
            self._await_turn(last=True)  # its client hardly waits for an answer
            return False
        fault, data, self._fault, self._unread = self._fault, self._unread, None, b""
        if fault is not None:
            self._refuse(fault)
        elif data and not self._closing and self._read(data, at_once=at_once):
            return None
        if data and self._eof and not self._unread and not self.eof_received():
            self._writer.close()
        self.resume_reading()
        return self._phase is BUSY or (self._phase is IDLE and len(data) > 0)  # it may be answered already

    def _fails(self, fault: GatewayError) -> None:
        """What came is no request."""
        begun = self._phase is BUSY or self._phase is DISCARD
        self._channel = self._channel if begun else None  # where its head was good, and what came with it is not
        if begun or self._goes_last or not self._waits:
            self._refuse(fault)
        else:
            self._closing, self._fault = True, self._reader.pack(fault)
            self._await_turn(last=True)

    def _read(self, data: bytes, *, at_once: bool = True) -> bool:
        """Returns whether the client of what went last has reset the connection, and nothing is done for it."""
        try:
            rest = self._reader.read(data)
        except GatewayError as fault:
            self._fails(fault)
            return False
        channel, discards = self._channel, self._phase is DISCARD
        if channel is not None and self._phase is not BUSY:
            if self._phase is NEW and self._goes_last and is_reset(self._socket):
                self._channel = None
                self._writer.abort()
                return True
            self._phase, self.deadline = BUSY, NEVER
            if self.drained is not None or self._eof:
                self.set_deadline()
            channel.start(at_once=at_once and not (rest or self._held))
        if not rest and self._phase is BUSY and len(data) > CRUMB:
            return False  # as it mostly is
        between_requests, read = self._reader.between_requests, len(data) - len(rest)
        if rest and not between_requests:
            self._fragmented, self._unread, rest = True, rest, b""
            self._pause_reading()
            self._context.turns.join(self.place, self)
        if discards:
            self._discard(read, rest)
        elif not between_requests and (self._phase is HEAD or self._phase is BUSY):
            self._piece(len(data))
        elif rest:
            self._hold(rest)
        elif not between_requests and self._phase in (NEW, IDLE):
            self._phase = HEAD
            self.set_deadline()
        return False

    def _piece(self, nbytes: int) -> None:
        """A small one of a head, or next to nothing of a body, costs us far more than the client."""
        small = nbytes <= CRUMB if self._phase is BUSY else nbytes < HEAD_BUFFER
        now = self._context.loop.time()
        if small and not self._resting and self._context.turns.is_crumb_too_many(self.place, now):
            self._resting = True
            self._pause_reading()
            self._context.turns.rest(self, now)

    def rested(self) -> None:
        """More may have come in the meantime."""
        self._resting = False
        self.resume_reading()

    def _discard(self, nbytes: int, rest: bytes) -> None:
        """Something has come of a body that is not read any more."""
        self._discarded, self._held = self._discarded + nbytes, rest
        if self._reader.between_requests:
            self._next()
        elif self._discarded > DISCARD_LIMIT:
            self._linger()

    def _pause_reading(self) -> None:
        if self._reading and self._phase is not GONE:
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Resume reading from the client, unless too much is buffered."""
        held_up = self._unread or self._fault or self._resting or len(self._held) >= READ_BUFFER
        if not (self._reading or held_up or self._phase is GONE):
            self._reading = True
            self._transport.resume_reading()

    # What the reader calls.

    def on_head(self, head: RequestHead, length: int | None, keep_alive: bool, expects_continue: bool) -> None:
        """A request begins, whose head may pass. It is answered once all that came with it is read."""
        # What comes behind a handshake is never read as a request: the client may have meant it for a WebSocket.
        kept, scheme = keep_alive and not head.websocket, self._scheme
        self._channel = Http1Channel(self._context, self, head, self._peer, scheme, length, kept, expects_continue)

    def on_body(self, data: bytes) -> None:
        """A piece of its body."""
        if self._channel is not None and self._channel.feed(data):
            self._pause_reading()

    def on_end(self, trailers: Headers) -> None:
        """All of it has come."""
        if self._channel is not None:
            self._channel.end_of_body(trailers)

    # Answers.

    def write(self, data: bytes) -> None:
        """Send bytes to the client."""
        if self._phase is not GONE:
            self._writer.write(data)
            if self._eof:
                self.set_deadline()

    def _refuse(self, fault: GatewayError) -> None:
        """Stop reading. The reader of a body gets the reason; otherwise it is the answer."""
        self._closing, self._unread = True, b""
        if self._phase is DISCARD:
            self._linger()
        elif self._channel is not None:
            self._channel.fail(fault)
        elif self._phase is not GONE:
            head, peer, scheme = self._reader.refused_head(), self._peer, self._scheme
            response = self._context.gateway.refuse(head, peer, scheme, fault)
            channel = Http1Channel(self._context, self, head, peer, scheme, 0, keep_alive=False, expects_continue=False)
            self._channel, self._phase = channel, BUSY
            channel.answer(response.status, response.headers, cast(bytes, response.body))

    def answered(self) -> None:
        """Everything of a response is written."""
        channel = self._channel
        if channel is None:
            return
        if not channel.keep_alive:
            self._linger()
        elif channel.body_complete:
            self._next()
        else:
            self._channel, self._phase, self._discarded = None, DISCARD, 0
            self.set_deadline()
            self.resume_reading()

    def _next(self) -> None:
        """The next request, if it is here already; otherwise wait for one."""
        self._goes_last = self._channel is not None and self._channel.refused  # and so may be what comes next
        self._channel = None
        held, self._held = self._held, b""
        self._fragmented, self._phase = False, IDLE
        self.deadline = self._context.loop.time() + self._limits.keep_alive
        if held and self._context.beginnings.due:
            self._unread = held
            self._await_turn(last=self._goes_last)
        if not self._reading:
            self.resume_reading()
        if held and not self._unread:
            self._read(held, at_once=False)  # this is in the hands of what has answered the one before
        if self._eof and self._phase in (IDLE, HEAD) and self._fault is None and not self._unread:
            self._linger()

    # Clocks.

    def set_deadline(self) -> None:
        """Set the clock of what the connection is doing now."""
        owes = self._channel is not None and self._channel.awaits_body
        seconds = seconds_in(self._phase, self._limits, stalls=self.drained is not None, eof=self._eof, owes=owes)
        self.deadline = self._context.loop.time() + seconds

    def expired(self, now: float) -> None:
        """A clock ran out."""
        phase, self.deadline = self._phase, NEVER
        if phase in (NEW, HEAD, IDLE):
            self._goes_last = True
            self.go_on()  # what has come in time, and waits for its turn, counts
            if self._phase is not phase or self.deadline != NEVER:
                return
        if self.drained is not None and self._progress is not None:
            if self._progress.stalled(now, self._limits.stall):
                self._writer.abort()
            else:
                self.deadline = now + self._limits.stall
        elif self._phase is DISCARD:
            self._linger()
        elif self._phase is HEAD or (self._phase is BUSY and not self._eof):
            self._refuse(too_slow(self._phase, self._limits))
        else:
            self._writer.abort()

    # Endings.

    def _let_go(self) -> None:
        """This protocol has nothing to do with the connection any more."""
        if self._phase is not GONE:
            self._context.beginnings.left(self.place)
        self._phase, self._held, self._unread = GONE, b"", b""  # it may still be in a queue
        self._context.connections.discard(self)
        self._context.deadlines.forget(self)
        self._reader.close()
        self.resume_writing()

    def _linger(self) -> None:
        """Everything is said. Close, but not under the hands of a client that is still sending."""
        channel, self._channel = self._channel, None
        body_complete = channel is None or channel.body_complete
        ended_here = channel is not None and channel.ended_here
        sends = self._closing or len(self._held) > 0 or self._phase is DISCARD or ended_here or not body_complete
        sends, refused = sends and not self._eof, self._closing and body_complete
        self._let_go()
        if sends and not self._reading:
            self._transport.resume_reading()
        stall, sock = self._limits.stall, self._socket
        linger(self._context, self._transport, sock, self._writer, self.place, stall, refused=refused, sends=sends)

    def abandon(self) -> None:
        """The client must not take what it has of the response for a whole one."""
        if self._phase is not GONE:
            reset(self._socket, self._writer)

    def shutdown(self, patient: bool) -> None:
        """The server stops: close when idle, or else after the response; `patient`: not where a request may come in."""
        if self._phase in (NEW, HEAD, IDLE):
            self._goes_last = True
            self.go_on(at_once=False)  # it may have a request that waits for its turn
        if self._phase in (NEW, IDLE, HEAD, DISCARD) and not (patient and may_bring_request(self._phase, self._socket)):
            self._linger()
        elif self._channel is not None:
            self._channel.keep_alive = False

    def accept(self, response: Response, outcome: Outcome) -> Awaitable[None]:
        return join(self._context, self._transport, self.place, self._switch, response, outcome)

    def _switch(self, head: bytes) -> bytes:
        """Send 101, and detach from the connection. Returns the bytes received meanwhile."""
        if self._phase is not BUSY or self._eof:
            raise GatewayError(ErrorKind.CLIENT_GONE, "the client went away")
        self._writer.write(head)
        self._writer.flush()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.leave()
        early = self._held
        self._let_go()
        return early
