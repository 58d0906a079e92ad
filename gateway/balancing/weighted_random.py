"""Random, by weight."""

from __future__ import annotations

from gateway.algorithms.weighted_draw import WeightedDraw
from gateway.balancing.two_choices import TwoChoices


class WeightedRandom(TwoChoices):
    """What is drawn first, whatever it is doing."""

    __slots__ = ()

    def _choose(self, draw: WeightedDraw, now: float) -> int:
        return draw.draw(self._random())
