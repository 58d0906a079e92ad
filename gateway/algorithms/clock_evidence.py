"""Compares this machine's clock with those of others: which ones differ, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

TOLERATED_SECONDS: Final = 30.0  # an answer may take some seconds, and its Date has whole ones


@dataclass(frozen=True, slots=True)
class Difference:
    """By how many seconds this clock is ahead of others, or behind where that is negative; and of whose."""

    seconds: float
    sources: tuple[str, ...]
    asked: int  # how many were heard


def difference(offsets: Mapping[str, float]) -> Difference | None:
    """The conclusion if each source sees this clock ahead by so many seconds; None if it is right.

    Where fewer than half see it off to the same side, it is their own clocks that are wrong.
    """
    ahead = {source: seconds for source, seconds in offsets.items() if seconds > TOLERATED_SECONDS}
    behind = {source: seconds for source, seconds in offsets.items() if seconds < -TOLERATED_SECONDS}
    differing = max(ahead, behind, key=len)
    if not differing or 2 * len(differing) < len(offsets):
        return None
    return Difference(median(differing.values()), tuple(sorted(differing)), len(offsets))
