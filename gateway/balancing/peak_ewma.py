"""Peak EWMA: the one of two that will answer sooner, at a guess from its latest times and what is in flight there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.algorithms.peak_ewma import PeakEwma
from gateway.balancing.two_choices import TwoChoices
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.steps import in_steps


class LeastCost(TwoChoices):
    """Finagle's balancer, with weights. An endpoint keeps its average itself, over changes of the set and reloads.

    A failure enters the average as if it had taken long, and so keeps requests away for a while.
    """

    __slots__ = ()

    def replacing(self, weighted: Sequence[tuple[Endpoint, float]]) -> Iterator[None]:
        """See `Balancer`."""
        for some in in_steps(weighted):
            for endpoint, _ in some:
                endpoint.ewma = endpoint.ewma or PeakEwma()
            yield
        yield from TwoChoices.replacing(self, weighted)

    def _better(self, second: int, first: int, now: float) -> bool:
        one, other = self.endpoints[first], self.endpoints[second]
        if one.ewma is None or other.ewma is None:
            return False
        by, over = self.weights[first], self.weights[second]
        if other.ewma.load(other.in_flight / over, now) >= one.ewma.load(one.in_flight / by, now):
            return False
        return by == over or other.ewma.load(other.in_flight, now) * by < one.ewma.load(one.in_flight, now) * over

    def score(self, endpoint: Endpoint, now: float) -> str:
        """See `Balancer`."""
        cost = endpoint.ewma.cost(now) if endpoint.ewma is not None else 0.0
        return f"{endpoint.in_flight} in flight at {cost * 1000:.1f} ms"
