"""How many requests a service takes at once: a fixed number."""

from __future__ import annotations


class FixedLimit:
    """A fixed number, with the methods of GradientLimit."""

    __slots__ = ("in_flight", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0

    def acquire(self, now: float) -> bool:
        """Whether one more may be sent now."""
        if self.in_flight >= self.limit:
            return False
        self.in_flight += 1
        return True

    def ended(self, began: float, now: float) -> None:
        """A request was answered."""
        self.in_flight -= 1

    def lost(self) -> None:
        """A request ended without an answer."""
        self.in_flight -= 1
