"""Where a bearer token may be: in `Authorization`, and where its scheme looks beside that.

Browsers send no custom header on a WebSocket or an event stream: there a cookie, a query parameter or an entry of
`Sec-WebSocket-Protocol` carries the token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.auth.credentials import authorization, protocol_entries
from gateway.auth.scheme import Locations, Refused
from gateway.config.models import AuthFile
from gateway.config.models.auth.scheme_keys import TokenFrom
from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.http.fields import values
from gateway.http.parameters import cookie_values, query_values

MAX_BYTES = 16 * 1024  # of a token that is not in Authorization

TWO_TOKENS = Refused("the request carries two tokens that differ; send one", ErrorKind.AMBIGUOUS_CREDENTIALS)
MALFORMED = Refused("the token is not one that a bearer can show (RFC 6750, 2.1)")

TOKEN_CHARS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=")


@dataclass(frozen=True, slots=True)
class TokenLocations:
    """The locations beside `Authorization: Bearer`. `protocol`: what an entry begins with that is a token."""

    header: bytes | None = None
    query: str | None = None
    cookie: bytes | None = None
    protocol: bytes | None = None

    def find(self, exchange: Exchange) -> bytes | Refused | None:
        """The one token of a request. The same one may be in several locations."""
        shown = authorization(exchange, b"bearer")
        if self is AUTHORIZATION or not (found := set(self._elsewhere(exchange))):
            return shown
        tokens = found if shown is None else found | {shown}
        if len(tokens) > 1:
            return TWO_TOKENS
        (token,) = tokens
        return token if len(token) <= MAX_BYTES and TOKEN_CHARS.issuperset(token) else MALFORMED

    def _elsewhere(self, exchange: Exchange) -> Iterator[bytes]:
        """The tokens in the other locations; an empty cookie is one that was deleted."""
        if self.header is not None and self.header in exchange.fields:
            yield from (_without_scheme(value) for value in values(exchange.headers, self.header))
        if self.query is not None and exchange.query:
            yield from filter(None, query_values(exchange.query, self.query))
        if self.cookie is not None:
            yield from filter(None, cookie_values(exchange.headers, exchange.fields, self.cookie))
        if self.protocol is not None and exchange.websocket:
            entries = protocol_entries(exchange)
            yield from (entry[len(self.protocol) :] for entry in entries if entry.startswith(self.protocol))

    @property
    def locations(self) -> Locations:
        """All of them but `Authorization`."""
        return Locations(
            frozenset({self.header.replace(b"_", b"-")} if self.header else ()),
            frozenset({self.query.encode()} if self.query else ()),
            frozenset({self.cookie} if self.cookie else ()),
            frozenset({self.protocol} if self.protocol else ()),
        )


AUTHORIZATION = TokenLocations()
"""No other place."""

BEARER = Locations(frozenset({b"authorization"}))


def _without_scheme(value: bytes) -> bytes:
    named, _, rest = value.partition(b" ")
    return rest.lstrip(b" ") if named.lower() == b"bearer" else value


def token_locations(config: TokenFrom) -> TokenLocations:
    """The locations that auth.yaml names."""
    if not config.model_fields_set:
        return AUTHORIZATION
    protocol = config.websocket_protocol
    if protocol is not None and not protocol.endswith("."):
        protocol += "."
    return TokenLocations(
        config.header.encode() if config.header else None,
        config.query,
        config.cookie.encode() if config.cookie else None,
        protocol.encode() if protocol else None,
    )


def secret_parameters(auth: AuthFile) -> frozenset[bytes]:
    """The query parameters that hold credentials of whatever scheme."""
    names = [getattr(scheme.settings, "query", None) for scheme in auth.schemes.values()]
    names += [scheme.settings.from_.query for scheme in auth.schemes.values() if hasattr(scheme.settings, "from_")]
    return frozenset(name.encode() for name in names if name)
