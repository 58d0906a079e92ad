"""The windows of one limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.algorithms import gcra
from gateway.algorithms.gcra import Window

Field = tuple[bytes, bytes]

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


class WindowSet:
    """Windows that hold at once, of one limit. `debts` are always in the order of `windows`, in nanoseconds."""

    __slots__ = ("_names", "intervals", "policy", "prefixes", "windows")

    def __init__(self, name: str, windows: Sequence[Window]) -> None:
        self.windows = tuple(windows)
        # (length, interval, capacity) of each: what is needed for every request.
        self.intervals = tuple((window.seconds, window.interval, window.capacity) for window in self.windows)
        self._names = [name if len(self.windows) == 1 else f"{name}-{_length(window)}" for window in self.windows]
        # For the header fields (middleware/rate_limit.py): how the items of `RateLimit` begin, and `RateLimit-Policy`.
        self.prefixes = [f'"{item}";r=' for item in self._names]
        items = zip(self._names, self.windows, strict=True)
        policy = ", ".join(f'"{item}";q={window.limit};w={window.seconds}' for item, window in items)
        self.policy: Field = (b"ratelimit-policy", policy.encode())

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
