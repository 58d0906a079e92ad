"""Values that clients name: cookies and parameters of a query. Pure."""

from __future__ import annotations

from urllib.parse import unquote_plus

from gateway.http.fields import values
from gateway.http.messages import Exchange


def query_values(query: bytes, name: str) -> list[bytes]:
    """Every value of a query parameter, decoded; its name may be encoded, too."""
    if name.encode() not in query and b"%" not in query and b"+" not in query:
        return []
    pairs = (pair.partition("=") for pair in query.decode("latin-1").split("&"))
    return [decoded(value).encode("utf-8", "replace") for key, _, value in pairs if decoded(key) == name]


def decoded(text: str) -> str:
    """A name or value of a query, without its escapes."""
    return unquote_plus(text, encoding="utf-8", errors="replace")


def cookie_values(exchange: Exchange, name: bytes) -> list[bytes]:
    """Every value of a cookie (RFC 6265, 4.2.1), over all lines."""
    if b"cookie" not in exchange.fields:
        return []
    pairs = (pair.partition(b"=") for line in values(exchange.headers, b"cookie") for pair in line.split(b";"))
    return [value.strip(b' \t"') for key, _, value in pairs if key.strip(b" \t") == name]
