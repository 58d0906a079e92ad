"""One request to an application, and the Body of its response."""

from __future__ import annotations

import asyncio
import logging
from enum import Enum
from typing import Any

from gateway.custom_code import is_failure, place_of
from gateway.deadlines import NEVER, Deadlines
from gateway.errors import ErrorKind, GatewayError, without_frames
from gateway.http import Exchange, Headers, Response
from gateway.http.bodies import Message
from gateway.upstream.asgi.messages import AsgiCallable, BadMessage, data_of, headers_of, status_of
from gateway.upstream.asgi.running import Running
from gateway.upstream.request import Timeouts

logger = logging.getLogger("gateway.asgi")


class _Phase(Enum):
    START = "http.response.start"  # the message that comes next
    BODY = "http.response.body"
    COMPLETE = "nothing"


class Answer:
    """The application is one message ahead of the client at most. What it does after its response is complete
    (background tasks) is its own affair; before that, it is cancelled when the response is no longer wanted. Where it
    is told so, because it listens for that, it may finish what it has to do.
    """

    def __init__(
        self, exchange: Exchange, name: str, running: Running, timeouts: Timeouts, deadlines: Deadlines
    ) -> None:
        self._exchange = exchange
        self._name = name
        self._running = running
        self._timeouts = timeouts
        self._idle = timeouts.idle
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None]
        self._phase = _Phase.START
        self._waiting: Response | bytes | None = None  # what was sent, and not taken yet
        self._came = asyncio.Event()
        self._taken = asyncio.Event()
        self._owed: int | None = None  # bytes of the announced length that have not come yet
        self._bodyless = exchange.method == "HEAD"
        self._body_over = exchange.body is None
        self._reading = asyncio.Lock()  # the body has one reader at a time
        self._listeners = 0  # calls that wait for the end
        self._end_sent = False  # that the request body is over
        self._ended = False  # nothing more is read, or nothing more will come
        self._closed = False
        self._disconnected = asyncio.Event()
        self._failure: GatewayError | None = None
        self.deadline = NEVER
        self.trailers: Headers = []

    def begin(self, app: AsgiCallable, scope: dict[str, Any]) -> None:
        """Call the application."""
        self._task = self._running.begin(self._run(app, scope))
        self._due(self._timeouts.response_header if self._body_over else self._idle)
        self._deadlines.watch(self)

    async def _run(self, app: AsgiCallable, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._send)
        except BaseException as error:
            gone = self._ended and isinstance(error, OSError)  # it noticed what `_send` raises
            if is_failure(error) and not gone and self._failure is None:
                place = place_of(error)
                logger.exception("%s failed on request %s at %s", self._name, self._exchange.request_id, place)
        if self._phase is not _Phase.COMPLETE:
            self._end(None)

    async def response(self) -> Response:
        """The start of the response. Raises GatewayError."""
        try:
            start = await self._next()
        except BaseException:
            self.close()
            raise
        assert isinstance(start, Response)
        return start

    async def _next(self) -> Response | bytes:
        while (came := self._waiting) is None:
            if self._ended:
                raise self._failure or self._cut_short()
            self._came.clear()
            await self._came.wait()
        self._waiting = None
        self._taken.set()
        self._due(NEVER)  # it is the client's turn
        return came

    def _cut_short(self) -> GatewayError:
        if self._phase is _Phase.START:
            return GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, f"{self._name} ended without a response")
        return GatewayError(ErrorKind.UPSTREAM_RESET, f"{self._name} ended in the middle of its response")

    def _due(self, seconds: float) -> None:
        self.deadline = min(self._loop.time() + seconds, self._exchange.deadline)

    def expired(self, now: float) -> None:
        """The application, or the exchange as a whole, takes too long."""
        if self._phase is _Phase.COMPLETE:
            self.deadline = NEVER
            return
        limits = self._timeouts
        if now >= self._exchange.deadline:
            total = "the route's total time-out" if limits.total == NEVER else limits.said_of_total
            detail = f"the exchange with {self._name} took longer than {total}"
        elif self._phase is not _Phase.START:
            detail = f"{self._name} sent nothing more of its response for {self._idle:g} s ({limits.idle_key})"
        elif self._body_over:
            detail = f"{self._name} sent no response within {limits.said_of_header}"
        else:
            detail = f"{self._name} took no more of the request for {self._idle:g} s ({limits.idle_key})"
        self._end(GatewayError(ErrorKind.UPSTREAM_TIMEOUT, detail))
        self._task.cancel()

    def _end(self, failure: GatewayError | None) -> None:
        """End of messages: wake the waiting tasks on both sides."""
        self._failure = self._failure or failure
        self._ended = True
        self._waiting = None
        self.deadline = NEVER
        self._deadlines.forget(self)
        for event in (self._came, self._taken, self._disconnected):
            event.set()

    # What the application calls.

    async def _receive(self) -> Message:
        async with self._reading:
            if not (self._body_over or self._ended):
                return await self._read_body()
            if self._body_over and not self._end_sent:
                self._end_sent = True
                return {"type": "http.request", "body": b"", "more_body": False}
        self._listeners += 1
        try:
            await self._disconnected.wait()
        finally:
            self._listeners -= 1
        return {"type": "http.disconnect"}

    async def _read_body(self) -> Message:
        assert self._exchange.body is not None
        self._due(NEVER)  # it is the client's turn, whom the server keeps an eye on
        try:
            data = await self._exchange.body.read()
        except GatewayError as failure:
            self._end(failure)
            return {"type": "http.disconnect"}
        self._body_over = self._end_sent = not data
        if not self._ended:
            self._due(self._timeouts.response_header if self._body_over else self._idle)
        return {"type": "http.request", "body": data, "more_body": bool(data)}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self._ended:
            raise OSError("the client disconnected")
        if self._phase is _Phase.COMPLETE:
            raise RuntimeError(f"{kind} after the end of the response")
        try:
            if kind != self._phase.value:
                raise BadMessage(f"{kind!r} where {self._phase.value} belongs")
            piece = self._started(message) if self._phase is _Phase.START else self._body(message)
            last = isinstance(piece, bytes) and not message.get("more_body", False)
        except BadMessage as error:
            detail = f"{self._name} sent {error}"
            logger.warning("request %s: %s", self._exchange.request_id, detail)
            self._end(GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail))
            raise
        while self._waiting is not None:
            self._taken.clear()
            await self._taken.wait()
        if not self._ended:
            self._waiting = piece
            self._came.set()
            if last:
                self._phase = _Phase.COMPLETE
                self._disconnected.set()

    def _started(self, message: Message) -> Response:
        status, headers = status_of(message), headers_of(message)
        fields = dict(headers)
        self._bodyless = self._bodyless or status in (204, 304)
        if b"content-length" in fields and not self._bodyless:
            self._owed = int(fields[b"content-length"])
        if fields.get(b"content-type", b"").lower().startswith(b"text/event-stream"):
            self._idle = self._timeouts.event_stream_idle
        self._phase = _Phase.BODY
        return Response(status, headers, self)

    def _body(self, message: Message) -> bytes:
        data = b"" if self._bodyless else data_of(message)
        if self._owed is not None:
            self._owed -= len(data)
            if self._owed < 0 or (self._owed and not message.get("more_body", False)):
                raise BadMessage("a body that is not as long as its Content-Length says")
        return data

    # Body.

    @property
    def ready(self) -> bool:
        """Whether `read` would answer at once."""
        return self._waiting is not None or self._ended

    async def read(self) -> bytes:
        """The next piece."""
        while not (self._phase is _Phase.COMPLETE and self._waiting is None):
            self._due(self._idle)
            data = await self._next()
            assert isinstance(data, bytes)
            if data:
                return data
        if self._ended:
            raise self._failure or self._cut_short()
        return b""

    def close(self) -> None:
        """Stop reading."""
        if self._closed:
            return
        self._closed = True
        if self._failure is not None:
            without_frames(self._failure)  # it may have been raised
        told = self._ended or self._listeners > 0
        if not self._ended:
            self._end(None)
        if self._phase is _Phase.COMPLETE or self._task.cancelling():
            return
        if told:
            self._running.leave(self._task, self._exchange.request_id)
        else:
            self._task.cancel()
