"""A connection to an endpoint, whichever protocol it speaks: `http1/` today, `http2/` beside it later."""

from __future__ import annotations

from typing import Protocol

from gateway.deadlines import Deadlines
from gateway.http.frames import FrameReader
from gateway.http.messages import Attempt, Response
from gateway.turns import ClientTurns
from gateway.upstream.request import Request
from gateway.upstream.tunnel import End


class Connection(Protocol):
    """The interface of a connection for endpoints and clusters."""

    owner: Owner | None  # None, until it is established
    deadlines: Deadlines  # of its loop
    used: int  # exchanges so far
    opened: float  # time.perf_counter()
    idle_since: float  # the same, when its last exchange ended
    idled: float  # seconds for which it had been idle when it was taken for its exchange
    kept: float  # seconds for which the endpoint says that it keeps it while it is idle; NEVER where it says nothing
    certificate_until: float  # Unix time at which the certificate ends that the endpoint showed; NEVER without TLS
    dropped: bool  # the endpoint closed it while it was idle, or before it answered anything in its exchange

    @property
    def readable(self) -> bool:
        """Whether anything has come that was not read yet: its end, if it is idle."""
        ...

    @property
    def available(self) -> bool:
        """Whether it can take one more exchange now."""
        ...

    async def exchange(self, request: Request, attempt: Attempt) -> Response:
        """Send a request, and wait for the head of its response, while the request body is sent beside.

        The headers are those for the client. The body is bytes where it came whole with the head; otherwise a Body,
        which must be closed. `attempt` is filled in, and ended with the body. Raises GatewayError; then the connection
        is closed. Where the exchange is a WebSocket, a 101 may be the response, with headers as they came.
        """
        ...

    @property
    def waits_since(self) -> float:
        """time.perf_counter() when the whole request was sent whose response head has not come; NEVER otherwise."""
        ...

    def abandon(self) -> None:
        """Where it waits for the head of a response to what can be asked of another endpoint, have that done."""
        ...

    def idle(self, seconds: float) -> None:
        """Mark it as idle: close after this time, unless an exchange begins."""
        ...

    def leave(self) -> None:
        """End the event stream that it is in, if it is in one: nothing else would."""
        ...

    def switch(self, frames: FrameReader, turns: ClientTurns) -> End:
        """After a 101: one end of a tunnel in place of this. Raises GatewayError where it has closed meanwhile."""
        ...

    def close(self) -> None:
        """Close at once, whatever it is in."""
        ...


class Owner(Protocol):
    """The owner that a connection returns to."""

    def released(self, connection: Connection) -> None:
        """The exchange has ended, and the connection is available."""
        ...

    def lost(self, connection: Connection) -> None:
        """The connection is closed."""
        ...
