"""Quotas in Redis, for several replicas.

A Redis that restarts without its data (no AOF, no snapshot) gets from every replica what that one knew, so that
nothing is lost that a replica still remembers. Until all have had the time for that, it counts as unavailable. Only
where Redis and all replicas end at once, what Redis itself had not written is lost: with `appendfsync everysec` one
second, without AOF all since its last snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.algorithms.calendar_windows import Span
from gateway.limits.keys import digest
from gateway.limits.ledger import CREDIT, KEPT_SECONDS, MOST_COUNTED, Increment
from gateway.limits.scripts import COUNT
from gateway.outside.redis_link import RedisLink

PATIENCE = 0.5  # of the time limit, for the first request of a key


class RedisBook:
    """The counters in one Redis."""

    keeps: Final = True

    def __init__(self, link: RedisLink, most: int = MOST_COUNTED) -> None:
        self._link = link
        self._most = most

    @property
    def available(self) -> bool:
        """Whether Redis answers, and has what other replicas know: added to less, it would be lost."""
        return self._link.complete

    @property
    def outages(self) -> int:
        """How often it did not, in a row."""
        return self._link.outages

    @property
    def patience(self) -> float:
        """Little, because a request may have waited for Redis already; and none where it was in vain."""
        return self._link.timeout * PATIENCE if self._link.answers else 0.0

    @property
    def replicas(self) -> int:
        """As Redis last said."""
        return max(1, self._link.replicas)

    async def write(self, increments: Sequence[Increment]) -> Sequence[int] | None:
        """Add to the counters in one call, and answer with their totals."""
        keys: list[str] = []
        arguments: list[int] = [self._most]
        for increment in increments:
            window = _window(self._link.prefix, increment.quota, increment.span)
            keys += (counter_key(self._link.prefix, increment.quota, increment.key, increment.span), window)
            apart = int(increment.key.startswith(CREDIT))
            arguments += (increment.known, increment.added, increment.span.ends + KEPT_SECONDS, apart)
        answer: list[int] | None = await self._link.ask(COUNT, keys, arguments)
        return answer


def counter_key(prefix: str, quota: str, key: str, span: Span) -> str:
    """Where in Redis is what was counted of a key."""
    return f"{_window(prefix, quota, span)}:{digest(key.encode('utf-8', 'surrogatepass'))}"


def _window(prefix: str, quota: str, span: Span) -> str:
    return f"{prefix}quota:{quota}:{span.starts}"
