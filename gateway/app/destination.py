"""Where clients may copy or move to: `Destination` of COPY and MOVE (WebDAV, RFC 4918, 10.3).

It is a second path of a request, at which a backend writes. Only the route that took the request may take it, too:
else its clients could write where another route, with rules of its own, keeps them out.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange
from gateway.http.fields import value_of
from gateway.http.paths import PathError, normalise
from gateway.routes.rule import NoMatch, Rule
from gateway.routes.table import RouteTable
from gateway.snapshot import RouteHandler

MOVING: Final = frozenset({"COPY", "MOVE"})
_HEADER: Final = b"destination"
_AUTHORITY: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#\\]*")
_OF_ANOTHER: Final = "the Destination is not a path of the route that takes this request; name one of its paths"


def check_destination(exchange: Exchange, table: RouteTable[RouteHandler], rule: Rule) -> None:
    """Raises GatewayError where a request would write to a place of another route, whichever host it names, or names
    two.

    Where the path is rewritten and `rewrite_back` is off, the backend's own paths are meant, which may have no route.
    """
    text = value_of(exchange.headers, exchange.fields, _HEADER)
    if text is None:
        return
    path = _AUTHORITY.sub("", text.decode("latin-1"), count=1).partition("#")[0].partition("?")[0]
    try:
        place = normalise(path.encode("latin-1"))
    except PathError as error:
        raise GatewayError(ErrorKind.BAD_REQUEST, f"Destination: {error}") from None
    match = table.match(
        exchange.method, exchange.host, place.path, exchange.query, exchange.headers, exchange.fields, place.pieces
    )
    is_other = exchange.target_path == exchange.path if isinstance(match, NoMatch) else match.rule.id != rule.id
    if is_other:
        raise GatewayError(ErrorKind.BAD_REQUEST, _OF_ANOTHER)
