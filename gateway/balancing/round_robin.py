"""Smooth weighted round robin: each endpoint gets its share, and the shares are spread evenly over time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from random import random
from typing import Generic, TypeVar

from gateway.http.messages import Exchange
from gateway.upstream.steps import in_steps

E = TypeVar("E")


class RoundRobin(Generic[E]):
    """Picks by nginx's smooth weighting: the one whose credit has grown most goes next, and pays for all of them.

    Only those that may be picked take part in a round, so endpoints that are left out for a while neither save up for
    later nor fall into debt.
    """

    __slots__ = ("_credits", "_endpoints", "_random", "_weights")

    def __init__(self, random: Callable[[], float] = random) -> None:
        """`random` draws from [0, 1)."""
        self._random = random
        self._endpoints: list[E] = []
        self._weights: list[float] = []
        self._credits: list[float] = []

    def replace(self, weighted: Sequence[tuple[E, float]]) -> None:
        """Choose among these from now on, with their weights. Those that stay keep their place in the round."""
        for _ in self.replacing(weighted):
            pass

    def replacing(self, weighted: Sequence[tuple[E, float]]) -> Iterator[None]:
        """See `Balancer`."""
        places = {endpoint: place for place, endpoint in enumerate(self._endpoints)}
        yield
        endpoints: list[E] = []
        weights: list[float] = []
        before: list[int] = []
        for some in in_steps(weighted):
            endpoints += [endpoint for endpoint, _ in some]
            weights += [weight for _, weight in some]
            before += [places.get(endpoint, -1) for endpoint, _ in some]
            yield
        # A credit is worth as much of the new round as it was of the old one.
        total = sum(self._weights, 0.0)
        worth = sum(weights, 0.0) / total if total else 0.0
        credits = self._credits
        self._credits = [credits[place] * worth if place >= 0 else 0.0 for place in before]
        self._endpoints, self._weights = endpoints, weights

    def pick(self, exchange: Exchange, now: float, excluded: Collection[E]) -> E | None:
        """The next endpoint, or None where all are excluded."""
        if len(self._endpoints) == 1:
            return self._endpoints[0] if self._endpoints[0] not in excluded else None
        best, total = -1, 0.0
        for index, weight in enumerate(self._weights):
            if self._endpoints[index] in excluded:
                continue
            self._credits[index] += weight
            total += weight
            if best < 0 or self._credits[index] > self._credits[best]:
                best = index
        if best < 0:
            return None
        self._credits[best] -= total
        return self._endpoints[best]

    def draw(self, exchange: Exchange) -> float:
        """See `Balancer`."""
        return self._random()

    def score(self, endpoint: E, now: float) -> str:
        """See `Balancer`."""
        return f"{self._credits[self._endpoints.index(endpoint)]:g} of credit"
