"""The interface of a client's exchange for the gateway: the head of a request, its body, and the response.

`server/channel.py` has it of our own server's connections, `asgi.py` of any ASGI server.
"""

from __future__ import annotations

from collections.abc import Awaitable

from gateway.driver import Driver
from gateway.http import Headers, Outcome, Response
from gateway.http.bodies import AtHand, Expectation
from gateway.http.messages import RequestHead


class Channel(AtHand):
    """The client's side of one exchange, and its request body.

    What sends answers with something to wait for while the client does not read, and with None otherwise. A response
    is sent by `respond`, or by `begin`, any number of `write`, and `end`.
    """

    head: RequestHead
    peer: str  # the address at the other end of the connection
    scheme: str  # http or https
    certificate: bytes | None = None  # of the client, in PEM, where the TLS connection ends here
    has_body: bool  # whether a request body is announced
    expectation: Expectation | None = None  # of a client that waits for a 100 before it sends the body
    received: int = 0  # bytes of the request body that were read
    sends_trailers: bool = True
    refused: bool = False  # by this gateway, for what the request is
    driver: Driver | None = None  # of what answers it; None in a task

    @property
    def given_up(self) -> bool:
        """Whether what answers it may have been cancelled from outside: always, where another server does so."""
        return True

    # The request body: a Body.

    trailers: Headers

    @property
    def ready(self) -> bool:
        """Whether `read` would answer at once."""
        raise NotImplementedError

    async def read(self) -> bytes:
        """The next piece, of any size above zero; b"" at the end. Raises GatewayError where it is cut short."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop reading the body: its rest is discarded."""

    # The response.

    async def hint(self, links: Headers) -> None:
        """Pass the links of a 103 on (RFC 8297)."""

    def respond(self, status: int, headers: Headers, body: bytes) -> Awaitable[None] | None:
        """Send a whole response."""
        raise NotImplementedError

    def begin(self, status: int, headers: Headers, *, trailers: bool) -> Awaitable[None] | None:
        """Send a head, at once or with the first piece of its body. `trailers`: `end` will bring some."""
        raise NotImplementedError

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Send a piece of the body. An empty one lets the head go."""
        raise NotImplementedError

    def end(self, trailers: Headers) -> Awaitable[None] | None:
        """The body is complete."""
        raise NotImplementedError

    def accept(self, response: Response, outcome: Outcome) -> Awaitable[None]:
        """Make the connection one end of a WebSocket, of which `response` is the 101; wait for what is returned until
        that is over. Raises GatewayError, and so does what is returned."""
        raise NotImplementedError

    def over(self) -> None:
        """End of sending: nothing more is sent, whether the response is complete or not."""
