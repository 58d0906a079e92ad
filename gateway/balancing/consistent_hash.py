"""Consistent hashing: the same endpoint for the same key, by all gateways that know the same endpoints."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from random import random
from threading import Lock
from typing import Final

from gateway.algorithms import bounded_load
from gateway.algorithms.stable_hash import stable_hash
from gateway.http.messages import Exchange
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.steps import in_steps

Key = Callable[[Exchange], bytes | None]
"""The key of a request; None if it has none, and any endpoint will do."""

Lookup = Callable[[int], int]
"""The number of the endpoint that serves a hash of 64 bits."""

Build = Callable[[Sequence[bytes], Sequence[int]], Lookup]
"""Makes the table for endpoints of these names and weights. It takes long."""

_BITS: Final = 64


class _Table:
    """Endpoints and who of them serves a key. Replaced as a whole."""

    __slots__ = ("endpoints", "lookup", "weights")

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []  # in the order of their labels
        self.weights: list[int] = []
        self.lookup: Lookup | None = None


class ConsistentHash:
    """A Balancer. A new table is built beside the requests; meanwhile the former one serves, without those that left.

    No endpoint gets more than `factor` per cent of its share of the requests in flight: what does not fit goes to
    others, in an order that depends on the key.
    """

    __slots__ = ("_beside", "_build", "_building", "_factor", "_key", "_lock", "_now", "_numbers", "_random", "_served")

    def __init__(
        self,
        key: Key,
        build: Build,
        beside: Callable[[Callable[[], None]], None],
        factor: int = bounded_load.FACTOR,
        random: Callable[[], float] = random,
    ) -> None:
        """`beside` does something long where it holds nothing up; `random` draws from [0, 1)."""
        self._key = key
        self._build = build
        self._beside = beside
        self._factor = factor
        self._random = random
        self._now = _Table()  # what there is, without a look-up
        self._served = self._now  # the latest look-up, and the endpoints that it knows
        self._numbers: dict[Endpoint, int] = {}  # of what there is
        self._building = False
        self._lock = Lock()  # for the two before

    def replace(self, weighted: Sequence[tuple[Endpoint, float]]) -> None:
        """See `Balancer`."""
        for _ in self.replacing(weighted):
            pass

    def replacing(self, weighted: Sequence[tuple[Endpoint, float]]) -> Iterator[None]:
        """See `Balancer`."""
        known: dict[str, tuple[Endpoint, float]] = {}
        labels: list[str] = []
        for some in in_steps(weighted):
            known.update((pair[0].label, pair) for pair in some)
            labels += sorted([pair[0].label for pair in some])
            yield
        labels.sort()  # which merges what is in order already
        table, numbers = _Table(), dict[Endpoint, int]()
        for names in in_steps(labels):
            for label in names:
                endpoint, weight = known[label]
                numbers[endpoint] = len(numbers)
                table.endpoints.append(endpoint)
                table.weights.append(max(1, round(weight)))
            yield
        if (table.endpoints, table.weights) == (self._now.endpoints, self._now.weights):
            return
        self._numbers = numbers
        with self._lock:
            self._now = table
            if self._building or not table.endpoints:
                return
            self._building = True
        self._beside(self._catch_up)

    def _catch_up(self) -> None:
        """Build, until what was built is what there is. On a thread of its own, perhaps."""
        while True:
            wanted = self._now
            if wanted.endpoints:
                names = [endpoint.label.encode() for endpoint in wanted.endpoints]
                wanted.lookup = self._build(names, wanted.weights)
                self._served = wanted
            with self._lock:
                if wanted is self._now:
                    self._building = False
                    return

    def pick(self, exchange: Exchange, now: float, excluded: Collection[Endpoint]) -> Endpoint | None:
        """See `Balancer`."""
        there, key = self._now, self._hash(exchange)
        first = self._first(key)
        if not excluded and there.endpoints:
            endpoint = there.endpoints[first if first >= 0 else key % len(there.endpoints)]
            if not self._factor or not endpoint.in_flight:
                return endpoint
        left = [number for number, endpoint in enumerate(there.endpoints) if endpoint not in excluded]
        if not left:
            return None
        place = left.index(first) if first in left else key % len(left)
        if not self._factor:
            return there.endpoints[left[place]]
        active = [there.endpoints[number].in_flight for number in left]
        weights = [there.weights[number] for number in left]
        return there.endpoints[left[bounded_load.choose(place, key, active, weights, self._factor)]]

    def draw(self, exchange: Exchange) -> float:
        """See `Balancer`."""
        return self._hash(exchange) / (1 << _BITS)

    def score(self, endpoint: Endpoint, now: float) -> str:
        """See `Balancer`."""
        return f"{endpoint.in_flight} in flight"

    def _hash(self, exchange: Exchange) -> int:
        key = self._key(exchange)
        return int(self._random() * (1 << _BITS)) if key is None else stable_hash(key)

    def _first(self, key: int) -> int:
        """The number of the endpoint that the table has for a key; -1 where that has left, or there is no table."""
        served = self._served
        if served.lookup is None:
            return -1
        endpoint = served.endpoints[served.lookup(key)]
        return self._numbers.get(endpoint, -1)
