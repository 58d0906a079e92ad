"""Checks the clock of this machine against other clocks: a wrong one rejects valid tokens and keys.

What others say is the Date of answers that are there anyway: of health checks, and of issuers whose keys are fetched.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final, Protocol

from gateway.algorithms.clock_evidence import Difference, difference
from gateway.algorithms.http_cache.directives import http_date
from gateway.auth.metrics import FetchedKeys
from gateway.auth.token_times import SET_IT_RIGHT, TokenTimes
from gateway.live import Owner
from gateway.upstream.service import Upstream

logger = logging.getLogger("gateway.clock")

SERVICE: Final = ("clock",)
"""The one identity under which it lives."""
LOOK_SECONDS: Final = 5.0
JUMP_SECONDS: Final = 5.0  # from which on the clock was set, not steered
REPORTED_SECONDS: Final = 600.0  # for which /health reports a jump
ENDPOINTS: Final = 200  # whose answers are looked at
NAMED: Final = 3


class Clocks(Protocol):
    """The clocks."""

    def wall(self) -> float:
        """Seconds since 1970."""
        ...

    def steady(self) -> float:
        """Seconds of a clock that cannot be set, and that continues while the machine sleeps."""
        ...


class SystemClocks:
    """Those of this machine."""

    def wall(self) -> float:
        return time.time()

    def steady(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class ClockWatch:
    """Compares from time to time, beside the requests."""

    def __init__(self, owner: Owner, tokens: TokenTimes, clocks: Clocks | None = None) -> None:
        self._owner = owner
        self._tokens = tokens
        self._clocks = clocks or SystemClocks()
        self._jumps = 0
        self._jumped: tuple[float, float] | None = None  # by how much, and when by the steady clock
        self._offset = self._clocks.wall() - self._clocks.steady()
        self._difference: Difference | None = None
        self._reported: list[str] = []

    async def watch(self) -> None:
        """Look, for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Compare now; what is new is logged."""
        steady = self._clocks.steady()
        offset = self._clocks.wall() - steady
        jump, self._offset = offset - self._offset, offset
        if abs(jump) >= JUMP_SECONDS:
            self._jumps += 1
            self._jumped = jump, steady
            logger.warning("the clock of this machine was set %s; %s", _by(jump), _CONSEQUENCE)
        issuers = dict(self._of_issuers())
        self._difference = difference(issuers) or difference(issuers | dict(self._of_endpoints()))
        lasting = [*self._differing(), *self._tokens.troubles()]
        if bool(lasting) != bool(self._reported):
            logger.warning("%s", "; ".join(lasting) or "the clock of this machine is as those of others again")
        self._reported = lasting

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if self._jumped is not None and (ago := self._clocks.steady() - self._jumped[1]) < REPORTED_SECONDS:
            yield f"the clock of this machine was set {_by(self._jumped[0])}, {ago:.0f} s ago; {_CONSEQUENCE}"
        yield from self._differing()
        yield from self._tokens.troubles()

    def measures(self) -> dict[str, float]:
        """See `Measured`."""
        seconds = self._difference.seconds if self._difference else 0.0
        return {"gateway_clock_offset_seconds": seconds, "gateway_clock_jumps_total": self._jumps}

    def _differing(self) -> Iterator[str]:
        found = self._difference
        if found is not None:
            sources = ", ".join(found.sources[:NAMED])
            direction = "ahead of" if found.seconds > 0 else "behind"
            yield (
                f"the clock of this machine is {abs(found.seconds):.0f} s {direction} that of {sources}, as the Date "
                f"of answers says ({len(found.sources)} of {found.asked} that are asked); {_CONSEQUENCE}"
            )

    def _of_issuers(self) -> Iterator[tuple[str, float]]:
        """How far each issuer sees this clock ahead, in seconds: its tokens are judged by that, whatever others say."""
        for issuer in self._owner.all(FetchedKeys):
            if issuer.clock_ahead is not None:
                yield issuer.issuer, issuer.clock_ahead

    def _of_endpoints(self) -> Iterator[tuple[str, float]]:
        """The same of endpoints that are checked."""
        endpoints = chain.from_iterable(upstream.endpoints for upstream in self._owner.all(Upstream))
        for endpoint in islice(endpoints, ENDPOINTS):
            checked = endpoint.health.checked
            said = http_date(checked.date) if checked is not None else None
            if checked is not None and said is not None:
                yield endpoint.label, checked.at - said


def _by(seconds: float) -> str:
    return f"{'forward' if seconds > 0 else 'back'} by {abs(seconds):.0f} s"


_CONSEQUENCE: Final = f"tokens, keys that expire, signatures and quotas go by it: {SET_IT_RIGHT}"
