"""Where credentials are in a request, and a request without them. Pure."""

from __future__ import annotations

from gateway.auth.scheme import Locations
from gateway.http import Exchange, Headers
from gateway.http.fields import values
from gateway.http.parameters import parameter_name


def authorization(exchange: Exchange, scheme: bytes) -> bytes | None:
    """The credentials of this scheme in `Authorization` (RFC 9110, 11.6.2): b"bearer", b"basic"."""
    value = exchange.fields.get(b"authorization")
    if value is None:
        return None
    named, _, rest = value.partition(b" ")
    return rest.lstrip(b" ") if named.lower() == scheme else None


def has_two(exchange: Exchange, name: bytes) -> bool:
    """Whether a header is there more than once."""
    return len(exchange.fields) != len(exchange.headers) and len(values(exchange.headers, name)) > 1


def protocol_entries(exchange: Exchange) -> list[bytes]:
    """The entries of `Sec-WebSocket-Protocol` (RFC 6455, 11.3.4), over all lines."""
    if b"sec-websocket-protocol" not in exchange.fields:
        return []
    text = b",".join(values(exchange.headers, b"sec-websocket-protocol"))
    return [entry for part in text.split(b",") if (entry := part.strip(b" \t"))]


def conceal(exchange: Exchange, locations: Locations) -> None:
    """Keep from the backend what is in these locations."""
    if locations.headers:
        exchange.hidden_headers |= locations.headers
    if locations.parameters and exchange.query:
        shown, exchange.query = exchange.query, without_parameters(exchange.query, locations.parameters)
        if exchange.query != shown:
            exchange.query_concealed = True
    if locations.parameters and b"?" in exchange.fields.get(b"referer", b""):
        _conceal_in_referer(exchange, locations.parameters)
    if locations.cookies and b"cookie" in exchange.fields:
        exchange.hidden_headers |= {b"cookie"}
        exchange.extra_headers += tuple(_without_cookies(exchange.headers, locations.cookies))
    if locations.protocols and b"sec-websocket-protocol" in exchange.fields:
        # Take entries out of the handshake itself, which is what a WebSocket to the backend is opened with.
        beginnings = tuple(locations.protocols)
        kept = b", ".join(entry for entry in protocol_entries(exchange) if not entry.startswith(beginnings))
        exchange.headers = [line for line in exchange.headers if line[0] != b"sec-websocket-protocol"]
        exchange.fields = {name: value for name, value in exchange.fields.items() if name != b"sec-websocket-protocol"}
        if kept:
            exchange.headers.append((b"sec-websocket-protocol", kept))
            exchange.fields[b"sec-websocket-protocol"] = kept


def _conceal_in_referer(exchange: Exchange, names: frozenset[bytes]) -> None:
    """A `Referer` may contain a token in the URL of the page that sent the request."""
    lines = []
    for line in values(exchange.headers, b"referer"):
        before, _, query = line.partition(b"?")
        kept = without_parameters(query, names)
        lines.append((b"referer", before + b"?" + kept if kept else before))
    exchange.hidden_headers |= {b"referer"}
    exchange.extra_headers += tuple(lines)


def without_parameters(query: bytes, names: frozenset[bytes]) -> bytes:
    """The query, of which nothing else is changed."""
    hidden = {name.decode() for name in names}
    return b"&".join(pair for pair in query.split(b"&") if parameter_name(pair) not in hidden)


def _without_cookies(headers: Headers, names: frozenset[bytes]) -> Headers:
    lines = []
    for line in values(headers, b"cookie"):
        kept = [pair for pair in line.split(b";") if pair.partition(b"=")[0].strip(b" \t") not in names]
        if any(pair.strip() for pair in kept):
            lines.append((b"cookie", b";".join(kept).strip(b" \t")))
    return lines
