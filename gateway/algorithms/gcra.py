"""GCRA, the generic cell rate algorithm (ITU-T I.371): a limit as a debt that time pays back.

All that is kept of a key is one number, its theoretical arrival time (`tat`): when its debt is paid back. A request
of cost c adds c intervals to it, and passes when the debt is then at most the capacity. So in any stretch of t
nanoseconds at most burst + t / interval units pass, whatever they do. Times are whole nanoseconds of one clock, so
that nothing is lost or won by rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NANOSECONDS: Final = 1_000_000_000
LARGEST: Final = 2**53  # what the numbers of Redis hold exactly


@dataclass(frozen=True, slots=True)
class Window:
    """`limit` units in `seconds`, of which `burst` may come at once."""

    limit: int
    seconds: int
    burst: int

    @property
    def interval(self) -> int:
        """Nanoseconds in which one unit is paid back; rounded up, so that it is never more than the limit."""
        return -(-self.seconds * NANOSECONDS // self.limit)

    @property
    def capacity(self) -> int:
        """The largest debt, in nanoseconds."""
        return self.burst * self.interval


def debt(tat: int, now: int) -> int:
    """Nanoseconds until all is paid back."""
    return tat - now if tat > now else 0


def remaining(owed: int, interval: int, capacity: int) -> int:
    """Units that would pass at once, with this debt."""
    return (capacity - owed) // interval if owed < capacity else 0


def until_next(owed: int, interval: int, capacity: int) -> int:
    """Nanoseconds until one unit more than now would pass; 0 when nothing is owed."""
    if owed <= capacity:
        return min(owed, interval - (capacity - owed) % interval)
    return owed - capacity + interval


def wait(owed: int, interval: int, capacity: int, cost: int) -> int:
    """Nanoseconds until a request of this cost would pass."""
    return max(0, owed + cost * interval - capacity)


def whole_seconds(nanoseconds: int) -> int:
    """Rounded up: a client that comes back then does not come too early."""
    return -(-nanoseconds // NANOSECONDS)
