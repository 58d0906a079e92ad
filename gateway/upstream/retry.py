"""What of a request may be sent once more, and where. `Cluster` asks after every attempt that failed."""

from __future__ import annotations

from typing import Final, Protocol

from gateway.errors import ErrorKind
from gateway.http.attempt import Attempt
from gateway.http.messages import Exchange
from gateway.upstream.request import Rereadable

NOT_REACHED: Final = "not reached"  # to another endpoint: this one has seen nothing of the request
FOUND_DOWN: Final = "found down"  # to another endpoint: this one will hardly answer any more
STALE: Final = "stale connection"  # to the same endpoint, on a fresh connection

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110, 9.2.2, without TRACE, which is never forwarded."""


class RetryPolicy(Protocol):
    """Decides what is tried again."""

    def prepare(self, exchange: Exchange, attempt: Attempt) -> None:
        """The request, which has a body, is about to be sent: keep of that what another attempt will need."""
        ...

    def again(self, exchange: Exchange, attempt: Attempt) -> str:
        """Why another attempt follows this one, which failed: NOT_REACHED or STALE; empty where none does."""
        ...


class OnlyWhatIsSafe:
    """Another endpoint where this one was not reached, and a fresh connection where an idle one turned out to be dead.

    The latter for idempotent requests only: the endpoint may have acted on what it has not answered.
    """

    __slots__ = ()

    def prepare(self, exchange: Exchange, attempt: Attempt) -> None:
        if attempt.reused and exchange.body is not None and exchange.method in IDEMPOTENT:
            exchange.body = Rereadable(exchange.body)

    def again(self, exchange: Exchange, attempt: Attempt) -> str:
        if not attempt.unanswered:
            return ""
        if not attempt.connected:
            return NOT_REACHED
        if attempt.failure is ErrorKind.UPSTREAM_DOWN:
            return FOUND_DOWN
        died = attempt.reused and attempt.failure is ErrorKind.UPSTREAM_RESET
        if not died or exchange.method not in IDEMPOTENT:
            return ""
        body = exchange.body
        return STALE if body is None or (isinstance(body, Rereadable) and body.rewind()) else ""
