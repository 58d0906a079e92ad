"""A response that streams -> the client, and how much of it was sent."""

from __future__ import annotations

from collections.abc import Awaitable

from gateway.app.channel import Channel
from gateway.http import Exchange, Outcome, Response
from gateway.http.bodies import Body, flow, trailers_of
from gateway.http.fields import tokens


class Sending:
    """Takes the pieces of a response body for its client."""

    __slots__ = ("_channel", "_outcome", "waiting")

    def __init__(self, channel: Channel, outcome: Outcome) -> None:
        self._channel = channel
        self._outcome = outcome
        self.waiting: Awaitable[None] | None = None  # set where the client is to be waited for

    def take(self, piece: bytes) -> bool:
        """Send a piece. Returns whether the client takes another one now."""
        self._outcome.sent += len(piece)
        self.waiting = self._channel.write(piece)
        return self.waiting is None


async def send_stream(channel: Channel, exchange: Exchange, response: Response, body: Body, outcome: Outcome) -> None:
    """Send a response whose body is `body`. Raises GatewayError where that is cut short."""
    trailers = channel.sends_trailers and _wants_trailers(exchange, response)
    waiting = channel.begin(response.status, response.headers, trailers=trailers)
    if waiting is not None:
        await waiting
    if not body.ready and (waiting := channel.write(b"")) is not None:  # let the head go
        await waiting
    sending = Sending(channel, outcome)
    while await flow(body, sending.take):
        if sending.waiting is not None:
            await sending.waiting
    if (waiting := channel.end(trailers_of(body) if trailers else [])) is not None:
        await waiting


def _wants_trailers(exchange: Exchange, response: Response) -> bool:
    """Whether the trailer section, if one comes, may be passed on (RFC 9110, 6.5.1)."""
    if any(name == b"trailer" for name, _ in response.headers):
        return True
    return b"te" in exchange.fields and b"trailers" in tokens(exchange.headers, b"te")
