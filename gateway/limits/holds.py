"""Reserve and commit: what a request may use of limits is held before it begins, and settled when it is over.

So requests at once cannot all pass on what is left for one of them. A hold counts like what is used, until it is
settled with what was used in truth, or expires, because its owner ended. What is used is kept in ledgers
(`ledger.py`), where it outlives the process; holds of one process are in its memory, and end with it.

What is used beyond a limit is at most the sum, over the holds at once, of what each used beyond its amount.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple, Protocol

from gateway.algorithms.calendar_windows import Span
from gateway.limits.ledger import Ledger

MOST: Final = 2**53 - 1
"""The maximum of a counter: the largest whole number up to which Lua and JSON count exactly."""

SPARE_EXPIRIES: Final = 1000  # of holds that are settled already, which wait for their time


@dataclass(frozen=True, slots=True)
class Line:
    """The claim of one request on one window of one limit."""

    ledger: Ledger
    key: str  # whose
    span: Span
    limit: int
    amount: int
    enforced: bool  # False: it refuses nothing, and counts


class Room(NamedTuple):
    """How a window stands without the hold that is asked for."""

    used: int
    held: int


class Reservation(NamedTuple):
    """Whether all that is enforced has room; if not, nothing was held."""

    fits: bool
    rooms: Sequence[Room]  # in the order of the lines


class HoldStore(Protocol):
    """Where holds are placed."""

    @property
    def unsettled(self) -> int:
        """Holds that are over, of which a store elsewhere has not heard yet."""
        ...

    async def reserve(self, hold: str, lines: Sequence[Line], seconds: float) -> Reservation | None:
        """Hold the amounts of all lines, or of none, for so long at most. None: it does not answer."""
        ...

    def settle(self, hold: str, lines: Sequence[Line], amounts: Sequence[int]) -> None:
        """The request is over, and used so much. Never waits, never raises."""
        ...

    def assume(self, hold: str, lines: Sequence[Line], seconds: float) -> Reservation:
        """The same as `reserve`, by what this process knows."""
        ...

    def room(self, line: Line) -> Room:
        """How a window stands as far as this process knows."""
        ...

    def holding(self, ledger: Ledger) -> dict[str, int]:
        """Holds of this process in the current window, by key."""
        ...


class LocalHolds:
    """Holds in the memory of this process, exactly. `clock` is `time.monotonic`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.expired = 0
        self.unsettled = 0  # never any: all is here
        self._clock = clock
        self._open: dict[str, tuple[Sequence[Line], Sequence[int], float]] = {}  # the last: until when
        self._held: dict[tuple[str, str, int], int] = {}
        self._expiries: list[tuple[float, str]] = []

    async def reserve(self, hold: str, lines: Sequence[Line], seconds: float) -> Reservation | None:
        """See `HoldStore`. None: what is used is not known, because the book does not answer."""
        for line in lines:
            if line.ledger.used(line.key) is None and not await line.ledger.read(line.key):
                break  # the others share its book, mostly: a request waits once
        known = all(line.ledger.book.available and line.ledger.used(line.key) is not None for line in lines)
        return self.assume(hold, lines, seconds) if known else None

    def assume(self, hold: str, lines: Sequence[Line], seconds: float) -> Reservation:
        """See `HoldStore`: without anything in between, so that requests at once are decided one after the other."""
        self.expire()
        rooms = [self.room(line) for line in lines]
        fits = all(
            not line.enforced or room.used + room.held + line.amount <= line.limit
            for line, room in zip(lines, rooms, strict=True)
        )
        if fits:
            self.place(hold, lines, [line.amount for line in lines], seconds)
        return Reservation(fits, rooms)

    def settle(self, hold: str, lines: Sequence[Line], amounts: Sequence[int]) -> None:
        """See `HoldStore`."""
        self.drop(hold)
        for line, amount in zip(lines, amounts, strict=True):
            if amount:
                line.ledger.add(line.key, min(amount, MOST - line.ledger.assume(line.key)), line.span)

    def room(self, line: Line) -> Room:
        """See `HoldStore`."""
        return Room(line.ledger.assume(line.key), self._held.get(_window(line), 0))

    def holding(self, ledger: Ledger) -> dict[str, int]:
        """See `HoldStore`."""
        self.expire()
        window = ledger.name, ledger.span().starts
        return {key: held for (name, key, starts), held in self._held.items() if (name, starts) == window and held}

    def place(self, hold: str, lines: Sequence[Line], amounts: Sequence[int], seconds: float) -> None:
        """Hold these amounts, in the place of what it held, without asking whether there is room."""
        self.drop(hold)
        due = self._clock() + seconds
        self._open[hold] = lines, amounts, due
        for line, amount in zip(lines, amounts, strict=True):
            self._held[_window(line)] = self._held.get(_window(line), 0) + amount
        heappush(self._expiries, (due, hold))
        if len(self._expiries) > 2 * len(self._open) + SPARE_EXPIRIES:
            self._expiries = [(due, hold) for hold, (_, _, due) in self._open.items()]
            heapify(self._expiries)

    def drop(self, hold: str) -> bool:
        """It holds nothing any more. False: it did not."""
        found = self._open.pop(hold, None)
        if found is None:
            return False
        for line, amount in zip(*found[:2], strict=True):
            left = self._held.get(_window(line), 0) - amount
            if left:
                self._held[_window(line)] = left
            else:  # others may hold nothing of it, and find nothing
                self._held.pop(_window(line), None)
        return True

    def open(self) -> list[tuple[str, Sequence[Line], float]]:
        """All holds, with the seconds that are left to them."""
        self.expire()
        now = self._clock()
        return [(hold, lines, due - now) for hold, (lines, _, due) in self._open.items()]

    def expire(self) -> None:
        """Drop the holds whose time is over."""
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            due, hold = heappop(self._expiries)
            if hold in self._open and self._open[hold][2] == due:  # it may have been placed anew
                self.expired += self.drop(hold)


def _window(line: Line) -> tuple[str, str, int]:
    return line.ledger.name, line.key, line.span.starts
