"""Holds in Redis, for several replicas: one call for all windows of a request, never one too many.

What is settled while Redis is unavailable is sent when it is back, and counts locally until then. A Redis that lost its
data gets the holds that are open here once more, and what is used from the ledgers; until all replicas have had the
time for that, it counts as unavailable, and what is settled stays a hold: added to less than another replica knows to
be used, it would be lost.

A hold lasts a minute in Redis, however long its request may take, and is renewed while that goes on: so what a replica
held that was killed is free a minute later.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from gateway.limits.hold_scripts import RESERVE, SETTLE, SETTLED_SECONDS
from gateway.limits.holds import MOST, Line, LocalHolds, Reservation, Room
from gateway.limits.ledger import CREDIT, KEPT_SECONDS, Ledger
from gateway.limits.redis_book import counter_key
from gateway.live import Supervised, Tasks
from gateway.outside.redis_link import RedisLink

LEASE_SECONDS: Final = 60.0  # of a hold in Redis
RENEW_SECONDS: Final = 15.0  # between two renewals
RETRY_SECONDS: Final = 0.25  # after a call that failed
AT_ONCE: Final = 100  # settlements under way
MOST_UNSETTLED: Final = 10_000  # that wait for Redis by name; of others only the amounts are kept
UNSETTLED_SECONDS: Final = 7 * 86400.0


class RedisHolds:
    """All holds of one process in one Redis. `clock` is `time.monotonic`."""

    def __init__(self, link: RedisLink, clock: Callable[[], float] = time.monotonic) -> None:
        self.local = LocalHolds(clock)  # what this process holds, and what it has not settled yet
        self.tasks = Tasks()
        self._link = link
        self._unsettled: dict[str, tuple[Sequence[Line], Sequence[int]]] = {}
        self._wanted = asyncio.Event()
        self._outages = 0
        self._clock = clock
        self._renewed = clock()
        self._settling: Supervised | None = None
        self._stopping = False

    async def start(self) -> None:
        """Begin to settle."""
        self._outages = self._link.outages
        self._settling = self.tasks.supervise("the settling of budgets", self._work)

    async def stop(self) -> None:
        """Settle what is left, if Redis answers."""
        self._stopping = True
        self._wanted.set()
        if self._settling is not None:
            await self._settling.finish()

    async def reserve(self, hold: str, lines: Sequence[Line], seconds: float) -> Reservation | None:
        """See `HoldStore`."""
        if not self._is_complete():
            return None
        try:
            answer = await self._ask(hold, lines, seconds, placed=False)
        except asyncio.CancelledError:
            self._settle_later(hold, lines, [0] * len(lines))
            raise
        if answer is None or not self._is_complete():
            self._settle_later(hold, lines, [0] * len(lines))  # it may have been placed
            return None
        fits, *counts = answer
        rooms = []
        for line, used, forgiven, held in zip(lines, counts[::3], counts[1::3], counts[2::3], strict=True):
            line.ledger.learn(line.key, line.span, used, forgiven)
            rooms.append(Room(max(0, used - forgiven), held))
        if fits:
            self.local.place(hold, lines, [line.amount for line in lines], seconds)
        return Reservation(bool(fits), rooms)

    def assume(self, hold: str, lines: Sequence[Line], seconds: float) -> Reservation:
        """See `HoldStore`. Each replica takes its share of what was left when Redis was last heard of."""
        self.local.expire()
        rooms = [self._of_share(line) for line in lines]
        fits = all(
            not line.enforced or room.used + room.held + line.amount <= line.limit
            for line, room in zip(lines, rooms, strict=True)
        )
        if fits:
            self.local.place(hold, lines, [line.amount for line in lines], seconds)
        return Reservation(fits, rooms)

    def settle(self, hold: str, lines: Sequence[Line], amounts: Sequence[int]) -> None:
        """See `HoldStore`."""
        self._settle_later(hold, lines, [min(amount, MOST) for amount in amounts])

    def room(self, line: Line) -> Room:
        """See `HoldStore`."""
        return self.local.room(line) if self._is_complete() else self._of_share(line)

    def holding(self, ledger: Ledger) -> dict[str, int]:
        """See `HoldStore`."""
        return self.local.holding(ledger)

    @property
    def unsettled(self) -> int:
        """Holds whose end Redis has not heard of."""
        return len(self._unsettled)

    def _is_complete(self) -> bool:
        """Whether Redis answers, and has what is held here and in other replicas."""
        return self._link.complete and self._outages == self._link.outages

    def _of_share(self, line: Line) -> Room:
        """How a window stands while Redis does not answer: the shares of the other replicas count as held."""
        used, held = self.local.room(line)
        left = max(0, line.limit - used)
        return Room(used, held + left - left // max(1, self._link.replicas))

    def _settle_later(self, hold: str, lines: Sequence[Line], amounts: Sequence[int]) -> None:
        if len(self._unsettled) < MOST_UNSETTLED:
            self._unsettled[hold] = lines, amounts
            self.local.place(hold, lines, amounts, UNSETTLED_SECONDS)
        else:  # the hold expires by itself in Redis
            self.local.settle(hold, lines, amounts)
        self._wanted.set()

    def _ask(
        self, hold: str, lines: Sequence[Line], seconds: float, *, placed: bool
    ) -> asyncio.Future[list[int] | None]:
        arguments: list[str | int] = [hold, int(min(seconds, LEASE_SECONDS)) + 1, int(placed)]
        for line in lines:
            known, forgiven = line.ledger.known(line.key, line.span)
            arguments += (line.limit, line.amount, int(line.enforced), known, forgiven, line.span.ends + KEPT_SECONDS)
        return self._link.ask(RESERVE, self._keys(lines), arguments)

    def _keys(self, lines: Sequence[Line]) -> list[str]:
        keys = []
        for line in lines:
            counter, credit = (
                counter_key(self._link.prefix, line.ledger.name, key, line.span)
                for key in (line.key, CREDIT + line.key)
            )
            keys += [counter, credit, f"{counter}:holds", f"{counter}:expiries"]
        return keys

    # In the background.

    async def _work(self) -> None:
        while True:
            answered = await self._renew() and await self._settle_some()
            if self._stopping and not (self._unsettled and answered):
                return
            if not answered:
                await asyncio.sleep(RETRY_SECONDS)
            elif not self._unsettled:
                # Until something is to be settled, or it is time to see whether Redis was away.
                self._wanted.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_SECONDS):
                        await self._wanted.wait()

    async def _settle_some(self) -> bool:
        """Report some of the settled holds to Redis. False: it did not answer, or does not know all yet."""
        if not self._link.available:
            return False
        reported = self._link.reported or self._stopping
        ended = ((hold, end) for hold, end in self._unsettled.items() if reported or not any(end[1]))
        batch = list(islice(ended, AT_ONCE))
        calls = [self._report(hold, lines, amounts) for hold, (lines, amounts) in batch]
        answers = [await call for call in calls]
        for (hold, (lines, _)), answer in zip(batch, answers, strict=True):
            if answer is not None:
                del self._unsettled[hold]
                self.local.drop(hold)
                for line, used, forgiven in zip(lines, answer[::2], answer[1::2], strict=True):
                    line.ledger.learn(line.key, line.span, used, forgiven)
        return None not in answers and (reported or bool(batch))

    def _report(self, hold: str, lines: Sequence[Line], amounts: Sequence[int]) -> asyncio.Future[list[int] | None]:
        arguments: list[str | int] = [hold, SETTLED_SECONDS]
        for line, amount in zip(lines, amounts, strict=True):
            arguments += (amount, *line.ledger.known(line.key, line.span), line.span.ends + KEPT_SECONDS)
        return self._link.ask(SETTLE, self._keys(lines), arguments)

    async def _renew(self) -> bool:
        """Have what is open last longer, or, where Redis was away and may have lost it, place it again. False: it did
        not answer."""
        outages, now = self._link.outages, self._clock()
        lost = self._outages != outages
        if not lost and now < self._renewed + RENEW_SECONDS:
            return True
        open_here = [each for each in self.local.open() if lost or each[0] not in self._unsettled]
        for start in range(0, len(open_here), AT_ONCE):
            calls = [
                self._ask(hold, self._as_it_ended(hold, lines), seconds, placed=True)
                for hold, lines, seconds in open_here[start : start + AT_ONCE]
                if lost or hold not in self._unsettled  # it may be over by now
            ]
            if None in [await call for call in calls]:
                return False
        self._outages, self._renewed = outages, now
        return True

    def _as_it_ended(self, hold: str, lines: Sequence[Line]) -> Sequence[Line]:
        """With what was used, where the hold is settled here."""
        _, amounts = self._unsettled.get(hold, (lines, [line.amount for line in lines]))
        return [replace(line, amount=amount) for line, amount in zip(lines, amounts, strict=True)]
