"""Endpoints without a network, and a balancer that is asked again and again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence

from gateway.deadlines import Deadlines
from gateway.http import Exchange
from gateway.http.testing import make_exchange
from gateway.upstream.balancer import Balancer
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.member import Address, Member
from gateway.upstream.pool import PoolLimits
from gateway.upstream.transport import Connector, Resolver

NOW = 1000.0


def endpoints(number: int) -> list[Endpoint]:
    """So many, which nothing is in flight to. Called on an event loop."""
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    members = [Member(Address(f"10.0.{index // 250}.{index % 250}", 8080)) for index in range(number)]
    return [Endpoint(member, connector, PoolLimits()) for member in members]


class Picks:
    """What a balancer picks."""

    def __init__(self, balancer: Balancer, weights: Sequence[float]) -> None:
        self.balancer = balancer
        self.endpoints = endpoints(len(weights))
        self.offer(weights)

    def offer(self, weights: Sequence[float]) -> None:
        """These weights from now on; an endpoint of weight 0 is left out."""
        pairs = zip(self.endpoints, weights, strict=True)
        self.balancer.replace([(endpoint, weight) for endpoint, weight in pairs if weight])

    def __call__(
        self, exchange: Exchange | None = None, *, now: float = NOW, excluded: Collection[int] = ()
    ) -> int | None:
        """The number of the endpoint that is picked."""
        tried = [self.endpoints[number] for number in excluded]
        picked = self.balancer.pick(exchange or make_exchange(), now, tried)
        return None if picked is None else self.endpoints.index(picked)

    def shares(self, picks: int, *, now: float = NOW, excluded: Collection[int] = ()) -> list[float]:
        """The share of each endpoint, where no request takes any time."""
        counts = Counter(self(now=now, excluded=excluded) for _ in range(picks))
        return [counts[number] / picks for number in range(len(self.endpoints))]
