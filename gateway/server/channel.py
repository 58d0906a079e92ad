"""One request of a client of ours: drives the gateway that answers it, and hands it the body as it comes.

What a version of HTTP has of its own is in a subclass (`http1/channel.py`): how a response is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextvars import copy_context
from typing import Final, Protocol

from gateway.app.channel import Channel
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Headers, Outcome, Response
from gateway.http.bodies import Expectation
from gateway.http.messages import RequestHead
from gateway.server.context import ServerContext

MOST_IDLE: Final = 256  # tasks that wait for a request
BODY_HIGH_WATER: Final = 64 * 1024  # bytes of a request body that were not read yet, above which the client waits


class Carrier(Protocol):
    """The connection that a request came on."""

    drained: asyncio.Future[None] | None  # set while the client does not read

    def write(self, data: bytes) -> None:
        """Send bytes to the client."""
        ...

    def resume_reading(self) -> None:
        """Resume reading from the client."""
        ...

    def set_deadline(self) -> None:
        """Set the deadline for what is awaited now."""
        ...

    def answered(self) -> None:
        """All of the response is written."""
        ...

    def abandon(self) -> None:
        """The response is not complete, and never will be: the client must not take it for a whole one."""
        ...

    def accept(self, response: Response, outcome: Outcome) -> Awaitable[None]:
        """Become one end of a WebSocket."""
        ...


class Serving:
    """A task in which requests are answered, one after the other, of whatever connections.

    A task for each request would cost a twentieth of all that a request costs. What code leaves in its task is nothing
    that the next request may find: a task whose context has become another one, as behind custom policies, or that was
    cancelled, answers no other one.
    """

    __slots__ = ("_context", "_next", "_task", "_waiter")

    def __init__(self, context: ServerContext, channel: Channel) -> None:
        self._context = context
        self._next = [channel]  # of the request that is next; at most one
        self._waiter: asyncio.Future[None] | None = None  # set while there is none
        # Whatever runs now may have a context of its own.
        self._task: asyncio.Task[None] = context.loop.create_task(self._serve(), context=context.variables.copy())

    def go_on(self, channel: Channel) -> bool:
        """Answer this request in the next turn of the loop; False where the task is over."""
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return False
        self._next.append(channel)
        waiter.set_result(None)
        return True

    def cancel(self) -> None:
        """Stop everything that is done for the request."""
        self._task.cancel()

    async def _serve(self) -> None:
        context = self._context
        while self._next:
            # Held by nothing here, as it may become a WebSocket, and be open for days.
            await context.gateway.serve(self._next.pop())
            try:
                if len(context.idle) >= MOST_IDLE or self._task.cancelling() or copy_context() != context.variables:
                    return
            except Exception:  # of values of others, which are compared
                return
            context.idle.append(self)
            waiter = self._waiter = asyncio.Future(loop=context.loop)
            await waiter


def serve(context: ServerContext, channel: Channel) -> Serving:
    """Have a request answered, in the next turn of the loop."""
    while context.idle:
        serving: Serving = context.idle.pop()
        if serving.go_on(channel):
            return serving
    return Serving(context, channel)


class ServerChannel(Channel):
    """Created when a request head is complete; over when its response is."""

    __deletable__ = ["_carrier"]  # noqa: RUF012  for the compiler

    response_started: bool = False
    response_complete: bool = False
    _serving: Serving | None = None  # set while it is answered
    _waiter: asyncio.Future[None] | None = None
    _failure: GatewayError | None = None
    _pieces_size: int = 0

    def __init__(
        self,
        context: ServerContext,
        carrier: Carrier,
        head: RequestHead,
        peer: str,
        scheme: str,
        length: int | None,  # bytes of the body; None where they are not announced
        keep_alive: bool,
        expects_continue: bool,  # the client may wait for a 100 before it sends the body
    ) -> None:
        self.head = head
        self.peer = peer
        self.scheme = scheme
        self.keep_alive = keep_alive  # the connection can be used again
        self.has_body = length != 0
        self.body_complete = length == 0
        self.body_left = length or 0  # announced bytes that have not come yet
        self.trailers = []
        self._context = context
        self._carrier = carrier
        self._expects_continue = expects_continue and self.has_body
        self._pieces: list[bytes] = []

    # What the connection calls.

    def start(self) -> None:
        """Answer the request."""
        if self._expects_continue:
            self.expectation = Expectation()
        self._serving = serve(self._context, self)

    def feed(self, data: bytes) -> bool:
        """A piece of the body. Returns whether the client should wait before it sends more."""
        self._expects_continue = False  # it did not wait
        self.body_left -= len(data)
        self._pieces.append(data)
        self._pieces_size += len(data)
        self._wake()
        return self._pieces_size > BODY_HIGH_WATER

    def end_of_body(self, trailers: Headers) -> None:
        """All of the body has come."""
        self.body_complete = True
        self._expects_continue = False
        self.trailers = trailers
        self._wake()

    def fail(self, failure: GatewayError) -> None:
        """The rest of the body will never come; its reader gets the reason."""
        self._failure = failure
        self.keep_alive = False
        self._wake()

    def disconnect(self) -> None:
        """The client went away: stop what is done for it."""
        if self._serving is not None and not self.response_complete:
            self._serving.cancel()

    @property
    def awaits_body(self) -> bool:
        """Whether body bytes are awaited that the client owes."""
        return self._waiter is not None and not self.body_complete

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the gateway calls: the request body.

    @property
    def ready(self) -> bool:
        return len(self._pieces) > 0 or self.body_complete

    async def read(self) -> bytes:
        if self.expectation is not None:
            self.expectation.pending = False
        while not self._pieces:
            if self.body_complete:
                return b""
            if self._failure is not None or self.response_complete:
                raise self._failure or GatewayError(ErrorKind.CLIENT_GONE, "the client went away")
            if self._expects_continue and not self.response_started:
                self._ask_for_body()
            self._expects_continue = False
            self._waiter = self._context.loop.create_future()
            self._carrier.set_deadline()
            try:
                await self._waiter
            finally:
                self._waiter = None
                self._carrier.set_deadline()
        return self._taken()

    def take(self, most: int) -> bytes:
        if not self.body_complete or self._pieces_size > most or not self._pieces or self.trailers:
            return b""
        if self.expectation is not None:
            self.expectation.pending = False
        return self._taken()

    def _taken(self) -> bytes:
        """All that has come and was not read."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._pieces_size = 0
        self.received += len(data)
        self._carrier.resume_reading()
        return data

    def _ask_for_body(self) -> None:
        """Send a 100 (Continue)."""
        raise NotImplementedError

    def close(self) -> None:
        self._pieces.clear()

    def accept(self, response: Response, outcome: Outcome) -> Awaitable[None]:
        return self._carrier.accept(response, outcome)

    def leave(self) -> None:
        """The exchange has become a WebSocket, which may be open for days: release the connection."""
        self.response_complete = True
        del self._carrier

    def over(self) -> None:
        if not self.response_complete:
            self._carrier.abandon()
        self._serving = None
