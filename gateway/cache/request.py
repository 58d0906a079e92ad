"""One request as the cache sees it, and what its route wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.algorithms.http_cache.reuse import Leeway, Wish, wish_of
from gateway.algorithms.http_cache.validation import FOR_THE_ORIGIN
from gateway.algorithms.http_cache.vary import variant
from gateway.cache.keys import Keys
from gateway.cache.store import Key
from gateway.http import Exchange, Handler, Headers
from gateway.upstream.request import request_headers

PLAIN_METHODS: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Rules:
    """Cache settings of one route. Times are in seconds, sizes in bytes.

    `route`: its id, with which its keys begin, and `target`, where it leads: another one is another answer.
    """

    route: str
    target: str
    max_body: int
    wait: float  # for a fetch of another request
    keep_stale: float  # behind its lifetime, to be validated, or served where the backend fails
    leeway: Leeway
    heuristic: bool = False
    with_credentials: bool = False
    stale_copies: bool = False  # whether one is wanted, however old, in the place of a failure
    by_prefix: bool = False  # whether what comes before the path of the route changes the answer
    vary: tuple[bytes, ...] = ()  # fields that every answer depends on, whatever it says


class Asked:
    """A request that may be answered from the store."""

    __slots__ = ("_sent", "credential", "exchange", "get_key", "handler", "key", "wish")

    def __init__(self, exchange: Exchange, handler: Handler, keys: Keys, route: str, *, credential: bool) -> None:
        """`route` is what the keys begin with."""
        self.exchange = exchange
        self.handler = handler
        self.credential = credential
        self.wish: Wish = wish_of(exchange.headers, exchange.fields)
        self.get_key = keys.key(exchange, route, "GET")
        self.key: Key = keys.key(exchange, route, "HEAD") if exchange.method == "HEAD" else self.get_key
        self._sent: Headers | None = None

    def variant_of(self, names: tuple[bytes, ...]) -> bytes:
        """Its variant key by these fields as the backend gets them, including those the gateway adds."""
        if names and self._sent is None:
            self._sent = request_headers(self.exchange)
        return variant(names, self._sent or [])


def why_not(exchange: Exchange) -> str:
    """Why a request is none for a cache, whatever its route wants; empty where it is."""
    fields = exchange.fields
    if exchange.method not in PLAIN_METHODS:
        return f"the method is {exchange.method}"
    if exchange.websocket:
        return "it is a WebSocket"
    if exchange.body is not None:
        return "it has a body"
    if not FOR_THE_ORIGIN.isdisjoint(fields):
        return "it asks for a part, or sets a condition that only the backend can check"
    return ""
