"""Stored responses on their way to clients, with Age (RFC 9111, 5.1) and Cache-Status (RFC 9211)."""

from __future__ import annotations

from typing import Final

from gateway.algorithms.http_cache.validation import CONDITIONS, is_not_modified, of_a_304
from gateway.cache.store import Stored
from gateway.http import Body, Exchange, Headers, Response

NAME: Final = b"gateway"  # of this cache, in Cache-Status
PIECE: Final = 32 * 1024  # bytes of a body that are sent at once: a client that does not read holds no more
_NO_BODY: Final = frozenset({204, 304})


class StoredBody:
    """A stored body, piece by piece. A Body."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def trailers(self) -> Headers:
        return []

    @property
    def ready(self) -> bool:
        return True

    async def read(self) -> bytes:
        piece = self._data[self._at : self._at + PIECE]
        self._at += len(piece)
        return piece

    def close(self) -> None:
        self._data = b""


def from_store(exchange: Exchange, stored: Stored, age: float, status: bytes) -> Response:
    """The answer to this request; `status` are the parameters of Cache-Status."""
    headers = list(stored.headers)
    headers.append((b"age", b"%d" % age))
    add_cache_status(headers, status)
    if stored.status == 200 and _has_conditions(exchange) and is_not_modified(exchange.headers, headers):
        return Response(304, of_a_304(headers))
    if stored.status in _NO_BODY:
        return Response(stored.status, headers)
    if exchange.method == "HEAD":
        return Response(stored.status, headers)
    body: bytes | Body = stored.body if len(stored.body) <= PIECE else StoredBody(stored.body)
    return Response(stored.status, headers, body)


def conditional(exchange: Exchange, response: Response) -> Response:
    """A response that was asked for without the client's conditions, which are for the cache to answer."""
    if response.status != 200 or not _has_conditions(exchange):
        return response
    return (
        Response(304, of_a_304(response.headers)) if is_not_modified(exchange.headers, response.headers) else response
    )


def _has_conditions(exchange: Exchange) -> bool:
    return not CONDITIONS.isdisjoint(exchange.fields)


def add_cache_status(headers: Headers, status: bytes) -> None:
    """Add what this cache did; what caches behind it say of themselves stands in front."""
    headers.append((b"cache-status", NAME + b"; " + status))
