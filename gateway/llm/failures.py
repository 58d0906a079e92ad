"""How a provider failed, and whether another one may be asked."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Final, Literal

import orjson

from gateway.errors import ErrorKind, GatewayError, without_frames
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
    blames: Literal["deployment", "key", "request"] = "deployment"  # a deployment is a key, for one model

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
    error = said_in(body, status)
    asked = _asked(response) or (0.0 if error is None else error.retry_after)
    of_resource = error is not None and error.refuses_resource  # another key may be that of its owner
    if status == 403 and (of_resource or _is_page(body)):  # a page is of a firewall, which looks at what is said
        return Failure("error", switch=True, response=whole, blames="request" if of_resource else "deployment")
    if status == 401 or (status == 403 and (error is None or not error.refuses_content)):
        return Failure("key", switch=True, response=whole, retry_after=asked, blames=_whose(status))
    if error is not None and error.overflow:
        return Failure("context_overflow", switch=False, response=whole)
    if status == 429:
        return _limited(error, whole, asked)
    if status in (503, OVERLOADED):
        return Failure("overloaded", switch=True, response=whole, retry_after=asked)
    reason = "timeout" if status in _TIMEOUTS else "error"
    return Failure(reason, switch=status in _AGAIN or status >= 500, response=whole, retry_after=asked)


def of_error(error: GatewayError) -> Failure | None:
    """Of a try without an answer. None where it is none of the provider's: the request itself is at fault."""
    kind = error.kind
    without_frames(error)
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
    status, asked = error.status, error.retry_after
    if status == 429:
        return _limited(error, response, asked)
    if status in (503, OVERLOADED):
        return Failure("overloaded", switch=True, response=response, retry_after=asked)
    if status == 401 or (status == 403 and not error.refuses_content):
        return Failure("key", switch=True, response=response, blames=_whose(status))
    reason = "timeout" if status in _TIMEOUTS else "error"
    return Failure(reason, switch=not 400 <= status < 500 or status in _AGAIN, response=response)


def _limited(error: ProviderError | None, response: Response, asked: float) -> Failure:
    """A limit is met: of a model, as usual, of a key, or by this request alone, whatever else is going on."""
    if error is not None and error.too_large:
        return Failure("rate_limited", switch=True, response=response, blames="request")
    blames: Literal["deployment", "key"] = "key" if error is not None and error.of_all_models else "deployment"
    return Failure("rate_limited", switch=True, response=response, retry_after=asked, blames=blames)


def _whose(status: int) -> Literal["deployment", "key"]:
    """A key that is not known (401), or may not use the model (403)."""
    return "key" if status == 401 else "deployment"


def _is_page(body: bytes) -> bool:
    return body[:1024].lstrip().lower().startswith((b"<!doctype html", b"<html"))


def truncated(error: GatewayError) -> Failure:
    """Of an answer that ended before anything of it had come."""
    timeout = error.kind is ErrorKind.UPSTREAM_TIMEOUT
    return Failure("timeout" if timeout else "truncated", switch=True, error=without_frames(error))


def said_in(body: bytes, status: int) -> ProviderError | None:
    """The message of an error; None if it cannot be read."""
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
    milliseconds = seconds_to_wait(lines.get(b"retry-after-ms"), math.inf)  # which leaves nothing of a date
    if milliseconds:
        return milliseconds / 1000
    return seconds_to_wait(lines.get(b"retry-after"), time.time())
