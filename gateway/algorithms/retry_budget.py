"""How many requests may be sent once more: a share of those that came, in the window of Finagle, Linkerd and tower.

A retry is let through where it and those of the last `ttl` seconds are together at most

    max(ratio * requests, minimum_per_second * ttl)

for the requests of the same seconds, so a service that is down gets hardly more requests than one that is up. The
minimum lets services with few requests retry as well. It is a floor, as Envoy's `min_retry_concurrency` is, where
Finagle adds it to the share: with the sum, 1,000 requests a second that all fail would become 1,300 attempts in the
first second and 1,210 in every one after that, at 20% and 10 a second; and 20% is to mean that no more than 1.2 times
the requests are sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.algorithms.windowed_sum import WindowedSum


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """How many retries there may be."""

    ratio: float = 0.2  # retries for each request
    minimum_per_second: int = 10  # retries, whatever the number of requests
    ttl: int = 10  # seconds


class RetryBudget:
    """Draw from it when a retry is decided, before any pause: those that wait are spent already."""

    __slots__ = ("_withdrawn", "drawn", "exhausted", "requests", "settings")

    def __init__(self, settings: BudgetSettings) -> None:
        self.drawn = 0  # retries that were paid for, without those that were given back
        self.exhausted = 0  # retries that were refused
        self.settings = settings
        self.requests = WindowedSum(settings.ttl)  # to be added to with each that comes and is no retry
        self._withdrawn = WindowedSum(settings.ttl)

    def configure(self, settings: BudgetSettings) -> None:
        """Take these limits from now on. What was deposited and withdrawn is kept."""
        self.settings = settings
        self.requests.resize(settings.ttl)
        self._withdrawn.resize(settings.ttl)

    def withdraw(self, now: float) -> bool:
        """Whether there may be one more retry. If so, it is paid for."""
        if not self.available(now):
            self.exhausted += 1
            return False
        self._withdrawn.add(1, now)
        self.drawn += 1
        return True

    def give_back(self, withdrawn: float, now: float) -> None:
        """The retry that was paid for at `withdrawn` is not sent after all."""
        self._withdrawn.correct(-1, withdrawn, now)
        self.drawn -= 1

    def available(self, now: float) -> int:
        """Retries that would be let through at once."""
        settings = self.settings
        # A share of a whole number of percent, of many requests, must not be one less for want of a binary fraction.
        share = int(round(settings.ratio * self.requests.total(now), 6))
        allowed = max(share, settings.minimum_per_second * settings.ttl)
        return max(0, allowed - self._withdrawn.total(now))
