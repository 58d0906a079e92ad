"""Requests for the same wait for one that is on its way, for a bounded time."""

from __future__ import annotations

import asyncio
from typing import Final, Literal

from gateway.algorithms.byte_cache import ByteCache

Landing = Literal["stored", "apart", "failed", "lost"]
"""How a fetch ended: what came can be looked up; each must ask for itself, also for what comes next; each must ask for
itself this time; the one that fetched has disconnected, and another may ask for all."""

APART_SECONDS: Final = 60.0  # for which what could not be shared is asked for by each request itself
FAILED_SECONDS: Final = 1.0  # after a failure, for which a stale response is used without asking again
APART_BYTES: Final = 1024 * 1024


class Flight:
    """A fetch that others may wait for."""

    __slots__ = ("_landing",)

    def __init__(self) -> None:
        self._landing: asyncio.Future[Landing] = asyncio.get_running_loop().create_future()

    async def wait(self, seconds: float) -> Landing | None:
        """How it ended; None where it takes longer."""
        await asyncio.wait((self._landing,), timeout=seconds)
        return self._landing.result() if self._landing.done() else None

    def land(self, landing: Landing) -> None:
        """End the flight. The first result counts."""
        if not self._landing.done():
            self._landing.set_result(landing)

    @property
    def over(self) -> bool:
        """Whether it is."""
        return self._landing.done()


class Flights:
    """The fetches on their way, by what they are for."""

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight] = {}
        self._apart: ByteCache[bytes, float] = ByteCache(APART_BYTES)
        self._failed: ByteCache[bytes, float] = ByteCache(APART_BYTES)

    def under_way(self, what: bytes) -> Flight | None:
        """The fetch that others may wait for, if there is one."""
        flight = self._flights.get(what)
        return flight if flight is not None and not flight.over else None

    def begin(self, what: bytes) -> Flight:
        """A fetch that others may wait for from now on, in the place of one that took too long."""
        flight = self._flights[what] = Flight()
        return flight

    def end(self, what: bytes, flight: Flight, landing: Landing, now: float) -> None:
        """End the flight. Responses that cannot be shared are not waited for again for a while."""
        flight.land(landing)
        if self._flights.get(what) is flight:
            del self._flights[what]
        if landing == "apart":
            self._apart.put(what, now + APART_SECONDS)
        elif landing == "stored":
            self.came(what)

    def came(self, what: bytes) -> None:
        """A response came that others could use."""
        self._apart.discard(what)
        self._failed.discard(what)

    def failed(self, what: bytes, now: float) -> None:
        """The backend failed, and a stale response was used."""
        self._failed.put(what, now + FAILED_SECONDS)

    def failed_lately(self, what: bytes, now: float) -> bool:
        """Whether it did a moment ago."""
        until = self._failed.get(what)
        return until is not None and now < until

    def goes_apart(self, what: bytes, now: float) -> bool:
        """Whether what came the last time could not be shared."""
        until = self._apart.get(what)
        return until is not None and now < until
