"""Who stands out from its peers: by the share of its failures, or by how long it takes.

By its share of failures: as Envoy's outlier detection by success rate, compared with the mean and the deviation of the
others, so that one of four can be detected. (Compared with all, itself included, one of n is never more than sqrt(n -
1) deviations away.) By its latency: as Iglewicz and Hoaglin, by median and MAD. Both have floors, below which a
difference is none, and chance, of few requests, counts for something.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
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
SORTED: Final = 1000  # latencies, at least; of more, a part says as much


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


class Peers:
    """Several that do the same, of which each can be compared with the others."""

    __slots__ = ("_count", "_latencies", "_mad", "_median", "_squares", "_sum")

    def __init__(self, peers: Sequence[Peer]) -> None:
        rates = [peer.error_rate for peer in peers]
        self._count = len(rates)
        self._sum = math.fsum(rates)
        self._squares = math.fsum([rate * rate for rate in rates])
        known = [peer.latency for peer in peers if peer.latency is not None]
        self._latencies = len(known)
        known = known[:: max(1, len(known) // SORTED)]
        self._median = median(known) if known else 0.0
        self._mad = median([abs(each - self._median) for each in known]) if known else 0.0

    def standing(self, one: Peer, *, among: bool) -> Standing:
        """Where one stands; `among`: it is one of them, and compared with the others."""
        others = self._count - among
        if others < PEERS or not one.requests:
            return Standing()
        rate = one.error_rate
        mean = (self._sum - among * rate) / others
        deviation = math.sqrt(max(0.0, (self._squares - among * rate * rate) / others - mean * mean))
        usual = min(max(mean, _LEAST_RATE), 1 - _LEAST_RATE)
        chance = math.sqrt(usual * (1 - usual) / one.requests)
        return Standing(
            (rate - mean) / max(DEVIATIONS * deviation, CHANCE * chance, LEAST_SHARE), self._by_latency(one, among)
        )

    def _by_latency(self, one: Peer, among: bool) -> float:
        if one.latency is None or self._latencies - among < PEERS:
            return 0.0
        usual = max(self._mad, LEAST_PART * self._median, LEAST_SECONDS)
        return (one.latency - self._median) / (SCORE * _MAD_TO_DEVIATION * usual)
