"""The rate limit of nodes: 50 messages a second, and as many at once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from gateway.algorithms.token_bucket import TokenBucket

PER_SECOND: Final = 50
NODES_MOST: Final = 1024


@dataclass(slots=True)
class _Node:
    bucket: TokenBucket
    refused: int = 0
    reported: float = float("-inf")


class Rates:
    """A bucket for each node; of more than 1,024 nodes, those with the latest messages."""

    def __init__(self, per_second: int = PER_SECOND) -> None:
        self._per_second = per_second
        self._nodes: OrderedDict[int, _Node] = OrderedDict()

    def allows(self, node: int, now: float) -> bool:
        """Whether a message of a node may be looked at."""
        known = self._nodes.get(node)
        if known is None:
            known = self._nodes[node] = _Node(TokenBucket(self._per_second, now))
            if len(self._nodes) > NODES_MOST:
                self._nodes.popitem(last=False)
        self._nodes.move_to_end(node)
        allowed = known.bucket.take(now)
        known.refused += not allowed
        return allowed

    def to_report(self, node: int, now: float) -> int:
        """The refusals since the last report, at most once in a second; else 0."""
        known = self._nodes[node]
        if now - known.reported < 1:
            return 0
        known.reported = now
        refused, known.refused = known.refused, 0
        return refused
