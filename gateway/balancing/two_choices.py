"""The better one of two that are drawn by weight: nearly as even as knowing all, at the price of two (Mitzenmacher).

Two different ones are drawn, so that an endpoint that hangs is chosen only as long as it looks no worse than another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import random

from gateway.algorithms.weighted_draw import WeightedDraw
from gateway.http.messages import Exchange
from gateway.upstream.endpoint import Endpoint


class TwoChoices:
    """A Balancer. What is derived from it says which of two is better; by itself it takes the first."""

    __slots__ = ("_draw", "_random", "endpoints", "weights")

    def __init__(self, random: Callable[[], float] = random) -> None:
        """`random` draws from [0, 1)."""
        self._random = random
        self._draw = WeightedDraw(())
        self.endpoints: list[Endpoint] = []
        self.weights: list[float] = []  # relative to their mean

    def replace(self, weighted: Sequence[tuple[Endpoint, float]]) -> None:
        """See `Balancer`."""
        mean = sum(weight for _, weight in weighted) / max(1, len(weighted))
        self.endpoints = [endpoint for endpoint, _ in weighted]
        self.weights = [weight / mean for _, weight in weighted]
        self._draw = WeightedDraw(self.weights)

    def pick(self, exchange: Exchange, now: float, excluded: Collection[Endpoint]) -> Endpoint | None:
        """See `Balancer`."""
        if excluded:
            return self._of_the_rest(exchange, now, excluded)
        number = len(self.endpoints)
        if number < 2:
            return self.endpoints[0] if number else None
        first = self._draw.draw(self._random())
        second = self._draw.draw_other(first, self._random())
        return self.endpoints[second if self._better(second, first, now) else first]

    def draw(self, exchange: Exchange) -> float:
        """See `Balancer`."""
        return self._random()

    def score(self, endpoint: Endpoint, now: float) -> str:
        """See `Balancer`."""
        return ""

    def _of_the_rest(self, exchange: Exchange, now: float, excluded: Collection[Endpoint]) -> Endpoint | None:
        pairs = zip(self.endpoints, self.weights, strict=True)
        rest = type(self)(self._random)
        rest.replace([(endpoint, weight) for endpoint, weight in pairs if endpoint not in excluded])
        return rest.pick(exchange, now, ())

    def _better(self, second: int, first: int, now: float) -> bool:
        """Whether the second is clearly better than the first."""
        return False
