"""How a provider failed, and whether another one may be asked."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Final

import orjson

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Response
from gateway.http.retry_after import seconds_to_wait
from gateway.llm.streams.errors import ProviderError, error_in

MOST_ERROR: Final = 256 * 1024
"""Bytes of an error that are read, to see what it says, and kept, in case that it is the last word."""

OVERLOADED: Final = 529
_TIMEOUTS: Final = frozenset({408, 504})
_AGAIN: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_LEFT_ALONE: Final = frozenset({"rate_limited", "overloaded"})
_UNREACHED: Final = frozenset(
    {
        ErrorKind.UPSTREAM_UNRESOLVED,
        ErrorKind.UPSTREAM_REFUSED,
        ErrorKind.UPSTREAM_TLS,
        ErrorKind.UPSTREAM_UNAVAILABLE,
        ErrorKind.UPSTREAM_DOWN,
        ErrorKind.UPSTREAM_CONNECT_TIMEOUT,
    }
)
_OF_THE_GATEWAY: Final = {ErrorKind.CIRCUIT_OPEN: "breaker", ErrorKind.CONCURRENCY_LIMIT: "overloaded"}


@dataclass(frozen=True, slots=True)
class Failure:
    """One attempt that gave no answer: `response`, whole, is what the provider said, or else `error` why it did not."""

    reason: str  # as in `Switch.reason`
    switch: bool  # another provider, or the same once more, may be asked
    response: Response | None = None
    error: GatewayError | None = None
    retry_after: float = 0.0  # seconds

    def with_response(self, response: Response) -> Failure:
        """The same, said otherwise."""
        return replace(self, response=response)

    @property
    def leaves_alone(self) -> bool:
        """Whether the provider wants no more for a while."""
        return self.reason in _LEFT_ALONE


def of_response(response: Response, body: bytes) -> Failure:
    """Of an answer with a status of 400 or more, whose body is whole."""
    status = response.status
    whole = Response(status, response.headers, body)
    asked = _asked(response)
    if status in (401, 403):
        return Failure("key", switch=True, response=whole, retry_after=asked)
    error = said_in(body, status)
    if error is not None and error.overflow:
        return Failure("context_overflow", switch=False, response=whole)
    if status == 429:
        return Failure("rate_limited", switch=True, response=whole, retry_after=asked)
    if status in (503, OVERLOADED):
        return Failure("overloaded", switch=True, response=whole, retry_after=asked)
    reason = "timeout" if status in _TIMEOUTS else "error"
    return Failure(reason, switch=status in _AGAIN or status >= 500, response=whole, retry_after=asked)


def of_error(error: GatewayError) -> Failure | None:
    """Of a try without an answer. None where it is none of the provider's: the request itself is at fault."""
    kind = error.kind
    if isinstance(kind, ErrorKind) and kind in _OF_THE_GATEWAY:
        return Failure(_OF_THE_GATEWAY[kind], switch=True, error=error)
    if kind.origin != "upstream":
        return None
    if kind in _UNREACHED:
        return Failure("connect", switch=True, error=error)
    return Failure("timeout" if kind is ErrorKind.UPSTREAM_TIMEOUT else "error", switch=True, error=error)


def of_said(error: ProviderError, response: Response) -> Failure:
    """Of an error that came with status 200, as an answer or as the first thing in a stream. `response` is what is
    passed on if it stays the last word."""
    if error.overflow:
        return Failure("context_overflow", switch=False, response=response)
    status = error.status
    if status == 429:
        return Failure("rate_limited", switch=True, response=response)
    if status in (503, OVERLOADED):
        return Failure("overloaded", switch=True, response=response)
    if status in (401, 403):
        return Failure("key", switch=True, response=response)
    reason = "timeout" if status in _TIMEOUTS else "error"
    return Failure(reason, switch=not 400 <= status < 500 or status in _AGAIN, response=response)


def truncated(error: GatewayError) -> Failure:
    """Of an answer that ended before anything of it had come."""
    timeout = error.kind is ErrorKind.UPSTREAM_TIMEOUT
    return Failure("timeout" if timeout else "truncated", switch=True, error=error)


def said_in(body: bytes, status: int) -> ProviderError | None:
    """What an error says; None where that cannot be read."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if isinstance(document, list) and document:  # Gemini, where no events are asked for
        document = document[0]
    return error_in(document, status) if isinstance(document, dict) else None


def _asked(response: Response) -> float:
    """For how many seconds a provider asks to be left alone; 0 where it does not say."""
    lines = dict(response.headers)
    milliseconds = lines.get(b"retry-after-ms", b"")
    if milliseconds.isdigit() and len(milliseconds) < 12:
        return int(milliseconds) / 1000
    return seconds_to_wait(lines.get(b"retry-after"), time.time())
