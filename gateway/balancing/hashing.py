"""Keys and tables of consistent hashing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from gateway.algorithms.hash_ring import POINT_BYTES, HashRing
from gateway.algorithms.maglev import SIZE, maglev
from gateway.balancing.consistent_hash import ConsistentHash, Lookup
from gateway.http.fields import lines_of
from gateway.http.messages import Exchange
from gateway.http.parameters import cookie_values, query_values
from gateway.live.beside import Work

_POINTS = 256  # of the lightest endpoint on a ring, whatever their number: so only what leaves or joins moves keys
_MOST_POINTS = 4 * 1024 * 1024 // POINT_BYTES  # of all
_pause = partial(time.sleep, 0)  # other threads have their turn


@dataclass(frozen=True, slots=True)
class HashKey:
    """Where the key of a request is. Without a name: the client's address."""

    place: Literal["header", "cookie", "query", "client"]
    name: str = ""

    def __call__(self, exchange: Exchange) -> bytes | None:
        """The key; None where the request has none. What it has several times is one key, all of it together."""
        if self.place == "client":
            return exchange.client.encode()
        found: Sequence[bytes]
        if self.place == "header":
            found = lines_of(exchange.headers, exchange.fields, self.name.lower().encode())
        elif self.place == "cookie":
            found = cookie_values(exchange.headers, exchange.fields, self.name.encode())
        else:
            found = query_values(exchange.query, self.name)
        return b"\n".join(found) or None


@dataclass(frozen=True, slots=True)
class Hashing:
    """Makes balancers that hash. A value, so that a reload can see whether it is the same.

    `beside` does something long where it holds nothing up.
    """

    key: HashKey
    beside: Callable[[Work], None]
    ring: bool = False
    factor: int = 125  # per cent; 0: any load

    def __call__(self) -> ConsistentHash:
        """One balancer."""
        return ConsistentHash(self.key, _ring if self.ring else _maglev, self.beside, self.factor)


def _maglev(names: Sequence[bytes], weights: Sequence[int]) -> Lookup:
    table = maglev(names, weights, pause=_pause)
    return lambda hashed: table[hashed % SIZE]


def _ring(names: Sequence[bytes], weights: Sequence[int]) -> Lookup:
    return ring_of(names, weights).owner


def ring_of(names: Sequence[bytes], weights: Sequence[int]) -> HashRing:
    """A ring of at most 4 MiB. Where weights are too far apart for that, those of the lightest count for more."""
    points, total = math.ceil(_POINTS * sum(weights) / min(weights)), sum(weights)
    if points > _MOST_POINTS:
        weights = [max(1, _MOST_POINTS * weight // total) for weight in weights]
        points = sum(weights)
    return HashRing(names, weights, points, points, pause=_pause)
