"""Pauses that grow with every failure."""

from __future__ import annotations

from typing import Final

BASE: Final = 0.025  # seconds
LONGEST: Final = 0.25  # seconds: ten times the base


def full_jitter(retry: int, draw: float, base: float = BASE, longest: float = LONGEST) -> float:
    """Seconds to wait before the `retry`-th retry (from 1), up to a limit that doubles, as Envoy does it.

    `draw` is drawn from [0, 1).
    """
    return draw * min(base * (2.0 ** min(retry, 60) - 1), longest)


def doubled(first: float, times: int, longest: float) -> float:
    """How long something takes the `times`-th time (from 1), when it doubles each time."""
    return min(first * 2.0 ** min(times - 1, 60), longest)
