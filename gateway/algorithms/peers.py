"""Who stands out from its peers: by the share of its failures, or by how long it takes.

By its share of failures: as Envoy's outlier detection by success rate, compared with the mean and the deviation of the
others, so that one of four can be told. (Compared with all, itself included, one of n is never more than sqrt(n - 1)
deviations away.) By its latency: as Iglewicz and Hoaglin, by median and MAD. Both have floors, below which a difference
is none, and chance, of few requests, counts for something.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

PEERS: Final = 3  # that one is compared with, at least
DEVIATIONS: Final = 1.9  # of the failures of the others
CHANCE: Final = 3.0  # deviations of a share that comes of so few requests by chance
LEAST_SHARE: Final = 0.1  # of failures more than the others have
_LEAST_RATE: Final = 0.01  # of failures, of the others, where they have had none yet
SCORE: Final = 3.5  # robust deviations of the latency
_MAD_TO_DEVIATION: Final = 1.4826
LEAST_SECONDS: Final = 0.01  # of MAD
LEAST_PART: Final = 0.1  # of the median, the same


@dataclass(frozen=True, slots=True)
class Peer:
    """One of several that do the same."""

    requests: int
    errors: int
    latency: float | None  # seconds, the median

    @property
    def error_rate(self) -> float:
        """The share of its failures."""
        return self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one is beyond what its peers have: above 1, it stands out. The worse of both ways."""

    by_errors: float = 0.0
    by_latency: float = 0.0

    @property
    def worst(self) -> float:
        """The farther one."""
        return max(self.by_errors, self.by_latency)


def standing(one: Peer, others: Sequence[Peer]) -> Standing:
    """Where one stands among others, which do not hold it."""
    if len(others) < PEERS or not one.requests:
        return Standing()
    return Standing(_by_errors(one, others), _by_latency(one, others))


def _by_errors(one: Peer, others: Sequence[Peer]) -> float:
    rates = [other.error_rate for other in others]
    mean = fmean(rates)
    deviation = math.sqrt(fmean([(rate - mean) ** 2 for rate in rates]))
    usual = min(max(mean, _LEAST_RATE), 1 - _LEAST_RATE)
    chance = math.sqrt(usual * (1 - usual) / one.requests)
    return (one.error_rate - mean) / max(DEVIATIONS * deviation, CHANCE * chance, LEAST_SHARE)


def _by_latency(one: Peer, others: Sequence[Peer]) -> float:
    known = [other.latency for other in others if other.latency is not None]
    if one.latency is None or len(known) < PEERS:
        return 0.0
    middle = median([*known, one.latency])
    mad = median([abs(each - middle) for each in (*known, one.latency)])
    return (one.latency - middle) / (SCORE * _MAD_TO_DEVIATION * max(mad, LEAST_PART * middle, LEAST_SECONDS))
