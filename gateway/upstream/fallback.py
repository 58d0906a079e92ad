"""The response to the client in place of a failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from gateway.errors import GatewayError, without_frames
from gateway.http import Decision, Exchange, Handler, Response
from gateway.http.usual import BODYLESS
from gateway.upstream.retry import can_be_sent_again

FALLBACK: Final = "fallback"  # another service was asked

Instead = Callable[[Exchange], Awaitable[Response | None]]
"""The other answer; None where there is none, so that the client gets the failure."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """A handler whose failures are replaced, where they are of 5xx. A Handler. Responses are passed on as they are."""

    handler: Handler
    instead: Instead
    what: str  # `503`, `other`, `stale`

    async def __call__(self, exchange: Exchange) -> Response:
        """Raises GatewayError where there is nothing in the place of it either."""
        try:
            return await self.handler(exchange)
        except GatewayError as error:
            if error.kind.status < 500:
                raise
            failure = without_frames(error)
        response = await self.instead(exchange)
        if response is None:
            raise failure
        reason = f"{self.what} in the place of {failure.kind.slug}"
        exchange.decisions += (Decision("fallback", "allow", reason),)
        return response

    def describe(self, exchange: Exchange) -> str:
        """See `Layer`."""
        return f"fallback, where the gateway has no answer: {self.what}"

    def inner(self, exchange: Exchange) -> Handler:
        """See `Layer`."""
        return self.handler


@dataclass(frozen=True, slots=True)
class FixedAnswer:
    """The same for all."""

    status: int
    body: bytes
    content_type: bytes

    async def __call__(self, exchange: Exchange) -> Response:
        """Never None."""
        headers = [(b"cache-control", b"no-store")]
        if self.status not in BODYLESS:
            headers.append((b"content-length", b"%d" % len(self.body)))
        if self.body:
            headers.append((b"content-type", self.content_type))
        return Response(self.status, headers, self.body)


@dataclass(frozen=True, slots=True)
class OtherTarget:
    """Another service gets the request."""

    handler: Handler

    async def __call__(self, exchange: Exchange) -> Response | None:
        """The fallback; None if an endpoint may have acted on the request, and it may not be repeated."""
        seen = any(attempt.connected for attempt in exchange.attempts)
        if seen and not can_be_sent_again(exchange):
            return None
        for attempt in exchange.attempts[-1:]:
            attempt.retry = FALLBACK
        return await self.handler(exchange)
