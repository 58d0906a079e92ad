"""Least request: the one of two that has fewer requests in flight, for its weight."""

from __future__ import annotations

from gateway.balancing.two_choices import TwoChoices
from gateway.upstream.endpoint import Endpoint


class LeastRequest(TwoChoices):
    """Where nothing is in flight the shares are those of the weights; the more there is, the more it evens out.

    The second of the two takes the request if it is less busy for its weight than the first, before and after. What has
    failed there lately counts as if it were still in flight: a fast failure must not attract more requests.
    """

    __slots__ = ()

    def _better(self, second: int, first: int, now: float) -> bool:
        one, other = self.endpoints[first].load(now), self.endpoints[second].load(now)
        if other >= one and self.weights[second] <= self.weights[first]:
            return False
        by, over = self.weights[first], self.weights[second]
        return other * by < one * over and (other + 1) * by < (one + 1) * over

    def score(self, endpoint: Endpoint, now: float) -> str:
        """See `Balancer`."""
        held = endpoint.load(now) - endpoint.in_flight
        failed = f", and {held:.1f} for what failed lately" if held else ""
        return f"{endpoint.in_flight} in flight{failed}"
