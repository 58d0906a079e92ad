"""A connection to an endpoint: socket, time-outs and backpressure around the codec.

All connections of one loop read into one shared buffer: what the parser keeps of it, it copies, and a read ends
before the next one begins. So a connection that waits costs no buffer, and one whose client does not read holds
at most what it had when it was paused: HIGH_WATER and one buffer more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, cast

from gateway.deadlines import NEVER, Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Body, Headers
from gateway.http.frames import FrameReader
from gateway.outbox import Outbox, Writer
from gateway.turns import ClientTurns
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
)
from gateway.upstream.tunnel import Side

READ_BUFFER: Final = 64 * 1024  # bytes
CONTINUE_SECONDS: Final = 1.0  # that the upstream has to say 100 before it is sent the body nevertheless
HIGH_WATER: Final = 32 * 1024  # bytes of a response body not yet taken, above which the socket is no longer read


class Owner(Protocol):
    """Whoever a connection goes back to."""

    def released(self, connection: Connection) -> None:
        """It has done its exchange: fit for another one, unless it is closed."""
        ...

    def lost(self, connection: Connection) -> None:
        """It is closed."""
        ...


class Connection(asyncio.BufferedProtocol):
    """One connection to an endpoint, and the exchange that it is in."""

    __slots__ = (
        "_buffer",
        "_continue",
        "_drained",
        "_exchange_ends",
        "_failure",
        "_idle_seconds",
        "_loop",
        "_outbox",
        "_reader",
        "_reading",
        "_request_sent",
        "_transport",
        "_unsent",
        "_waiter",
        "_writer",
        "closed",
        "deadline",
        "deadlines",
        "endpoint_label",
        "owner",
        "used",
    )

    def __init__(self, label: str, buffer: memoryview, deadlines: Deadlines, outbox: Outbox) -> None:
        self.owner: Owner | None = None  # nobody, until it is established
        self.endpoint_label = label
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
        self._failure: GatewayError | None = None
        self._reading = True
        self._request_sent = False
        self._unsent = 0  # bytes in the write buffer when the clock was last set
        self._idle_seconds = NEVER
        self._exchange_ends = NEVER
        self.deadline = NEVER
        self.closed = False
        self.used = 0  # exchanges so far

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
            detail = f"{self.endpoint_label} sent what is no valid response: {error}"
            self.abort(GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail))
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
        self.closed = True  # no more requests; the loop closes the transport now

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.deadlines.forget(self)
        if self._failure is None:
            self._end(exc)
        self._reader.forget()
        self._wake()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self.owner is not None:
            self.owner.lost(self)

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
                f"{self.endpoint_label} closed the connection {what}",
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
            self.abort(None)
            return
        if now < self._exchange_ends and self._takes_request():
            self._set_deadline(self._idle_seconds)
            return
        if now >= self._exchange_ends:
            detail = f"the exchange with {self.endpoint_label} took longer than the route's total time-out"
        elif self._reader.phase is BODY:
            detail = f"{self.endpoint_label} sent nothing more of its response for {self._idle_seconds:g} s"
        elif self._request_sent:
            detail = f"{self.endpoint_label} sent no response in time"
        else:
            detail = f"{self.endpoint_label} took no more of the request for {self._idle_seconds:g} s"
        self.abort(GatewayError(ErrorKind.UPSTREAM_TIMEOUT, detail))

    def _takes_request(self) -> bool:
        """Whether the upstream took any of the request since the clock was set, if slowly."""
        return not self._request_sent and self._writer.unsent < self._unsent

    # One exchange.

    def begin(
        self,
        method: str,
        head: bytes,
        exchange_ends: float,
        idle_seconds: float,
        response_seconds: float | None,
        *,
        upgrade: bool = False,
    ) -> None:
        """Send a request head. The connection is open, and in no other exchange.

        `response_seconds` is given where the request is complete without a body, so that the response is due;
        `upgrade` where it asks for one, which a 101 may answer.
        """
        self.used += 1
        self._reader.begin(method, upgrade=upgrade)
        self._failure = None
        self._request_sent = response_seconds is not None
        self._exchange_ends = exchange_ends
        self._idle_seconds = idle_seconds
        self._set_deadline(idle_seconds if response_seconds is None else response_seconds)
        self._writer.write(head)

    async def upload(
        self, body: Body, *, chunked: bool, expecting: bool, allowed: Callable[[Headers], Headers]
    ) -> bool:
        """Send the body as it comes, no faster than the upstream takes it; of its trailers, those that are allowed.

        `expecting`: the head asked whether it is wanted. Returns whether all of it was sent.
        """
        if expecting and not await self._is_wanted():
            return False
        while True:
            if self._reader.phase is HEAD:
                self.deadline = self._exchange_ends  # it is the client's turn, whom the server keeps an eye on
            piece = await body.read()
            if self.closed:
                return False
            if not piece:
                break
            self._writer.write(encode_chunk(piece) if chunked else piece)
            self._set_deadline(self._idle_seconds)
            if self._drained is not None:
                await self._drained
        if chunked:
            self._writer.write(encode_last_chunk(allowed(body.trailers)))
        return True

    async def _is_wanted(self) -> bool:
        """Wait for a 100, or for CONTINUE_SECONDS; False where the upstream answered instead (RFC 9110, 10.1.1)."""
        reader = self._reader
        if reader.phase is HEAD and not reader.continued and not self.closed:
            wanted = self._continue = self._loop.create_future()
            timer = self._loop.call_later(CONTINUE_SECONDS, self._go_on)
            try:
                await wanted
            finally:
                self._continue = None
                timer.cancel()
        return reader.phase is HEAD and not self.closed

    def _go_on(self) -> None:
        if self._continue is not None and not self._continue.done():
            self._continue.set_result(None)

    def request_complete(self, response_seconds: float) -> None:
        """All of the request is out: the response head is due."""
        self._request_sent = True
        if self._reader.phase is HEAD:
            self._set_deadline(response_seconds)

    async def response_head(self, pass_hints_on: Callable[[Headers], Awaitable[None]] | None) -> ResponseReader:
        """Wait for the head of the final response. Raises GatewayError."""
        reader = self._reader
        while reader.phase is HEAD:
            if self._failure is not None:
                raise self._failure
            await self._wait()
            if reader.early_hints:
                hints, reader.early_hints = reader.early_hints, []
                for links in hints:
                    if pass_hints_on is not None and links:
                        await pass_hints_on(links)
        if self._failure is not None and reader.phase is not DONE:
            raise self._failure  # its body failed before anything of it was passed on
        return reader

    def use_idle_timeout(self, seconds: float) -> None:
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

    def finish(self, *, reusable: bool) -> None:
        """The exchange is over. What is not fit for another one is closed."""
        done = self._request_sent and self._reader.phase is DONE
        read_on = self._waiter is not None  # what comes next must not be read by one who still waits for this
        fit = reusable and done and not read_on and self._reader.reusable and not self.closed
        if fit and self.owner is not None:
            self._resume()
            self._reader.phase = IDLE
            self.deadline = NEVER
            self.owner.released(self)
        else:
            self.abort(None)

    def switch(self, frames: FrameReader, turns: ClientTurns) -> Side:
        """After a 101: one end of a tunnel in place of this. What has come behind the head is its first."""
        self.deadlines.forget(self)
        reader = self._reader
        reader.forget()
        return Side(self._transport, reader.behind, frames, self._buffer, turns, masks=True)

    def abort(self, failure: GatewayError | None) -> None:
        """Close at once; `failure` is what those who wait for this connection are told."""
        if failure is not None and self._failure is None:
            self._failure = failure
        self.closed = True
        self.deadline = NEVER
        self._writer.abort()
        self._wake()

    def expire_after(self, seconds: float) -> None:
        """Idle from now on: close in `seconds`, unless an exchange begins."""
        self.deadline = self._loop.time() + seconds

    def keep_alive_hint(self) -> float | None:
        """Seconds for which the upstream says that it keeps an idle connection (`Keep-Alive: timeout=5`)."""
        hint = self._reader.fields.get(b"keep-alive")
        if hint is None:
            return None
        for parameter in hint.split(b","):
            key, _, number = parameter.strip().partition(b"=")
            if key.lower() == b"timeout" and number.isdigit():
                return float(number)
        return None

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
        if self._continue is not None and (self._reader.continued or self._reader.phase is not HEAD or self.closed):
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
        if not self._reading and not self.closed:
            self._reading = True
            self._set_deadline(self._idle_seconds)
            self._transport.resume_reading()
