"""Whose turn it is to have more of its bytes read.

A read of 64 KiB can hold ten thousand chunks of one byte, which take milliseconds to parse, and a client may send such
bodies on a thousand connections. Each gets a small share at once; for more, it waits in a queue that has a bounded time
of the loop, client by client, so that others, who sent little, are not held up. So does what is only read to be thrown
away.

Bytes that come one by one cost a read each. Those whose client sends many such crumbs, on whatever connections, are not
read for a moment, after which more of them come at once.

Heads on new connections are read a few at a time, client by client, and so are those of a client with very many
connections, while there are others. What looks like a request goes first, and what has to be refused last, also behind
the same address: a flood of what is no request waits, and those whose requests can be served do not wait for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final, Protocol

from gateway.algorithms.fairness import FairQueue

BUDGET: Final = 0.0005  # seconds of a turn of the loop, for all who wait
SHARES: Final = 4  # of them, in the same turn: what a share causes comes later
PAUSE: Final = 0.001  # seconds until the next such turn
BEGUN_AT_ONCE: Final = 2  # requests, in one turn of the loop: each of them causes more in the turns behind it
LOOKED_AT: Final = 8  # of those that wait, until so many are found: some of them are refused, or gone
GONE_AT_ONCE: Final = 64  # of those whose connection has ended while they waited, passed over for each that has not
LATE_PER_SECOND: Final = 2000  # of those that go behind, or last, where turns are so long that one in each would be few
LATE_AT_ONCE: Final = 4  # of them, in one turn: what they cause makes the next turns long, and these must not take more
IN_VAIN: Final = 0.002  # seconds without those that go last, for each that was begun and given up by its client
LONGEST_IN_VAIN: Final = 0.1  # seconds, for however many
CROWD: Final = 100  # connections of one client, beyond which all its requests wait for their turn
CRUMBS: Final = 20  # reads of next to nothing that each client has in every WINDOW
WINDOW: Final = 0.01  # seconds
REST: Final = 0.25  # seconds without a read, of a connection that brings more of them
RESTED_AT_ONCE: Final = 16  # connections that are read again in one turn of the loop


class Waiting(Protocol):
    """A connection that has more to do than its share."""

    def go_on(self) -> object:
        """Do a share of it, and join the queue again if that was not all."""
        ...


class Beginning(Protocol):
    """A connection with a request that is to be begun."""

    def go_on(self) -> bool | None:
        """Begin it. Returns whether that makes work: not where it joined again, as the last. None where it is gone."""
        ...


class Resting(Protocol):
    """A connection that is not read for a moment."""

    def rested(self) -> None:
        """Read it again."""
        ...


class Turns:
    """The queues of one loop."""

    __slots__ = ("_crumbs", "_resting", "_running", "_waiting", "_window")

    def __init__(self) -> None:
        self._waiting: FairQueue[Waiting] = FairQueue()
        self._running = False
        self._resting: deque[tuple[float, Resting]] = deque()  # in the order of the time at which they go on
        self._window = 0
        self._crumbs: dict[bytes | str, int] = {}  # in this window, by client

    @property
    def waiting(self) -> bool:
        """Whether there is more to do already than a turn has time for."""
        return len(self._waiting) > 0

    def join(self, place: bytes | str, waiting: Waiting) -> None:
        """Go on, for the client at this place, in this turn of the loop if there is time, or in one of the next."""
        self._waiting.put(place, waiting)
        if not self._running:
            self._running = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        ends = time.perf_counter() + BUDGET
        try:
            for _ in range(min(SHARES, len(self._waiting))):
                self._waiting.take().go_on()
                if time.perf_counter() >= ends:
                    break
        finally:  # whatever one of them did, the others wait for their turn
            self._running = len(self._waiting) > 0
            if self._running:
                asyncio.get_running_loop().call_later(PAUSE, self._run)

    def is_crumb_too_many(self, place: bytes | str, now: float) -> bool:
        """Count a read of next to nothing at this loop time. Returns whether its connection should rest."""
        window = int(now / WINDOW)
        if window != self._window:
            self._window = window
            self._crumbs.clear()
        crumbs = self._crumbs.get(place, 0) + 1
        self._crumbs[place] = crumbs
        return crumbs > CRUMBS

    def rest(self, waiting: Resting, now: float) -> None:
        """Read it again after a moment."""
        if not self._resting:
            asyncio.get_running_loop().call_later(REST, self._wake)
        self._resting.append((now + REST, waiting))

    def _wake(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for _ in range(min(RESTED_AT_ONCE, len(self._resting))):
            if self._resting[0][0] > now:
                break
            self._resting.popleft()[1].rested()
        if self._resting:
            loop.call_later(max(self._resting[0][0] - now, 0.001), self._wake)


class Beginnings:
    """Whose request is begun next: of a few connections in each turn of the loop, client by client.

    What a flood sends on hundreds of connections comes at once; read at once, it would hold up all others for as long
    as that takes, and again with each of the steps that follow. That is worth its price, a turn of the loop for every
    few requests, on new connections, and where one client has a crowd of them beside others that have not. (Where all
    do, they are balancers, and all clients are behind them.)

    A pipeline brings many requests at once, and each that is answered would begin the next one in the same turn. So
    where others wait, it goes behind them for each of its requests: one of a pipeline is begun in each turn.

    Of what comes large, as few requests do, one is begun in each turn, and the others do not wait behind it: so that it
    holds up little also behind the same balancer. Of what goes last, because it does not look as if it could be served,
    one is taken at the end of each turn; fewer where those before were begun in vain, as their clients gave them up: a
    flood that does that is faster than we are, and most of it is gone before its turn.
    """

    __slots__ = (
        "_behind",
        "_connections",
        "_crowds",
        "_large",
        "_last",
        "_last_from",
        "_late_taken",
        "_pausing",
        "_waiting",
        "crowded",
        "due",
    )

    def __init__(self) -> None:
        self._waiting: FairQueue[Beginning] = FairQueue()
        self._large: FairQueue[Beginning] = FairQueue()
        self._behind: FairQueue[Beginning] = FairQueue()
        self._last: FairQueue[Beginning] = FairQueue()
        self._late_taken = 0.0  # when those of these two had their turn
        self._last_from = 0.0  # when the next of the last may have its turn
        self._pausing = False  # until then
        self.due = False  # whether one is begun in the next turn of the loop
        self._connections: dict[bytes | str, int] = {}  # by client
        self._crowds = 0  # clients that have more than CROWD
        self.crowded = False  # whether there are such clients, and others

    def came(self, place: bytes | str) -> None:
        """The client at this place has one connection more."""
        count = self._connections.get(place, 0) + 1
        self._connections[place] = count
        if count == CROWD + 1:
            self._crowds += 1
        self.crowded = 0 < self._crowds < len(self._connections)

    def left(self, place: bytes | str) -> None:
        """Note that a client has one connection less."""
        count = self._connections.pop(place) - 1
        if count:
            self._connections[place] = count
        if count == CROWD:
            self._crowds -= 1
        self.crowded = 0 < self._crowds < len(self._connections)

    def is_crowd(self, place: bytes | str) -> bool:
        """Whether it has so many that what they send together would hold up others, and there are others."""
        return self.crowded and self._connections.get(place, 0) > CROWD

    def gave_up(self) -> None:
        """The client of a request that went last has not waited for its answer."""
        now = time.perf_counter()
        self._last_from = min(max(self._last_from, now) + IN_VAIN, now + LONGEST_IN_VAIN)

    def join(
        self, place: bytes | str, waiting: Beginning, *, large: bool = False, behind: bool = False, last: bool = False
    ) -> None:
        """Go on, for the client at this place, in one of the next turns of the loop.

        `large`: what has come is. `behind`: it is of a pipeline, and others go first. `last`: it does not look like
        what can be served, and so do they.
        """
        if (behind or last) and not (self._behind or self._last):
            self._late_taken = time.perf_counter()
        queue = self._last if last else self._behind if behind else self._large if large else self._waiting
        queue.put(place, waiting)
        if not self.due:
            self.due = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        try:
            self._begin()
        finally:
            self.due = len(self._waiting) + len(self._large) + len(self._behind) > 0
            if self._last and not self.due:
                pause = self._last_from - time.perf_counter()
                self.due = pause <= 0
                if pause > 0 and not self._pausing:
                    self._pausing = True
                    asyncio.get_running_loop().call_later(pause, self._resume)
            if self.due:
                asyncio.get_running_loop().call_soon(self._run)

    def _resume(self) -> None:
        self._pausing = False
        if not self.due:
            self._run()

    def _begin(self) -> None:
        begun = looked_at = 0
        while begun < BEGUN_AT_ONCE and looked_at < LOOKED_AT and (self._waiting or self._large):
            looked_at += 1
            ends = begun == BEGUN_AT_ONCE - 1 or looked_at == LOOKED_AT
            queue = self._large if ends and self._large else self._waiting or self._large
            if _begin_next(queue) or queue is self._large:
                begun += 1
        if self._behind or self._last:
            now = time.perf_counter()
            most = min(LATE_AT_ONCE, max(1, int((now - self._late_taken) * LATE_PER_SECOND)))
            self._late_taken = now
            for _ in range(min(most, len(self._behind))):
                _begin_next(self._behind)
            if now >= self._last_from:
                for _ in range(min(most, len(self._last))):
                    _begin_next(self._last)


def _begin_next(queue: FairQueue[Beginning]) -> bool:
    """Whether that makes work. Those that are gone do not take a turn: they come and go as fast as they are let in."""
    for _ in range(min(GONE_AT_ONCE, len(queue))):
        makes_work = queue.take().go_on()
        if makes_work is not None:
            return makes_work
    return False


class ClientTurns:
    """The turns of one client."""

    __slots__ = ("_place", "_turns")

    def __init__(self, turns: Turns, place: bytes | str) -> None:
        self._turns = turns
        self._place = place

    def join(self, waiting: Waiting) -> None:
        """Go on in this turn of the loop if there is time, or in one of the next."""
        self._turns.join(self._place, waiting)
