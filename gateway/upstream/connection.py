"""A connection to an endpoint, whichever protocol it speaks: `http1/` today, `http2/` beside it later."""

from __future__ import annotations

import asyncio
import time

from gateway.deadlines import NEVER, Deadlines
from gateway.errors import GatewayError
from gateway.http.frames import FrameReader
from gateway.http.messages import Attempt, Response
from gateway.turns import ClientTurns
from gateway.upstream.request import Request
from gateway.upstream.tunnel import End


class Owner:
    """The owner that a connection returns to."""

    __slots__ = ()

    def released(self, connection: Connection) -> None:
        """The exchange has ended, and the connection is available."""
        raise NotImplementedError

    def lost(self, connection: Connection) -> None:
        """The connection is closed."""
        raise NotImplementedError


class Connection(asyncio.BufferedProtocol):
    """The interface of a connection for endpoints and clusters, and what they know of it. (A base class:
    every request asks for these, and compiled, those of a Protocol would be looked up by their names.)"""

    __slots__ = (
        "certificate_until",
        "deadlines",
        "dropped",
        "failure",
        "idle_since",
        "idled",
        "kept",
        "opened",
        "owner",
        "used",
    )

    def __init__(self, deadlines: Deadlines) -> None:
        self.owner: Owner | None = None  # until it is established
        self.deadlines = deadlines  # of its loop
        self.used = 0  # exchanges so far
        self.opened = time.perf_counter()
        self.idle_since = self.opened  # time.perf_counter(), when its last exchange ended
        self.idled = 0.0  # seconds for which it had been idle when it was taken for its exchange
        self.kept = NEVER  # seconds for which the endpoint says that it keeps it while it is idle, if it says so
        self.certificate_until = NEVER  # Unix time at which the certificate ends that the endpoint showed, with TLS
        self.failure: GatewayError | None = None  # why it has ended, if that is known
        self.dropped = False  # the endpoint closed it while it was idle, or before it answered anything in its exchange

    @property
    def readable(self) -> bool:
        """Whether anything has come that was not read yet: its end, if it is idle."""
        raise NotImplementedError

    @property
    def available(self) -> bool:
        """Whether it can take one more exchange now."""
        raise NotImplementedError

    async def exchange(self, request: Request, attempt: Attempt) -> Response:
        """Send a request, and wait for the head of its response, while the request body is sent beside.

        The headers are those for the client. The body is bytes where it came whole with the head; otherwise a Body,
        which must be closed. `attempt` is filled in, and ended with the body. Raises GatewayError; then the connection
        is closed. Where the exchange is a WebSocket, a 101 may be the response, with headers as they came.
        """
        raise NotImplementedError

    @property
    def waits_since(self) -> float:
        """time.perf_counter() when the whole request was sent whose response head has not come; NEVER otherwise."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Where it waits for the head of a response to what can be asked of another endpoint, have that done."""
        raise NotImplementedError

    def idle(self, seconds: float) -> None:
        """Mark it as idle: close after this time, unless an exchange begins."""
        raise NotImplementedError

    def leave(self) -> None:
        """End the event stream that it is in, if it is in one: nothing else would."""
        raise NotImplementedError

    def switch(self, frames: FrameReader, turns: ClientTurns) -> End:
        """After a 101: one end of a tunnel in place of this. Raises GatewayError where it has closed meanwhile."""
        raise NotImplementedError

    def close(self) -> None:
        """Close at once, whatever it is in."""
        raise NotImplementedError
