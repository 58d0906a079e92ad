"""Under what a response is stored, and which requests show a credential.

In the key is whatever the gateway lets through, or writes itself, by which a client could have the backend answer
something else than others get: the host, the path and query as they are sent, the scheme, what a trusted proxy says of
the host, and the headers of proxies that may pass. What one client says of itself under such a name changes only what
those get who say the same. The client's address is in no key.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from gateway.auth.scheme import Locations
from gateway.cache.store import Key
from gateway.http import Exchange
from gateway.http.fields import values
from gateway.http.forwarded import forwarded_elements, parameter
from gateway.http.header_filter import ADDRESSES, CALLER_PREFIXES, CALLERS, STRANGERS, WRITTEN_HERE, is_of_proxies
from gateway.http.parameters import query_values
from gateway.upstream.request import prefix_before

REMEMBERED: Final = 1024  # names of headers whose meaning is remembered

CREDENTIALS: Final = Locations(headers=frozenset({b"authorization", b"proxy-authorization", b"cookie"}))
"""Credentials on every route, whatever auth.yaml says."""

_PLAIN: Final = 0
_KEYED: Final = 1
_ADDRESS: Final = 2
_CALLER: Final = 3


class Keys:
    """Makes the keys of all routes. `locations`: where any scheme of auth.yaml looks for a credential."""

    def __init__(self, locations: Locations, read_by_services: Iterable[bytes] = ()) -> None:
        self._headers = (locations | CREDENTIALS).headers | frozenset(read_by_services)
        self._parameters = tuple(name.decode() for name in locations.parameters)
        self._protocols = bool(locations.protocols)
        self._known: dict[bytes, int] = {}

    def has_credential(self, exchange: Exchange) -> bool:
        """Whether a request has an identity, or shows anything by which any route could find out who calls."""
        if exchange.identity is not None or exchange.query_concealed or exchange.certificate is not None:
            return True
        fields = exchange.fields
        if not self._headers.isdisjoint(fields) or (self._protocols and b"sec-websocket-protocol" in fields):
            return True
        if exchange.query and any(query_values(exchange.query, name) for name in self._parameters):
            return True
        return any(self._says_who(exchange, name) for name in fields)

    def _says_who(self, exchange: Exchange, name: bytes) -> bool:
        """Whether a header is a proxy's for the caller, and passes; or one of a scheme's, written with underscores."""
        says = self._meaning(name) == _CALLER and _passes(exchange, name)
        return says or (b"_" in name and name.replace(b"_", b"-") in self._headers)

    def key(self, exchange: Exchange, route: str, method: str) -> Key:
        """`route` begins with the route's id, and has what else is the same for all requests of it."""
        resource = resource_of(exchange.host, exchange.path, exchange.query_part())
        parts = [
            exchange.target_path.encode("latin-1"),
            exchange.scheme.encode(),
            exchange.host.encode("latin-1"),
            prefix_before(exchange, exchange.target_path),
            *self._from_proxies(exchange),
        ]
        digest = blake2b(b"".join(b"%d:%b" % (len(part), part) for part in parts), digest_size=16).hexdigest()
        return Key(resource, f"{route} {method} {digest}")

    def _from_proxies(self, exchange: Exchange) -> Iterable[bytes]:
        trusted = exchange.peer_trusted
        if trusted:
            yield exchange.outer_host.encode("latin-1")
            yield exchange.outer_port.encode("latin-1")
            if b"forwarded" in exchange.fields:
                for element in forwarded_elements(exchange.headers):
                    yield parameter(element, b"host") or b""
                    yield parameter(element, b"proto") or b""
        for name in exchange.fields:
            meaning = self._meaning(name)
            if (meaning == _KEYED or (meaning == _ADDRESS and not trusted)) and _passes(exchange, name):
                yield name
                yield from values(exchange.headers, name)

    def _meaning(self, name: bytes) -> int:
        found = self._known.get(name)
        if found is None:
            found = _meaning(name.replace(b"_", b"-"))
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            if len(name) <= 64:
                self._known[name] = found
        return found


def _meaning(name: bytes) -> int:
    if name in CALLERS or name.startswith(CALLER_PREFIXES):
        return _CALLER
    if name in ADDRESSES:
        return _ADDRESS
    return _KEYED if name not in WRITTEN_HERE and is_of_proxies(name) else _PLAIN


def _passes(exchange: Exchange, name: bytes) -> bool:
    """Whether a header of the client goes to the backend."""
    only = exchange.header_filter or STRANGERS
    return name not in exchange.hidden_headers and (only.known[name] if name in only.known else only.passes(name))


def resource_of(host: str, path: str, query: bytes) -> str:
    """The unit of invalidation and purging. `query` with its question mark."""
    return f"{host.lower()} {path}{query.decode('latin-1')}"
