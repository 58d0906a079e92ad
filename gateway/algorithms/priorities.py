"""How much of the traffic each priority level of a service gets, by Envoy's table.

A level is worth more than its healthy share (over-provisioning), so that it keeps all traffic until it has lost
more than 28% of its endpoints; what it cannot take goes to the next. Where all levels together cannot take it all,
those with too few healthy endpoints use all that they have, healthy or not ("panic"): a few would be overrun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

OVER_PROVISIONING: Final = 140  # per cent
PANIC_BELOW: Final = 50.0  # per cent of the endpoints of a level


@dataclass(frozen=True, slots=True)
class Level:
    """The endpoints of one priority, counted."""

    healthy: int
    total: int


@dataclass(frozen=True, slots=True)
class Load:
    """The share of one level."""

    percent: int  # of the traffic
    panic: bool  # all its endpoints are used, not only the healthy ones


def loads(levels: Sequence[Level], panic_below: float = PANIC_BELOW) -> list[Load]:
    """The load of each level, the most preferred first; together 100. Without any healthy endpoint the first has all.

    `panic_below` is per cent; 0 turns panic off.
    """
    if not levels:
        return []
    healths = [min(100, OVER_PROVISIONING * level.healthy // level.total) if level.total else 0 for level in levels]
    total = min(100, sum(healths))
    panics = [total < 100 and 100 * level.healthy < panic_below * level.total for level in levels]
    percents, left = [0] * len(levels), 100
    for index, health in enumerate(healths):
        percents[index] = min(left, (200 * health + total) // (2 * total)) if total else 0  # rounded
        left -= percents[index]
    first = next((index for index, health in enumerate(healths) if health), 0)
    percents[first] += left  # what rounding has left
    return [Load(percent, panic) for percent, panic in zip(percents, panics, strict=True)]


def drawn(shares: Sequence[Load], draw: float) -> int:
    """The level of one request. `draw` is drawn from [0, 1)."""
    point = draw * 100
    for index, share in enumerate(shares):
        point -= share.percent
        if point < 0:
            return index
    return 0
