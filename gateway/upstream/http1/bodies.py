"""Bodies on a connection of HTTP/1.1: the request's on its way to the endpoint, the response's on its way back."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final, Protocol

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Body, Exchange, Headers, WholeBody
from gateway.http.bodies import Flowing, Take, chunk, trailers_of
from gateway.http.messages import Attempt
from gateway.outbox import Writer
from gateway.upstream.http1.codec import DONE, HEAD, ResponseReader, encode_last_chunk
from gateway.upstream.request import Request, Timeouts, announced_length, request_trailers
from gateway.upstream.tls import Named

logger = logging.getLogger("gateway.upstream")

AT_ONCE: Final = 256 * 1024  # bytes of a request body that is written with the head
CONTINUE_SECONDS: Final = 1.0  # that the upstream has to say 100 before it is sent the body nevertheless


class Line(Protocol):
    """The interface of a connection for bodies."""

    label: str  # of the endpoint
    named: Named  # how the files lead to it
    reader: ResponseReader
    writer: Writer
    closed: bool
    failure: GatewayError | None  # why nothing more comes
    drained: asyncio.Future[None] | None  # set while the upstream takes nothing
    wanted: asyncio.Future[None] | None  # set while a 100 is waited for
    flowing: StreamedBody | None  # takes what comes of the response, while `wait` waits for more
    deadline: float  # loop time
    exchange_ends: float  # the same
    idle_seconds: float
    timeouts: Timeouts  # of the exchange
    request_sent: bool
    asked: float  # time.perf_counter(), when all of the request was sent
    used: int  # exchanges that were begun

    def set_deadline(self, seconds: float) -> None:
        """Set a deadline, from now."""
        ...

    async def wait(self) -> None:
        """Wait until data or the end has arrived."""
        ...

    def pause(self) -> None:
        """Stop reading."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def finish(self) -> None:
        """The exchange is over."""
        ...

    def close(self) -> None:
        """Close at once."""
        ...

    def abort(self, failure: GatewayError | None) -> None:
        """The same, for this reason."""
        ...


def sent_at_once(line: Line, request: Request, body: Body, attempt: Attempt) -> bool:
    """Send a small body that is there as a whole with the head, in one write; False where it is to be uploaded."""
    if not isinstance(body, WholeBody):
        return False
    length = announced_length(request.exchange)
    data = body.take(AT_ONCE) if length >= 0 else b""
    if not data:
        return False
    if len(data) != length:
        raise _misfit(request.exchange, len(data), length)
    attempt.sent = len(data)
    line.writer.write(data)
    line.request_sent = True
    line.asked = time.perf_counter()
    line.set_deadline(request.timeouts.response_header)
    return True


async def upload(line: Line, request: Request, body: Body, attempt: Attempt, *, expecting: bool) -> None:
    """Send the request body beside the wait for the response, which may come before all of it is sent, or any."""
    try:
        if await _send(line, request, body, attempt, expecting):
            line.request_sent = True
            line.asked = time.perf_counter()
            if line.reader.phase is HEAD:
                line.set_deadline(request.timeouts.response_header)
    except GatewayError as error:
        line.abort(error)
    except Exception:
        logger.exception("the request body for %s could not be read", line.label)
        line.abort(GatewayError(ErrorKind.INTERNAL, "the request body could not be read"))


async def _send(line: Line, request: Request, body: Body, attempt: Attempt, expecting: bool) -> bool:
    """Send the body as it comes, no faster than the upstream takes it. Returns whether all of it was sent."""
    if expecting and not await _is_wanted(line):
        return False
    length, writer = announced_length(request.exchange), line.writer
    chunked = length < 0
    while True:
        if line.reader.phase is HEAD:
            line.deadline = line.exchange_ends  # it is the client's turn, whom the server keeps an eye on
        piece = await body.read()
        if line.closed:
            return False
        if not piece:
            break
        if not chunked and attempt.sent + len(piece) > length:  # the endpoint would take the rest for a request
            raise _misfit(request.exchange, attempt.sent + len(piece), length)
        attempt.sent += len(piece)
        writer.write(chunk(piece) if chunked else piece)
        line.set_deadline(line.idle_seconds)
        drained = line.drained
        if drained is not None:
            await drained
    if (attempt.sent < length) if not chunked else _is_consumed(request.exchange, attempt):
        raise _misfit(request.exchange, attempt.sent, length)
    if chunked:
        writer.write(encode_last_chunk(request_trailers(request.exchange, trailers_of(body))))
    return True


