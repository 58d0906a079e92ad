"""Which header lines travel, and which end here (RFC 9110, 7.6.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from gateway.http.messages import Headers

CONNECTION_FIELDS: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
"""Meant for the next hop only, whether `Connection` names them or not."""

ENDS_HERE: Final = CONNECTION_FIELDS | {b"expect", b"proxy", b"host", b"content-length"}
"""Request lines that are not copied: they are consumed or rewritten here, or set HTTP_PROXY in a CGI backend."""

FORWARDING_FIELDS: Final = frozenset({b"forwarded", b"via", b"x-real-ip", b"x-request-id"})

NEVER_DROPPED: Final = FORWARDING_FIELDS | {
    b"host",
    b"authorization",
    b"cookie",
    b"set-cookie",
    b"content-length",
    b"content-type",
    b"content-encoding",
    b"content-range",
    b"range",
    b"date",
    b"origin",
    b"location",
    b"cache-control",
    b"www-authenticate",
    b"traceparent",
    b"tracestate",
}
"""What `Connection` may not remove: a client could otherwise hide from the backend what the gateway says of it."""

_PLAIN_CONNECTION: Final = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close", b"upgrade", b"Upgrade"})


def values(headers: Headers, name: bytes) -> list[bytes]:
    """Every value of a field, in order."""
    return [value for other, value in headers if other == name]


def tokens(headers: Headers, name: bytes) -> set[bytes]:
    """The comma-separated tokens of a field over all its lines, in lower case."""
    return {token.strip().lower() for value in values(headers, name) for token in value.split(b",")} - {b""}


def nominated(headers: Headers, fields: dict[bytes, bytes]) -> set[bytes]:
    """The fields that `Connection` names and that may be dropped for it."""
    if fields.get(b"connection", b"close") in _PLAIN_CONNECTION and len(fields) == len(headers):
        return set()
    named = tokens(headers, b"connection")
    return {name for name in named - NEVER_DROPPED if not name.startswith((b"x-forwarded-", b"x-consumer-"))}


@lru_cache(1024)
def is_forwarding(name: bytes) -> bool:
    """Whether this line says where a request came from; CGI and WSGI read an underscore as a hyphen."""
    if b"_" in name:
        name = name.replace(b"_", b"-")
    return name.startswith(b"x-forwarded-") or name in FORWARDING_FIELDS


def response_headers(headers: Headers, fields: dict[bytes, bytes] | None = None) -> Headers:
    """The lines of an upstream's response that reach the client. `fields` are the same as a mapping, if at hand."""
    fields = dict(headers) if fields is None else fields
    if CONNECTION_FIELDS.isdisjoint(fields):
        return headers
    dropped = CONNECTION_FIELDS
    if b"connection" in fields and (named := nominated(headers, fields)):
        dropped |= named
    return [line for line in headers if line[0] not in dropped]


def announces_body(fields: dict[bytes, bytes]) -> bool:
    """Whether a request head with these fields is followed by a body of at least one byte."""
    length = fields.get(b"content-length")
    return b"transfer-encoding" in fields if length is None else bool(length.strip(b"0"))
