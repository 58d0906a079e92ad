"""One request of a client of ours: drives the gateway that answers it, and hands it the body as it comes.

What a version of HTTP has of its own is in a subclass (`http1/channel.py`): how a response is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, Final, Protocol

from gateway.app.channel import Channel
from gateway.driver import Driver, GivenUp
from gateway.errors import ErrorKind, GatewayError, without_frames
from gateway.http import Headers, Outcome, Response
from gateway.http.bodies import Expectation
from gateway.http.messages import RequestHead
from gateway.server.context import ServerContext
from gateway.server.request_tasks import RequestTask, run_in_task

BODY_HIGH_WATER: Final = 64 * 1024  # bytes of a request body that were not read yet, above which the client waits

_END: Final = object()


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


class Serving(Driver):
    """Drives the coroutine that answers one request, until that needs a task, which then has the rest of it."""

    __slots__ = ("_awaited", "_context", "_coroutine", "_given_up", "_over", "_steps", "_task")

    def __init__(self, context: ServerContext, channel: Channel) -> None:
        self.by_hand = True
        self._context = context
        self._coroutine: Coroutine[Any, None, None] = context.gateway.serve(channel)
        self._steps = self._coroutine.__await__()
        self._awaited: asyncio.Future[Any] | None = None
        self._task: RequestTask | None = None  # that has the rest
        self._given_up = self._over = False

    def __await__(self) -> Generator[Any, None, None]:
        yield self

    def resume(self, error: BaseException | None = None) -> None:
        if self._given_up and error is None:
            return  # until that has its turn
        try:
            if error is None:
                awaited: Any = next(self._steps, _END)  # `send` would raise an exception with every request
            else:
                awaited = self._coroutine.throw(error)
        except (StopIteration, asyncio.CancelledError):
            self._over = True
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as fault:
            self._over = True
            self._context.loop.call_exception_handler({"message": "a request was not answered", "exception": fault})
        else:
            if awaited is _END:
                self._over = True
            elif awaited is None:
                self.by_hand = False
                self._task = run_in_task(self._context, self._coroutine)
            elif awaited is not self:
                awaited._asyncio_future_blocking = False
                awaited.add_done_callback(self._done)
                self._awaited = awaited

    def cancel(self) -> None:
        """Stop everything that is done for the request, in the next turn of the loop."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._given_up = True
            self._context.loop.call_soon(self._give_up)

    def _done(self, awaited: asyncio.Future[Any]) -> None:
        if awaited is self._awaited:
            self._awaited = None
            self.resume()

    def _give_up(self) -> None:
        if not self._over:
            self._given_up = False
            awaited, self._awaited = self._awaited, None
            if awaited is not None:
                awaited.cancel()
            self.resume(GivenUp())


class ServerChannel(Channel):
    """Created when a request head is complete; over when its response is."""

    __deletable__ = ["_carrier"]  # noqa: RUF012  for the compiler

    response_started: bool = False
    response_complete: bool = False
    _serving: Serving | None = None  # set while it is answered
    _left: bool = False  # its client has
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

    def start(self, *, at_once: bool = True) -> None:
        """Answer the request, before this returns if nothing is to be waited for; or in the next turn of the loop.

        `at_once` only where a callback of the loop is what runs: no task, and no other request.
        """
        if not at_once:
            self._context.loop.call_soon(self.start)
        elif not self._left:
            if self._expects_continue:
                self.expectation = Expectation()
            self.driver = self._serving = serving = Serving(self._context, self)
            serving.resume()

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
        self._left = True
        self._wake()
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
            if self._failure is not None or self.response_complete or self._left:
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
        self.driver = self._serving = None
        if self._failure is not None:
            without_frames(self._failure)  # it may have been raised
