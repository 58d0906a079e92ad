"""Counts in the memory of this process: exactly, and without waiting."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gateway.algorithms import gcra
from gateway.limits.store import Taken
from gateway.limits.table import MOST_KEYS, Table
from gateway.limits.windows import WindowSet
from gateway.outside.patience import Patience


class Arrivals:
    """The theoretical arrival times of a key by the length of their windows in seconds, so that they outlive a change
    of limits. Numbers of their own for one window, as most limits have it: a dict is several times as large, and what
    counts many keys waits for memory.
    """

    __slots__ = ("more", "seconds", "tat")

    def __init__(self) -> None:
        self.seconds = 0  # of the window that came first; 0 where none has come
        self.tat = 0
        self.more: dict[int, int] | None = None  # of all others

    def get(self, seconds: int) -> int:
        """That of the window of this length."""
        if seconds == self.seconds:
            return self.tat
        return 0 if self.more is None else self.more.get(seconds, 0)

    def put(self, seconds: int, tat: int) -> None:
        """Set it."""
        if self.seconds == 0:
            self.seconds = seconds
        if seconds == self.seconds:
            self.tat = tat
        elif self.more is None:
            self.more = {seconds: tat}
        else:
            self.more[seconds] = tat

    def copy(self) -> Arrivals:
        """The same for another key."""
        arrivals = Arrivals()
        arrivals.seconds, arrivals.tat = self.seconds, self.tat
        arrivals.more = None if self.more is None else self.more.copy()
        return arrivals

    def latest(self) -> int:
        """When nothing is owed any more."""
        return self.tat if self.more is None else max(self.tat, *self.more.values())


class MemoryStore:
    """One limit, for `most` keys (see Table for what happens beyond). All in one thread, that of the event loop."""

    def __init__(self, most: int = MOST_KEYS) -> None:
        self.table: Table[Arrivals] = Table(_make, _idle, most)

    def take(self, key: str, windows: WindowSet, cost: int, now: int) -> Taken:
        """Count a request if it fits into every window, otherwise nothing."""
        arrivals = self.table.by_key.get(key)
        return self.count(self.table.slot(key, now) if arrivals is None else arrivals, windows, cost, now)

    def count(self, arrivals: Arrivals, windows: WindowSet, cost: int, now: int) -> Taken:
        """The same where the slot of the key is known."""
        if len(windows.intervals) == 1:  # as most limits have it
            ((seconds, interval, capacity),) = windows.intervals
            usual = arrivals.seconds == seconds  # then `get` and `put`, without the calls
            tat = arrivals.tat if usual else arrivals.get(seconds)
            owed = (tat - now if tat > now else 0) + cost * interval
            if owed <= capacity:
                if usual:
                    arrivals.tat = now + owed
                else:
                    arrivals.put(seconds, now + owed)
                return tuple.__new__(Taken, (True, (owed,)))  # what Taken(...) does, without the call in between
            return Taken(False, _debts(arrivals, windows, now))
        debts = []
        fits = True
        for seconds, interval, capacity in windows.intervals:
            tat = arrivals.get(seconds)
            owed = (tat - now if tat > now else 0) + cost * interval
            fits = fits and owed <= capacity
            debts.append(owed)
        if not fits:
            return Taken(fits=False, debts=_debts(arrivals, windows, now))
        for (seconds, _, _), owed in zip(windows.intervals, debts, strict=True):
            arrivals.put(seconds, now + owed)
        return Taken(fits=True, debts=debts)

    async def ask(self, key: str, windows: WindowSet, cost: int, patience: Patience) -> Taken:
        """The same, though `take` has always an answer."""
        return self.take(key, windows, cost, time.monotonic_ns())

    def give_back(self, key: str, windows: WindowSet, cost: int, now: int) -> None:
        """The request that was counted does not go on."""
        arrivals = self.table.slot(key, now)
        for seconds, interval, _ in windows.intervals:
            arrivals.put(seconds, arrivals.get(seconds) - cost * interval)

    def learn(self, key: str, windows: WindowSet, debts: Sequence[int], now: int) -> None:
        """Owe at least what is owed elsewhere, so that counting can go on here from there."""
        arrivals = self.table.slot(key, now)
        for (seconds, _, _), owed in zip(windows.intervals, debts, strict=True):
            arrivals.put(seconds, max(arrivals.get(seconds), now + owed))

    def peek(self, key: str, windows: WindowSet, now: int) -> Sequence[int]:
        """The debt in each window, in nanoseconds."""
        return _debts(self.table.peek(key) or Arrivals(), windows, now)


def _debts(arrivals: Arrivals, windows: WindowSet, now: int) -> list[int]:
    return [gcra.debt(arrivals.get(seconds), now) for seconds, _, _ in windows.intervals]


def _make(key: str, shared: Arrivals | None) -> Arrivals:
    return Arrivals() if shared is None else shared.copy()


def _idle(arrivals: Arrivals, now: int) -> bool:
    return arrivals.latest() <= now