def _is_consumed(exchange: Exchange, attempt: Attempt) -> bool:
    """Whether nothing came of a body of unknown length because an attempt before this one has sent it."""
    return not attempt.sent and any(earlier.sent for earlier in exchange.attempts)


def _misfit(exchange: Exchange, size: int, length: int) -> GatewayError:
    """The failure of a body that is not what was announced. Clients are held to that, so it was changed here."""
    found = f"{size} bytes, and {length} are announced" if length >= 0 else "nothing left, as it was sent before"
    detail = (
        f"the request body has {found}: a body can be read and sent once, so a policy that reads it, or hands the "
        "request on twice, has to read it whole, and set exchange.body = WholeBody(data, []) before each handler call"
    )
    logger.error("request %s: %s", exchange.request_id, detail)
    return GatewayError(ErrorKind.INTERNAL, detail)


async def _is_wanted(line: Line) -> bool:
    """Wait for a 100, or for CONTINUE_SECONDS; False where the upstream answered instead (RFC 9110, 10.1.1)."""
    reader = line.reader
    if reader.phase is HEAD and not reader.continued and not line.closed:
        loop = asyncio.get_running_loop()
        wanted = line.wanted = loop.create_future()
        timer = loop.call_later(CONTINUE_SECONDS, go_on, wanted)
        try:
            await wanted
        finally:
            line.wanted = None
            timer.cancel()
    return reader.phase is HEAD and not line.closed


def go_on(waiter: asyncio.Future[None]) -> None:
    """End a wait, if it has not ended."""
    if not waiter.done():
        waiter.set_result(None)


async def pass_hints_on(reader: ResponseReader, exchange: Exchange) -> None:
    """Send the links of received 103 responses to the client (RFC 8297), before the response and its body."""
    hints, reader.early_hints = reader.early_hints, []
    pass_on = exchange.early_hints
    for links in hints:
        if pass_on is not None and links:
            await pass_on(links)


class StreamedBody(Flowing):
    """A response body on its way, until `close`, after which the connection may be another's."""

    __slots__ = ("_attempt", "_failure", "_line", "_more", "_over", "_reader", "_take", "_upload")

    def __init__(self, line: Line, attempt: Attempt, upload: asyncio.Task[None] | None) -> None:
        self._line = line
        self._reader = line.reader
        self._attempt = attempt
        self._upload = upload
        self._over = False
        self._take: Take | None = None  # what takes it as it comes
        self._more = True  # that would take another piece
        self._failure: Exception | None = None  # of that

    @property
    def trailers(self) -> Headers:
        return self._reader.trailers if not self._over else []

    @property
    def ready(self) -> bool:
        reader = self._reader
        return self._over or reader.buffered > 0 or reader.phase is DONE or self._line.failure is not None

    async def read(self) -> bytes:
        while (data := self._taken()) is None:
            await self._line.wait()
        return data

    async def flow(self, take: Take) -> bool:
        line, self._take, self._more = self._line, take, True
        while self._more:
            data = self._taken()
            if data is None:
                line.flowing = self
                try:
                    await line.wait()
                finally:
                    line.flowing = None
                if self._failure is not None:
                    raise self._failure
            elif not data:
                return False
            else:
                self._more = take(data)
        return True

    def hand_on(self, *, rests: bool) -> bool:
        """Have what has come taken by who waits for it. Returns whether that goes on: if it `rests`, after a turn."""
        data = self._reader.take()
        if data and self._take is not None:
            self._attempt.received += len(data)
            try:
                self._more = self._take(data)
            except Exception as error:
                self._failure, self._more = error, False
        if self._more and rests:
            self._line.pause()
            asyncio.get_running_loop().call_soon(self._line.resume)
        return self._more

    def _taken(self) -> bytes | None:
        """What has come and was not read; empty at the end, None where more is to be waited for."""
        line = self._line
        if self._over:
            raise GatewayError(ErrorKind.UPSTREAM_RESET, f"the response of {line.label} was closed")
        if data := self._reader.take():
            line.resume()
            self._attempt.received += len(data)
            return data
        if self._reader.phase is DONE:
            return b""
        failure = line.failure
        if failure is not None:
            self._attempt.failure = failure.kind
            raise failure
        return None

    def close(self) -> None:
        if self._over:
            return
        self._over = True
        self._attempt.took = time.perf_counter() - self._attempt.started
        upload, self._upload = self._upload, None  # whose context may have custom code in it that has this
        if upload is None or upload.done():
            self._line.finish()
        else:
            upload.cancel()
            self._line.close()
        self._attempt.end()
