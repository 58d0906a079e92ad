"""Work on credentials that are not proven yet: so much at a time, and those that wait take turns by their addresses.

One address, however many requests it sends, delays those of another by one piece of work, and takes no more than its
part of what may wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from gateway.algorithms.networks import client_network
from gateway.http import Exchange


class BusyError(Exception):
    """Raised when the queue is full."""


class Turns:
    """`capacity` is in the unit of the weights; a single piece of work that weighs more is done alone.

    `at_once_of_one`: pieces of one owner that are worked on at a time; `waiting_of_one` and `waiting`: that wait.
    """

    def __init__(self, capacity: int, at_once_of_one: int, waiting_of_one: int, waiting: int) -> None:
        self._capacity = capacity
        self._at_once_of_one = at_once_of_one
        self._waiting_of_one = waiting_of_one
        self._most = waiting
        self._used = 0
        self._working: Counter[Hashable] = Counter()
        # Who waits with what; the owner whose turn is next is the first.
        self._queues: OrderedDict[Hashable, deque[tuple[asyncio.Future[None], int]]] = OrderedDict()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, owner: Hashable, weight: int = 1) -> AsyncIterator[None]:
        """Wait until it is the owner's turn; it ends with the block. Raises BusyError."""
        own = len(self._queues.get(owner, ()))
        if own >= self._waiting_of_one:
            raise BusyError
        if self._waiting >= self._most:
            self._turn_away_one_of_many(own)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(owner, deque()).append((future, weight))
        self._waiting += 1
        self._advance()
        try:
            await future
        except asyncio.CancelledError:
            if future.cancelled():  # while it waited
                self._remove(owner, future)
            else:
                self._end(owner, weight)
            raise
        try:
            yield
        finally:
            self._end(owner, weight)

    def _turn_away_one_of_many(self, own: int) -> None:
        """The last of the longest queue makes room, where that is longer than the queue of who asks for it."""
        longest = max(self._queues, key=lambda owner: len(self._queues[owner]))
        if len(self._queues[longest]) <= own + 1:
            raise BusyError
        future, _ = self._queues[longest][-1]
        future.set_exception(BusyError())
        self._remove(longest, future)

    def _remove(self, owner: Hashable, future: asyncio.Future[None]) -> None:
        queue = self._queues.get(owner, deque())
        self._queues[owner] = deque(entry for entry in queue if entry[0] is not future)
        self._waiting -= len(queue) - len(self._queues[owner])
        if not self._queues[owner]:
            del self._queues[owner]

    def _advance(self) -> None:
        """Start queued items, in turn, as far as there are slots."""
        while (owner := self._next()) is not None:
            future, weight = self._queues[owner].popleft()
            self._waiting -= 1
            self._queues.move_to_end(owner)
            if not self._queues[owner]:
                del self._queues[owner]
            if not future.done():
                self._used += weight
                self._working[owner] += 1
                future.set_result(None)

    def _next(self) -> Hashable | None:
        """The next client: of those with the least work in progress, the one that has waited longest."""
        may = [owner for owner in self._queues if self._working[owner] < self._at_once_of_one]
        if not may:
            return None
        owner = min(may, key=self._working.__getitem__)
        _, weight = self._queues[owner][0]
        return None if self._used and self._used + weight > self._capacity else owner

    def _end(self, owner: Hashable, weight: int) -> None:
        self._used -= weight
        self._working[owner] -= 1
        if not self._working[owner]:
            del self._working[owner]
        self._advance()


def owner_of(exchange: Exchange) -> Hashable:
    """Who stands for a client: its IPv4 address, or the /64 network of its IPv6 address."""
    return client_network(exchange.client) or exchange.client[:64]
