"""The better one of two that are drawn by weight: nearly as even as knowing all, at the price of two (Mitzenmacher).

Two different ones are drawn, so that an endpoint that hangs is chosen only as long as it looks no worse than another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from random import random
from typing import Final

from gateway.algorithms.weighted_draw import WeightedDraw
from gateway.http.messages import Exchange
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.steps import in_steps

FEW: Final = 100  # endpoints, few enough for a scan of the rest
DRAWS: Final = 16


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
        for _ in self.replacing(weighted):
            pass

    def replacing(self, weighted: Sequence[tuple[Endpoint, float]]) -> Iterator[None]:
        """See `Balancer`."""
        total = 0.0
        for some in in_steps(weighted):
            total += sum([weight for _, weight in some])
            yield
        mean = total / max(1, len(weighted))
        endpoints: list[Endpoint] = []
        weights: list[float] = []
        for some in in_steps(weighted):
            endpoints += [endpoint for endpoint, _ in some]
            weights += [weight / mean for _, weight in some]
            yield
        self._draw = WeightedDraw(weights)
        self.endpoints, self.weights = endpoints, weights

    def pick(self, exchange: Exchange, now: float, excluded: Collection[Endpoint]) -> Endpoint | None:
        """See `Balancer`."""
        number = len(self.endpoints)
        if excluded:
            drawn = self._drawn_again(now, excluded) if number > FEW else None
            return drawn or self._of_the_rest(exchange, now, excluded)
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

    def _drawn_again(self, now: float, excluded: Collection[Endpoint]) -> Endpoint | None:
        """The same where few of many are excluded: what is excluded is drawn again. None where that does not help."""
        first = -1
        for _ in range(DRAWS):
            drawn = self._draw.draw(self._random()) if first < 0 else self._draw.draw_other(first, self._random())
            if self.endpoints[drawn] in excluded:
                continue
            if first >= 0:
                return self.endpoints[drawn if self._better(drawn, first, now) else first]
            first = drawn
        return None

    def _better(self, second: int, first: int, now: float) -> bool:
        """Whether the second is clearly better than the first."""
        return False
