"""Which header lines travel, and which end here (RFC 9110, 7.6.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.errors import ErrorKind, GatewayError
from gateway.http.bodies import Headers
from gateway.http.hosts import normalise_host

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

FRAMING_FIELDS: Final = CONNECTION_FIELDS | {b"content-length", b"expect", b"trailer"}
"""Framing and hop-by-hop fields: no setting may write, remove or read these."""

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
"""Fields that `Connection` must not remove: a client could otherwise hide the gateway's own from the backend."""

_RESERVED: Final = (
    FRAMING_FIELDS
    | (NEVER_DROPPED - {b"x-request-id"})
    | {b"proxy", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix"}
    | {b"x-forwarded-proto", b"x-forwarded-server", b"accept", b"accept-encoding", b"user-agent", b"vary", b"etag"}
    | {b"allow", b"last-modified", b"max-forwards", b"retry-after", b"server", b"script-name", b"x-script-name"}
    | {b"x-http-method", b"x-http-method-override", b"x-method-override"}
)
_RESERVED_PREFIXES: Final = (b"access-control-", b"if-", b"sec-", b"x-accel-", b"x-original-", b"x-rewrite-")


def is_reserved(name: bytes) -> bool:
    """Whether a header has a meaning of its own, for framing, routing or the content: no setting may give it another
    one. Underscores and dots count as hyphens."""
    name = folded(name)
    return name in _RESERVED or name.startswith(_RESERVED_PREFIXES)


SEPARATORS: Final[dict[bytes, bytes]] = dict.fromkeys(
    (
        # RFC 9110, 9111 and 9112: what is defined as a list.
        b"accept",
        b"accept-charset",
        b"accept-encoding",
        b"accept-language",
        b"accept-ranges",
        b"allow",
        b"cache-control",
        b"connection",
        b"content-encoding",
        b"content-language",
        b"expect",
        b"if-match",
        b"if-none-match",
        b"pragma",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"vary",
        b"via",
        b"warning",
        # Other specifications.
        b"a-im",
        b"accept-patch",
        b"accept-post",
        b"accept-signature",
        b"access-control-request-headers",
        b"baggage",
        b"cdn-loop",
        b"client-cert-chain",
        b"content-digest",
        b"dav",
        b"digest",
        b"forwarded",
        b"keep-alive",
        b"link",
        b"prefer",
        b"priority",
        b"repr-digest",
        b"sec-ch-ua",
        b"sec-ch-ua-full-version-list",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
        b"signature",
        b"signature-input",
        b"tracestate",
        b"want-content-digest",
        b"want-digest",
        b"want-repr-digest",
        # What proxies write, each behind the one before it.
        b"x-forwarded-client-cert",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
    ),
    b", ",
) | {b"cookie": b"; "}
"""The fields of which several lines are one list (RFC 9110, 5.3), and what stands between them then (cookies: RFC 9113,
8.2.3). Every other field has one value: of several lines, some backends take the first, others the last, or all."""

_NO_TRAILERS: Final = (
    ENDS_HERE
    | NEVER_DROPPED
    | {
        b"trailer",
        b"age",
        b"allow",
        b"alt-svc",
        b"clear-site-data",
        b"content-disposition",
        b"content-language",
        b"content-location",
        b"content-security-policy",
        b"content-security-policy-report-only",
        b"expires",
        b"link",
        b"max-forwards",
        b"pragma",
        b"referrer-policy",
        b"refresh",
        b"retry-after",
        b"set-cookie2",
        b"strict-transport-security",
        b"vary",
        b"warning",
        b"x-content-type-options",
        b"x-frame-options",
    }
)
_NO_TRAILER_PREFIXES: Final = (
    b"if-",
    b"proxy-",
    b"sec-",
    b"access-control-",
    b"cross-origin-",
    b"x-accel-",
    b"x-forwarded-",
)


PLAIN_CONNECTION: Final = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close", b"upgrade", b"Upgrade"})
"""The most frequent values of `Connection`, which name no field."""


def folded(name: bytes) -> bytes:
    """The name as CGI, WSGI and their like read it, to which an underscore or a dot is a hyphen."""
    return name.replace(b"_", b"-").replace(b".", b"-")


def values(headers: Headers, name: bytes) -> list[bytes]:
    """Every value of a field, in order."""
    return [value for other, value in headers if other == name]


def lines_of(headers: Headers, fields: dict[bytes, bytes], name: bytes) -> Sequence[bytes]:
    """Every value of a field, the lines of a list as one, and `Host` as hosts are compared.

    Where there are several, none can be relied on.
    """
    last = fields.get(name)
    if last is None:
        return ()
    if name == b"host":
        return (normalise_host(last.decode("latin-1")).encode("latin-1", "replace"),)
    if len(fields) == len(headers):
        return (last,)
    found = values(headers, name)
    return (SEPARATORS[name].join(found),) if name in SEPARATORS else found


def value_of(headers: Headers, fields: dict[bytes, bytes], name: bytes) -> bytes | None:
    """The value of a field that a decision depends on. Raises GatewayError where it is no list, and duplicated."""
    found = lines_of(headers, fields, name)
    if len(found) > 1:
        raise repeated(f"header {name.decode('latin-1')}")
    return found[0] if found else None


def repeated(what: str) -> GatewayError:
    """A request of which the gateway and the backend could understand different things."""
    return GatewayError(ErrorKind.AMBIGUOUS_FIELD, f"the {what} is there more than once; send it once")


def tokens(headers: Headers, name: bytes) -> set[bytes]:
    """The comma-separated tokens of a field over all its lines, in lower case."""
    return {token.strip().lower() for value in values(headers, name) for token in value.split(b",")} - {b""}


def nominated(headers: Headers, fields: dict[bytes, bytes]) -> set[bytes]:
    """The fields that `Connection` names and that may be dropped for it."""
    if fields.get(b"connection", b"close") in PLAIN_CONNECTION and len(fields) == len(headers):
        return set()
    named = tokens(headers, b"connection")
    return {name for name in named - NEVER_DROPPED if not name.startswith((b"x-forwarded-", b"x-consumer-"))}


def may_be_trailer(name: bytes) -> bool:
    """Whether a field may stand behind a body: none for framing, routing, authentication, caching, conditions, content
    format or a browser's protection, which a recipient could merge into the head (RFC 9110, 6.5.1)."""
    name = folded(name)
    return name not in _NO_TRAILERS and not name.startswith(_NO_TRAILER_PREFIXES)


def announces_body(fields: dict[bytes, bytes]) -> bool:
    """Whether a request head with these fields is followed by a body of at least one byte."""
    length = fields.get(b"content-length")
    return b"transfer-encoding" in fields if length is None else bool(length.strip(b"0"))


def packed(headers: Headers) -> bytes:
    """Header lines in one piece: names and values, of which none has a line break."""
    return b"\n".join([part for line in headers for part in line])


def unpacked(lines: bytes) -> Headers:
    """The header lines of such a piece."""
    parts = iter(lines.split(b"\n")) if lines else iter(())
    return list(zip(parts, parts, strict=True))
