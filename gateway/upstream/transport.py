"""Connections to endpoints: sockets, time-outs and backpressure around the codec in `http1`.

All connections of one loop read into one shared buffer: what the parser keeps of it, it copies, and a read ends
before the next one begins. So a connection that waits costs no buffer, and one whose client does not read holds
at most what it had when it was paused: HIGH_WATER and one buffer more.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

from gateway.deadlines import NEVER, Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Body, Headers
from gateway.upstream.http1 import BadResponse, CutShort, Phase, ResponseReader, encode_chunk, encode_last_chunk

READ_BUFFER = 64 * 1024  # bytes
HIGH_WATER = 32 * 1024  # bytes of a response body not yet taken, above which the socket is no longer read


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
        "_deadlines",
        "_drained",
        "_exchange_ends",
        "_failure",
        "_idle_seconds",
        "_loop",
        "_owner",
        "_reader",
        "_reading",
        "_request_sent",
        "_transport",
        "_waiter",
        "closed",
        "deadline",
        "endpoint_label",
        "used",
    )

    def __init__(self, owner: Owner, label: str, buffer: memoryview, deadlines: Deadlines) -> None:
        self._owner = owner
        self.endpoint_label = label
        self._buffer = buffer
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._reader = ResponseReader()
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._failure: GatewayError | None = None
        self._reading = True
        self._request_sent = False
        self._idle_seconds = NEVER
        self._exchange_ends = NEVER
        self.deadline = NEVER
        self.closed = False
        self.used = 0  # exchanges so far

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self._deadlines.watch(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        reader = self._reader
        try:
            reader.feed(self._buffer[:nbytes])
        except BadResponse as error:
            self.abort(GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, f"{self.endpoint_label} sent {error}"))
            return
        if reader.phase is Phase.BODY:
            self._set_deadline(self._idle_seconds)
            if reader.buffered > HIGH_WATER:
                self._pause()
        self._wake()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._deadlines.forget(self)
        if self._failure is None:
            self._end(exc)
        self._wake()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._owner.lost(self)

    def _end(self, exc: Exception | None) -> None:
        """The upstream closed: as it may, or in the middle of something."""
        try:
            if exc is not None and self._reader.phase is not Phase.DONE:
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
        if self._reader.phase is Phase.IDLE:
            self.abort(None)
            return
        if now >= self._exchange_ends:
            detail = f"the exchange with {self.endpoint_label} took longer than the route's total time-out"
        elif self._reader.phase is Phase.BODY:
            detail = f"{self.endpoint_label} sent nothing more of its response for {self._idle_seconds:g} s"
        elif self._request_sent:
            detail = f"{self.endpoint_label} sent no response in time"
        else:
            detail = f"{self.endpoint_label} took no more of the request for {self._idle_seconds:g} s"
        self.abort(GatewayError(ErrorKind.UPSTREAM_TIMEOUT, detail))

    # One exchange.

    def begin(self, method: str, head: bytes, *, exchange_ends: float, idle_seconds: float) -> None:
        """Send a request head, with as much of the body as is at hand behind it."""
        self.used += 1
        self._reader.begin(method)
        self._failure = None
        self._request_sent = False
        self._exchange_ends = exchange_ends
        self._idle_seconds = idle_seconds
        self._set_deadline(idle_seconds)
        self._transport.write(head)

    async def upload(self, body: Body, *, chunked: bool) -> None:
        """Send the body as it comes, no faster than the upstream takes it."""
        while piece := await body.read():
            if self.closed:
                return
            self._transport.write(encode_chunk(piece) if chunked else piece)
            self._set_deadline(self._idle_seconds)
            if self._drained is not None:
                await self._drained
        if chunked:
            self._transport.write(encode_last_chunk(body.trailers))

    def request_complete(self, response_seconds: float) -> None:
        """All of the request is out: the response head is due."""
        self._request_sent = True
        if self._reader.phase is Phase.HEAD:
            self._set_deadline(response_seconds)

    async def response_head(self, pass_hints_on: Callable[[Headers], Awaitable[None]] | None) -> ResponseReader:
        """Wait for the head of the final response. Raises GatewayError."""
        reader = self._reader
        while reader.phase is Phase.HEAD:
            if self._failure is not None:
                raise self._failure
            await self._wait()
            if reader.early_hints:
                hints, reader.early_hints = reader.early_hints, []
                for links in hints if pass_hints_on else ():
                    await pass_hints_on(links)  # type: ignore[misc]
        return reader

    def use_idle_timeout(self, seconds: float) -> None:
        """From here on, how long the response may pause."""
        self._idle_seconds = seconds
        if self._reader.phase is Phase.BODY and self._reading:
            self._set_deadline(seconds)

    @property
    def response_complete(self) -> bool:
        """Whether all of the response has come."""
        return self._reader.phase is Phase.DONE

    @property
    def has_data(self) -> bool:
        """Whether `read_body` would answer at once."""
        return self._reader.buffered > 0 or self._reader.phase is Phase.DONE or self._failure is not None

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
            if reader.phase is Phase.DONE:
                return b""
            if self._failure is not None:
                raise self._failure
            await self._wait()

    def finish(self, *, reusable: bool) -> None:
        """The exchange is over. What is not fit for another one is closed."""
        if reusable and self._reader.phase is Phase.DONE and self._reader.reusable and not self.closed:
            self._resume()
            self._reader.phase = Phase.IDLE
            self._owner.released(self)
        else:
            self.abort(None)

    def abort(self, failure: GatewayError | None) -> None:
        """Close at once; `failure` is what those who wait for this connection are told."""
        if failure is not None and self._failure is None:
            self._failure = failure
        self.closed = True
        self.deadline = NEVER
        self._transport.abort()
        self._wake()

    def expire_after(self, seconds: float) -> None:
        """Idle from now on: close in `seconds`, unless an exchange begins."""
        self.deadline = self._loop.time() + seconds

    def keep_alive_hint(self) -> float | None:
        """Seconds for which the upstream says that it keeps an idle connection (`Keep-Alive: timeout=5`)."""
        for name, value in self._reader.headers:
            if name == b"keep-alive":
                for parameter in value.split(b","):
                    key, _, number = parameter.strip().partition(b"=")
                    if key.lower() == b"timeout" and number.isdigit():
                        return float(number)
        return None

    # Waiting, and being waited for.

    async def _wait(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _set_deadline(self, seconds: float) -> None:
        deadline = self._loop.time() + seconds
        self.deadline = deadline if deadline < self._exchange_ends else self._exchange_ends

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()
            self.deadline = self._exchange_ends  # it is the client who is slow now

    def _resume(self) -> None:
        if not self._reading and not self.closed:
            self._reading = True
            self._set_deadline(self._idle_seconds)
            self._transport.resume_reading()


class Resolver:
    """Host names to addresses, remembered for TTL seconds, and longer while the name service does not answer."""

    TTL = 10.0  # seconds
    LIMIT = 4096  # names

    def __init__(self, fixed: dict[str, str]) -> None:
        self._fixed = fixed
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """Every address of a host. Raises OSError where there is none."""
        if host in self._fixed:
            return [self._fixed[host]]
        loop = asyncio.get_running_loop()
        now = loop.time()
        known = self._known.get((host, port))
        if known and now < known[0]:
            return known[1]
        try:
            found = await loop.getaddrinfo(host, port, type=1)
        except OSError:
            if known:
                return known[1]
            raise
        addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
        if len(self._known) >= self.LIMIT:
            self._known.clear()
        self._known[host, port] = (now + self.TTL, addresses)
        return addresses


class Connector:
    """Opens connections. One for each event loop; owns the read buffer that they share."""

    def __init__(self, deadlines: Deadlines, resolver: Resolver) -> None:
        self._deadlines = deadlines
        self._resolver = resolver
        self._buffer = memoryview(bytearray(READ_BUFFER))

    async def connect(
        self, owner: Owner, host: str, port: int, *, tls: ssl.SSLContext | None, server_name: str, seconds: float
    ) -> Connection:
        """A new connection. Raises GatewayError, always retryable: nothing of a request was sent."""
        label = f"{host}:{port}"
        try:
            async with asyncio.timeout(seconds):
                return await self._first(owner, host, port, label, tls, server_name)
        except TimeoutError:
            detail = f"{label} did not accept a connection within {seconds:g} s"
            raise GatewayError(ErrorKind.UPSTREAM_CONNECT_TIMEOUT, detail, retryable=True) from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or "the handshake failed"
            raise GatewayError(ErrorKind.UPSTREAM_TLS, f"{label}: {reason}", retryable=True) from error
        except OSError as error:
            raise _connect_failure(label, error) from error

    async def addresses(self, host: str, port: int) -> list[str]:
        """Every address of a host, at least one. Raises GatewayError."""
        try:
            return await self._resolver.addresses(host, port)
        except OSError as error:
            detail = (
                f"{host} does not resolve ({error.strerror or error}): check the target's name and the name service"
            )
            raise GatewayError(ErrorKind.UPSTREAM_UNRESOLVED, detail, retryable=True) from error

    async def _first(
        self, owner: Owner, host: str, port: int, label: str, tls: ssl.SSLContext | None, server_name: str
    ) -> Connection:
        """A connection to the first of the host's addresses that accepts one."""
        addresses = await self.addresses(host, port)
        failure: OSError | None = None
        for address in addresses:
            try:
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(owner, label, self._buffer, self._deadlines),
                    address,
                    port,
                    ssl=tls,
                    server_hostname=server_name if tls else None,
                )
            except OSError as error:
                failure = error
            else:
                return connection
        raise failure or OSError("no address")


def _connect_failure(label: str, error: OSError) -> GatewayError:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        detail = "out of file descriptors: raise the limit (ulimit -n), or lower limits.connections"
        return GatewayError(ErrorKind.OVERLOADED, detail)
    reason = error.strerror or str(error) or type(error).__name__
    return GatewayError(ErrorKind.UPSTREAM_REFUSED, f"{label}: {reason}", retryable=True)
