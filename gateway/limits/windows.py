"""The windows of one limit, and the header fields that tell clients of them.

The fields are those of draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy: "name";q=10;w=1` is what holds, and
`RateLimit: "name";r=7;t=1` that 7 would pass at once, and one more in at most a second. A limit of several windows
has an item for each, called by the length of its window. No partition keys (`pk`) are sent: they would tell how
clients are distinguished.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.algorithms import gcra
from gateway.algorithms.gcra import NANOSECONDS, Window

Field = tuple[bytes, bytes]

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


class WindowSet:
    """Windows that hold at once, of one limit. `debts` are always in the order of `windows`, in nanoseconds."""

    __slots__ = ("_names", "_prefixes", "intervals", "policy", "windows")

    def __init__(self, name: str, windows: Sequence[Window]) -> None:
        self.windows = tuple(windows)
        # (length, interval, capacity) of each: what is needed for every request.
        self.intervals = tuple((window.seconds, window.interval, window.capacity) for window in self.windows)
        self._names = [name if len(self.windows) == 1 else f"{name}-{_length(window)}" for window in self.windows]
        self._prefixes = [f'"{item}";r=' for item in self._names]
        items = zip(self._names, self.windows, strict=True)
        policy = ", ".join(f'"{item}";q={window.limit};w={window.seconds}' for item, window in items)
        self.policy: Field = (b"ratelimit-policy", policy.encode())

    def passed(self, debts: Sequence[int]) -> tuple[Field, Field]:
        """The fields of a response, when so much is owed after the request."""
        items: list[str] = []
        for index, owed in enumerate(debts):
            # gcra.remaining and gcra.until_next in one: this is done for every request.
            _, interval, capacity = self.intervals[index]
            left, rest = divmod(capacity - owed, interval)
            seconds = -(-min(owed, interval - rest) // NANOSECONDS)
            items.append(f"{self._prefixes[index]}{left};t={seconds}")
        return self.policy, (b"ratelimit", ", ".join(items).encode())

    def refused(self, debts: Sequence[int], cost: int) -> tuple[int, tuple[Field, ...]]:
        """Seconds until a request of this cost would pass, and the fields of its refusal.

        Only windows that refused have a `t`: Retry-After must not come before any of them, and windows that had room do
        not matter to when to come back.
        """
        items, after = [], 1
        for prefix, (_, interval, capacity), owed in zip(self._prefixes, self.intervals, debts, strict=True):
            item = f"{prefix}{gcra.remaining(owed, interval, capacity)}".encode()
            waiting = gcra.whole_seconds(gcra.wait(owed, interval, capacity, cost))
            if waiting:
                item += b";t=%d" % gcra.whole_seconds(gcra.until_next(owed, interval, capacity))
                after = max(after, waiting)
            items.append(item)
        fields = (self.policy, (b"ratelimit", b", ".join(items)), (b"retry-after", b"%d" % after))
        return after, fields

    def violated(self, debts: Sequence[int], cost: int) -> list[str]:
        """The windows that refuse such a request, as texts: `10 in 1s`."""
        return [
            f"{window.limit} in {_length(window)}"
            for window, (_, interval, capacity), owed in zip(self.windows, self.intervals, debts, strict=True)
            if gcra.wait(owed, interval, capacity, cost)
        ]

    def violated_policies(self, debts: Sequence[int], cost: int) -> list[str]:
        """Their names in `RateLimit-Policy`, for the problem document."""
        return [
            name
            for name, (_, interval, capacity), owed in zip(self._names, self.intervals, debts, strict=True)
            if gcra.wait(owed, interval, capacity, cost)
        ]

    def left(self, debts: Sequence[int]) -> str:
        """How many would pass at once: `7 of 10 in 1s`."""
        return ", ".join(
            f"{gcra.remaining(owed, interval, capacity)} of {window.burst} in {_length(window)}"
            for window, (_, interval, capacity), owed in zip(self.windows, self.intervals, debts, strict=True)
        )


def _length(window: Window) -> str:
    """`1s`, `15m`: the largest unit that fits."""
    return next(f"{window.seconds // unit}{letter}" for unit, letter in _UNITS if window.seconds % unit == 0)
