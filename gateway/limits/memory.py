"""Counts in the memory of this process: exactly, and without waiting."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gateway.algorithms import gcra
from gateway.limits.store import Taken
from gateway.limits.table import MOST_KEYS, Table
from gateway.limits.windows import WindowSet
from gateway.outside.patience import Patience

Arrivals = dict[int, int]
"""Length of a window in seconds -> its theoretical arrival time. By length, so that it outlives a change of limits."""


class MemoryStore:
    """One limit, for `most` keys (see Table for what happens beyond). All in one thread, that of the event loop."""

    def __init__(self, most: int = MOST_KEYS) -> None:
        self.table: Table[Arrivals] = Table(_make, _idle, most)

    def take(self, key: str, windows: WindowSet, cost: int, now: int) -> Taken:
        """Count a request if it fits into every window, otherwise nothing."""
        arrivals = self.table.by_key.get(key)
        if arrivals is None:
            arrivals = self.table.slot(key, now)
        if len(windows.intervals) == 1:  # as most limits have it
            ((seconds, interval, capacity),) = windows.intervals
            tat = arrivals.get(seconds, 0)
            owed = (tat - now if tat > now else 0) + cost * interval
            if owed <= capacity:
                arrivals[seconds] = now + owed
                return tuple.__new__(Taken, (True, (owed,)))  # what Taken(...) does, without the call in between
            return Taken(False, _debts(arrivals, windows, now))
        debts = []
        fits = True
        for seconds, interval, capacity in windows.intervals:
            tat = arrivals.get(seconds, 0)
            owed = (tat - now if tat > now else 0) + cost * interval
            fits = fits and owed <= capacity
            debts.append(owed)
        if not fits:
            return Taken(fits=False, debts=_debts(arrivals, windows, now))
        for (seconds, _, _), owed in zip(windows.intervals, debts, strict=True):
            arrivals[seconds] = now + owed
        return Taken(fits=True, debts=debts)

    async def ask(self, key: str, windows: WindowSet, cost: int, patience: Patience) -> Taken:
        """The same, though `take` has always an answer."""
        return self.take(key, windows, cost, time.monotonic_ns())

    def give_back(self, key: str, windows: WindowSet, cost: int, now: int) -> None:
        """The request that was counted does not go on."""
        arrivals = self.table.slot(key, now)
        for seconds, interval, _ in windows.intervals:
            arrivals[seconds] = arrivals.get(seconds, 0) - cost * interval

    def learn(self, key: str, windows: WindowSet, debts: Sequence[int], now: int) -> None:
        """Owe at least what is owed elsewhere, so that counting can go on here from there."""
        arrivals = self.table.slot(key, now)
        for (seconds, _, _), owed in zip(windows.intervals, debts, strict=True):
            arrivals[seconds] = max(arrivals.get(seconds, 0), now + owed)

    def peek(self, key: str, windows: WindowSet, now: int) -> Sequence[int]:
        """The debt in each window, in nanoseconds."""
        return _debts(self.table.peek(key) or {}, windows, now)


def _debts(arrivals: Arrivals, windows: WindowSet, now: int) -> list[int]:
    return [gcra.debt(arrivals.get(seconds, 0), now) for seconds, _, _ in windows.intervals]


def _make(key: str, shared: Arrivals | None) -> Arrivals:
    return {} if shared is None else dict(shared)


def _idle(arrivals: Arrivals, now: int) -> bool:
    return max(arrivals.values(), default=0) <= now
