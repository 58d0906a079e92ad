"""A sum over a sliding time window: one partial sum for each second, and their total, kept as seconds pass."""

from __future__ import annotations


class WindowedSum:
    """The sum of the last `seconds` seconds, including the current one. O(1), amortised.

    Times are seconds of any clock; one that goes back is taken for standing still. Who adds with every request may do
    what `add` does by itself, without the call.
    """

    __slots__ = ("_partial", "_second", "_total", "ends", "latest")

    def __init__(self, seconds: int) -> None:
        self._partial = [0] * max(1, seconds)
        self._second = 0  # the latest second, whose place in the list is its remainder
        self._total = 0  # but for `latest`
        self.ends = 1.0  # of the latest second
        self.latest = 0  # what was added in it

    def add(self, amount: int, now: float) -> None:
        """Count this, until the window has passed."""
        if now >= self.ends:
            self.turn(now)
        self.latest += amount

    def correct(self, amount: int, time: float, now: float) -> None:
        """Add to what was added at an earlier time. It leaves the window with that."""
        if now >= self.ends:
            self.turn(now)
        second = min(int(time), self._second)
        if second > self._second - len(self._partial):
            self._partial[second % len(self._partial)] += amount
            self._total += amount

    def total(self, now: float) -> int:
        """The sum of what was added within the window."""
        if now >= self.ends:
            self.turn(now)
        return self._total + self.latest

    def clear(self) -> None:
        """Forget all of it."""
        self._partial = [0] * len(self._partial)
        self._total = self.latest = 0

    def resize(self, seconds: int) -> None:
        """Look at so many seconds from now on. What is known of those is kept."""
        self._keep_latest()
        former, length = self._partial, max(1, seconds)
        self._partial = [0] * length
        for second in range(self._second, self._second - min(length, len(former)), -1):
            self._partial[second % length] = former[second % len(former)]
        self._total = sum(self._partial)

    def turn(self, now: float) -> None:
        """A later second has begun: what is in front of the window is not counted any more."""
        self._keep_latest()
        second, length = int(now), len(self._partial)
        if second - self._second >= length:
            self.clear()
        else:
            for passed in range(self._second + 1, second + 1):
                self._total -= self._partial[passed % length]
                self._partial[passed % length] = 0
        self._second = second
        self.ends = second + 1.0

    def _keep_latest(self) -> None:
        self._partial[self._second % len(self._partial)] += self.latest
        self._total += self.latest
        self.latest = 0
