"""Token issuers whose keys are fetched: their metrics, and that they are asked again when an operator wants it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

from gateway.families import Family, Labels, gauge


class FetchedKeys:
    """How old the keys of an issuer are: known without the libraries that read them, which few configurations need."""

    def __init__(self, issuer: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.issuer = issuer
        self._clock = clock
        self._until = 0.0  # monotonic time at which the keys cease to hold
        self._fetched_at: float | None = None
        self.clock_ahead: float | None = None  # seconds, of this machine's to that of the issuer; None: unknown

    async def ask_again(self) -> None:
        """Fetch the keys now, so that those that the issuer has withdrawn hold no more; not waited for long."""

    @property
    def seconds_left(self) -> float:
        """See KeySource."""
        return self._until - self._clock()

    @property
    def age(self) -> float | None:
        """Seconds since the keys were fetched; None: they never were."""
        return None if self._fetched_at is None else self._clock() - self._fetched_at


async def ask_again(issuers: Iterable[FetchedKeys]) -> None:
    """Have the keys of all of these fetched."""
    await asyncio.gather(*(issuer.ask_again() for issuer in issuers))


def issuer_metrics(sources: Iterable[FetchedKeys]) -> Iterator[Family]:
    """A label for each issuer of the configuration: there are no others."""
    issuers = list(sources)
    ages: dict[Labels, float] = {(each.issuer,): each.age for each in issuers if each.age is not None}
    left: dict[Labels, float] = {(each.issuer,): max(0.0, each.seconds_left) for each in issuers}
    help = "Time since the keys of an issuer were fetched; where it grows, /health says why they cannot be."
    yield gauge("gateway_issuer_keys_age_seconds", help, ages, ("issuer",), "max")
    help = "Time for which they still hold; at 0 its tokens are answered 503."
    yield gauge("gateway_issuer_keys_seconds_left", help, left, ("issuer",), "min")
