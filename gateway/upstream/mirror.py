"""Copies of requests for another service, whose answers no client gets: they are compared, and counted."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from copy import copy
from dataclasses import dataclass
from typing import Final

from gateway.deadlines import NEVER
from gateway.errors import GatewayError
from gateway.http import Body, Exchange, Handler, Response, WholeBody, WrappedBody

logger = logging.getLogger("gateway.upstream")

AT_ONCE: Final = 16  # copies on their way
WAITING: Final = 256  # copies that wait for one of these to end
WAITING_BYTES: Final = 8 * 1024**2  # of them
SECONDS: Final = 30.0  # that a copy may take
READ: Final = 1024**2  # bytes of an answer, after which its connection is closed


class MirrorCopy:
    """A request to be sent to the mirror, and what the real one had for an answer."""

    __slots__ = ("exchange", "handler", "seconds", "size", "status")

    def __init__(self, handler: Handler, exchange: Exchange, body: bytes | None, status: int, seconds: float) -> None:
        self.handler = handler
        # The same request, to be sent by itself.
        made = copy(exchange)
        made.deferred = None
        made.body = None if body is None else WholeBody(body, [])
        made.span = None  # what is asked of a mirror is no part of what the client asked for
        made.attempts = ()
        made.decisions = ()
        made.deadline = NEVER
        made.expectation = None
        made.early_hints = None
        made.error = None
        self.exchange = made
        self.size = len(body or b"") + sum(len(name) + len(value) for name, value in exchange.headers)
        self.status = status
        self.seconds = seconds


class MirrorQueue:
    """The copies for one mirror of one route. Bounded in number and in bytes; what does not fit is dropped."""

    def __init__(self, route: str, target: str) -> None:
        self.route = route
        self.target = target
        self.sent = 0  # copies
        self.dropped = 0  # because the queue was full
        self.left_out = 0  # because their body was too large, or not read to its end
        self.failed = 0  # without an answer
        self.same = 0  # with the status of the real answer
        self.different = 0
        self.real_seconds = 0.0  # of those that were answered, until the head: of the real ones, and of the copies
        self.mirror_seconds = 0.0
        self._waiting: deque[MirrorCopy] = deque()
        self._bytes = 0
        self._running: set[asyncio.Task[None]] = set()

    def offer(self, mirrored: MirrorCopy) -> None:
        """Send it, at once or when others have ended; drop it where too many wait. Never waits itself."""
        if len(self._running) < AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._work(mirrored))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        elif len(self._waiting) < WAITING and self._bytes + mirrored.size <= WAITING_BYTES:
            self._waiting.append(mirrored)
            self._bytes += mirrored.size
        else:
            self.dropped += 1

    async def stop(self) -> None:
        """Give up what is on its way: no client waits for it."""
        self._waiting.clear()
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _work(self, mirrored: MirrorCopy) -> None:
        following: MirrorCopy | None = mirrored
        while following is not None:
            self.sent += 1
            began = time.perf_counter()
            try:
                async with asyncio.timeout(SECONDS):
                    response = await following.handler(following.exchange)
                    seconds = time.perf_counter() - began
                    await _read(response)
            except (GatewayError, TimeoutError):
                self.failed += 1
            except Exception:
                self.failed += 1
                logger.exception("a copy of a request of route %s for %s failed", self.route, self.target)
            else:
                if response.status == following.status:
                    self.same += 1
                else:
                    self.different += 1
                self.real_seconds += following.seconds
                self.mirror_seconds += seconds
            finally:
                following.exchange.close()
            following = self._waiting.popleft() if self._waiting else None
            self._bytes -= following.size if following is not None else 0


@dataclass(frozen=True, slots=True)
class Mirroring:
    """A handler some of whose requests are copied, when they are over. A Handler."""

    handler: Handler
    mirror: Handler
    queue: MirrorQueue
    share: float  # of 1
    max_body: int

    async def __call__(self, exchange: Exchange) -> Response:
        """The response of `handler`; a copy of the request may be sent to the mirror."""
        if exchange.websocket or random.random() >= self.share:
            return await self.handler(exchange)
        kept: Kept | None = None
        if exchange.body is not None:
            kept = Kept(exchange.body, self.max_body)
            exchange.body = WrappedBody(exchange.body, kept.read)
        answered = Answered()
        exchange.defer(lambda: self._over(exchange, kept, answered))
        began = time.perf_counter()
        response = await self.handler(exchange)
        answered.status, answered.seconds = response.status, time.perf_counter() - began
        return response

    def _over(self, exchange: Exchange, kept: Kept | None, answered: Answered) -> None:
        """The request is over, and its body is known: as far as it was read, which is all of it or nothing."""
        if not answered.status:
            return  # there is nothing to compare with
        body = kept.whole() if kept is not None else None
        if kept is not None and body is None:
            self.queue.left_out += 1
            return
        self.queue.offer(MirrorCopy(self.mirror, exchange, body, answered.status, answered.seconds))

    def describe(self, exchange: Exchange) -> str:
        """See `Layer`."""
        return f"mirror: {self.share:.0%} of the requests are copied to {self.queue.target}"

    def inner(self, exchange: Exchange) -> Handler:
        """See `Layer`."""
        return self.handler


class Answered:
    """The client's response."""

    __slots__ = ("seconds", "status")

    def __init__(self) -> None:
        self.status = 0  # none
        self.seconds = 0.0  # until the head


class Kept:
    """A copy of a request body that is read through this, up to a limit."""

    __slots__ = ("_body", "_complete", "_limit", "_pieces", "_size")

    def __init__(self, body: Body, limit: int) -> None:
        self._body = body
        self._pieces: list[bytes] = []
        self._size = 0
        self._limit = limit
        self._complete = False

    async def read(self) -> bytes:
        """The next piece."""
        data = await self._body.read()
        self._complete = self._complete or not data
        self._size += len(data)
        if self._size <= self._limit:
            self._pieces.append(data)
        else:
            self._pieces.clear()
        return data

    def whole(self) -> bytes | None:
        """All of it; None where it is too large, or was not read to its end."""
        return b"".join(self._pieces) if self._complete and self._size <= self._limit else None


async def _read(response: Response) -> None:
    """Read an answer, so that its connection can serve others, unless it is long."""
    body, size = response.body, 0
    if isinstance(body, bytes):
        return
    while (piece := await body.read()) and size < READ:
        size += len(piece)
