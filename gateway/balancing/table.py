"""The ways to choose among the endpoints of a service: a line for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway.balancing.least_request import LeastRequest
from gateway.balancing.peak_ewma import LeastCost
from gateway.balancing.round_robin import RoundRobin
from gateway.balancing.weighted_random import WeightedRandom
from gateway.config.models.balance import Balance
from gateway.live.beside import Work
from gateway.upstream.balancer import Balancer

BALANCERS: Final[Mapping[str, Callable[[], Balancer]]] = {
    "least_request": LeastRequest,
    "peak_ewma": LeastCost,
    "random": WeightedRandom,
    "round_robin": RoundRobin,
}
"""Those without settings."""

DEFAULT: Final = "least_request"


def balancing_of(config: Balance, beside: Callable[[Work], None]) -> Callable[[], Balancer]:
    """Makes the balancers of a service; equal for equal settings. `beside` runs long work."""
    hashing = config.consistent_hash
    if hashing is None:
        return BALANCERS[config.method]
    from gateway.balancing.hashing import Hashing, HashKey  # noqa: PLC0415  for the services that have it

    key = HashKey("client")
    if hashing.header is not None:
        key = HashKey("header", hashing.header)
    elif hashing.cookie is not None:
        key = HashKey("cookie", hashing.cookie)
    elif hashing.query is not None:
        key = HashKey("query", hashing.query)
    return Hashing(key, beside, hashing.table == "ring", round(hashing.load_factor * 100))
