"""Slow start, as Envoy defines it: an endpoint that is new, or was found healthy again, gets its share gradually."""

from __future__ import annotations

import math
from typing import Final

LEAST: Final = 0.1  # of the weight, whatever the time


def factor(seconds: float, window: float, least: float = LEAST, aggression: float = 1.0) -> float:
    """The share of its weight that an endpoint has so long after it joined or recovered; 1 once `window` has passed.

    An aggression of 1 is linear; more begins faster.
    """
    if seconds >= window:
        return 1.0
    return min(1.0, max(least, math.pow(max(seconds, 1.0) / window, 1 / aggression)))
