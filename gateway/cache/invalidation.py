"""Invalidation of stored responses by unsafe requests (RFC 9111, 4.4)."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from gateway.cache.keys import resource_of
from gateway.cache.wanted import SAFE
from gateway.http import Exchange, Response


def invalidated(exchange: Exchange, response: Response) -> Iterator[str]:
    """The resources that an answer to an unsafe request invalidates: its own, and those that it names, on this host."""
    if exchange.method in SAFE or not 200 <= response.status < 400:
        return
    own = exchange.path + exchange.query_part().decode("latin-1")
    yield resource_of(exchange.host, exchange.path, exchange.query_part())
    for name, value in response.headers:
        if name in (b"location", b"content-location"):
            target = _on_this_host(exchange, own, value.decode("latin-1"))
            if target is not None:
                yield target


def _on_this_host(exchange: Exchange, own: str, location: str) -> str | None:
    try:
        parts = urlsplit(urljoin(f"{exchange.scheme}://{exchange.host}{own}", location))
    except ValueError:
        return None
    if parts.netloc.lower() != exchange.host.lower() or parts.scheme not in ("http", "https"):
        return None
    query = f"?{parts.query}" if parts.query else ""
    return resource_of(exchange.host, parts.path or "/", query.encode("latin-1", "replace"))
