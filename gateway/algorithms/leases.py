"""Leased limits: each replica spends ahead of what the central account knows, and settles afterwards.

A replica keeps for each key what the account said last (a debt, which time pays back as everywhere in GCRA), plus what
it has spent since. It lets a request pass when that fits, and when what it has not settled yet stays within its lease.

The bound. With R replicas, in any stretch of t nanoseconds at most

    burst + t / interval + (R - 1) * lease        lease = max(1, burst // (2 * R)), and burst for a single replica

units pass, so the overshoot is less than half the burst, or R - 1 where the burst is smaller than twice the number
of replicas. What was let through too much is in the account and is paid back by waiting longer, so that the average
over time is the limit. Why: a replica spends only while what it knows fits, and it knows all that was settled
before its own last settlement. So of all that lies above the capacity, each replica has contributed at most one
unsettled lease, and the one that filled it up to the capacity has none above. (A request that costs more than the
lease is let through when nothing is unsettled: the lease is then its cost.)
"""

from __future__ import annotations

from collections.abc import Sequence

Intervals = Sequence[tuple[int, int, int]]
"""For each window its length (seconds), interval and capacity (nanoseconds)."""


def lease_of(burst: int, replicas: int) -> int:
    """Units that one of so many replicas may spend before it settles; one, while it is not known how many (0)."""
    if replicas <= 0:
        return 1
    return burst if replicas == 1 else max(1, burst // (2 * replicas))


class Account:
    """The lease of one replica on one key. `now` is its own clock, in nanoseconds."""

    __slots__ = ("_sent", "_tats", "unsettled")

    def __init__(self, other: Account | None = None) -> None:
        """Owes nothing, or what `other` owes."""
        self.unsettled = 0
        self._sent = 0
        self._tats: dict[int, int] = {} if other is None else dict(other._tats)

    def debts(self, intervals: Intervals, now: int) -> list[int]:
        """The debt in each window, as far as this replica knows."""
        return [max(0, self._tats.get(seconds, 0) - now) for seconds, _, _ in intervals]

    def idle(self, now: int) -> bool:
        """Whether it may be forgotten: nothing is owed, and all is settled."""
        return not self.unsettled and max(self._tats.values(), default=0) <= now

    def fits(self, intervals: Intervals, cost: int, now: int) -> bool:
        """Whether it fits into what this replica knows."""
        owed = zip(self.debts(intervals, now), intervals, strict=True)
        return all(debt + cost * interval <= capacity for debt, (_, interval, capacity) in owed)

    def within_lease(self, intervals: Intervals, cost: int, replicas: int) -> bool:
        """Whether this replica may spend it before it settles."""
        burst = min(capacity // interval for _, interval, capacity in intervals)
        return self.unsettled <= 0 or self.unsettled + cost <= lease_of(burst, replicas)

    def spend(self, intervals: Intervals, cost: int, now: int) -> None:
        """Count it as spent; negative to give it back."""
        self.unsettled += cost
        for debt, (seconds, interval, _) in zip(self.debts(intervals, now), intervals, strict=True):
            self._tats[seconds] = now + debt + cost * interval

    def collect(self) -> int:
        """The amount to settle now. If the account has not accepted it, it is collected again."""
        self._sent = self.unsettled
        return self._sent

    def settled(self, intervals: Intervals, debts: Sequence[int], now: int) -> None:
        """The account has taken what was collected, and says what is owed by all replicas together."""
        self.unsettled -= self._sent
        self._sent = 0
        for debt, (seconds, interval, _) in zip(debts, intervals, strict=True):
            self._tats[seconds] = now + debt + self.unsettled * interval
