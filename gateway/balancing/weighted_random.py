"""Random, by weight."""

from __future__ import annotations

from gateway.balancing.two_choices import TwoChoices


class WeightedRandom(TwoChoices):
    """The first of two, whatever either is doing."""

    __slots__ = ()
