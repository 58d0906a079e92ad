"""One coarse clock for all the time-outs of a loop.

A timer per request costs more than a microsecond to set and as much to cancel; a number in an attribute costs
nothing. So everything that may run late keeps its own `deadline`, and one ticking timer looks at them all, some twenty
times a second while there is anyone to look at. Deadlines are met late by up to `TICK`, never early; where the process
was held up itself, by another `TICK`, in which it reads what has come meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

TICK: Final = 0.05  # seconds
HELD_UP: Final = 0.2  # seconds by which a tick is late when the process did not run: it was stopped, or had no core

logger = logging.getLogger("gateway")

NEVER: Final = float("inf")


class Timed(Protocol):
    """Anything with a deadline."""

    deadline: float  # loop time; NEVER for none

    def expired(self, now: float) -> None:
        """The deadline has passed. Must move `deadline`, or leave `Deadlines`."""
        ...


class Deadlines:
    """Everything on one event loop that may run late."""

    __slots__ = ("_due", "_loop", "_ticking", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[Timed] = set()
        self._ticking = False
        self._due = NEVER  # the next tick, in loop time

    def watch(self, timed: Timed) -> None:
        """Begin to look at it."""
        self._watched.add(timed)
        if not self._ticking:
            self._ticking = True
            self._tick_again(self._loop.time())

    def forget(self, timed: Timed) -> None:
        """Stop looking at it."""
        self._watched.discard(timed)

    def _tick(self) -> None:
        if not self._watched:
            self._ticking = False
            return
        now, due = self._loop.time(), self._due
        self._tick_again(now)
        if now > due + HELD_UP:
            self._due = NEVER  # the next one counts, however late it is
            return
        late = [timed for timed in self._watched if timed.deadline <= now]
        for timed in late:
            if timed.deadline <= now:  # unless one before it in the list moved it
                try:
                    timed.expired(now)
                except Exception:  # one that fails must not have all others wait for ever
                    self._watched.discard(timed)
                    logger.exception("%s has no time-out any more", type(timed).__name__)

    def _tick_again(self, now: float) -> None:
        self._due = now + TICK
        self._loop.call_later(TICK, self._tick)
