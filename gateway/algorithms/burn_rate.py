"""How fast what may fail is used up, over two windows at once (The Site Reliability Workbook, chapter 5, table 5-8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class BurnWindow:
    """It burns where both windows, in seconds, exceed `rate` times what would use up the budget in 30 days."""

    long: int
    short: int
    rate: float
    severity: str


BURN_WINDOWS: Final = (
    BurnWindow(3600, 300, 14.4, "page"),
    BurnWindow(6 * 3600, 1800, 6.0, "page"),
    BurnWindow(3 * 86400, 6 * 3600, 1.0, "ticket"),
)


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests in one window, and how many of them were good."""

    good: int
    total: int

    @property
    def bad_share(self) -> float:
        """From 0 to 1; 0 where there were none."""
        return (self.total - self.good) / self.total if self.total else 0.0

    def burn_rate(self, objective: float) -> float:
        """How many times too fast, for an objective below 1."""
        return self.bad_share / (1 - objective)
