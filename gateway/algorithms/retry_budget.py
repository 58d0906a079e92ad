"""How many requests may be sent once more: Finagle's retry budget, which Linkerd and tower have, too.

Each request deposits one, which expires after `ttl`; each retry withdraws 1 / ratio; a reserve lets services with few
requests retry as well. So in any `ttl` seconds there are at most

    ratio * requests + minimum_per_second * ttl

retries, and a service that is down gets hardly more requests than one that is up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from gateway.algorithms.windowed_sum import WindowedSum

_UNIT: Final = 1000  # one request, so that a ratio needs no fractions


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """How many retries there may be."""

    ratio: float = 0.2  # retries for each request
    minimum_per_second: int = 10  # retries, whatever the number of requests
    ttl: int = 10  # seconds


class RetryBudget:
    """Draw from it when a retry is decided, before any pause: those that wait are spent already."""

    __slots__ = ("_balance", "_deposit", "_price", "_reserve", "exhausted", "settings")

    def __init__(self, settings: BudgetSettings) -> None:
        self.exhausted = 0  # retries that were refused
        self._balance = WindowedSum(settings.ttl)
        self.configure(settings)

    def configure(self, settings: BudgetSettings) -> None:
        """Take these limits from now on. What was deposited and withdrawn is kept."""
        self.settings = settings
        self._balance.resize(settings.ttl)
        self._deposit = _UNIT if settings.ratio > 0 else 0
        self._price = math.ceil(_UNIT / settings.ratio) if settings.ratio > 0 else _UNIT
        self._reserve = settings.minimum_per_second * settings.ttl * self._price

    def deposit(self, now: float) -> None:
        """A request came, which is none of the retries."""
        self._balance.add(self._deposit, now)

    def withdraw(self, now: float) -> bool:
        """Whether there may be one more retry. If so, it is paid for."""
        if self._balance.total(now) + self._reserve < self._price:
            self.exhausted += 1
            return False
        self._balance.add(-self._price, now)
        return True

    def give_back(self, withdrawn: float, now: float) -> None:
        """The retry that was paid for at `withdrawn` is not sent after all."""
        self._balance.correct(self._price, withdrawn, now)

    def available(self, now: float) -> int:
        """Retries that would be let through at once."""
        return max(0, self._balance.total(now) + self._reserve) // self._price
