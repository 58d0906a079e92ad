"""Values that clients name: cookies and parameters of a query. Pure."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote_plus

from gateway.http.bodies import Headers
from gateway.http.fields import values


def parameters(query: bytes) -> list[tuple[str, str]]:
    """All parameters of a query, decoded, in order. Whatever decides by a parameter reads it so."""
    return parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True)


def query_values(query: bytes, name: str) -> list[bytes]:
    """Every value of a query parameter, decoded; its name may be encoded, too."""
    if name.encode() not in query and b"%" not in query and b"+" not in query:
        return []
    return [value.encode("utf-8", "replace") for key, value in parameters(query) if key == name]


def parameter_name(pair: bytes) -> str:
    """The name of one `name=value` of a query, as `parameters` reads it."""
    return unquote_plus(pair.partition(b"=")[0].decode("utf-8", "replace"), errors="replace")


def cookie_values(headers: Headers, fields: dict[bytes, bytes], name: bytes) -> list[bytes]:
    """Every value of a cookie (RFC 6265, 4.2.1), over all lines. `fields` as for `lines_of`."""
    if b"cookie" not in fields:
        return []
    pairs = (pair.partition(b"=") for line in values(headers, b"cookie") for pair in line.split(b";"))
    return [value.strip(b' \t"') for key, _, value in pairs if key.strip(b" \t") == name]
