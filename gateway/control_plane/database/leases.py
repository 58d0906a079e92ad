"""Work that only one of several control planes may do, over the database.

A holder counts its `beat` up. Others take over where they have seen the same beat for longer than a lease lasts, by
their own monotonic clock: so no clock of any machine has to be right, and any may jump. A holder writes in
transactions that confirm its `term`, so that one that was frozen for an hour writes nothing more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane.database.connection import Database, DatabaseUnavailable
from gateway.control_plane.database.tables import Lease as Row
from gateway.control_plane.database.tables import now

logger = logging.getLogger("gateway.control_plane")

LEASE_SECONDS: Final = 30.0  # that a holder may be silent for
BEATS: Final = 3  # in that time


class LeaseLost(Exception):
    """Another one does the work now. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that was ours, when we looked last."""

    name: str
    holder: str
    term: int

    async def confirm(self, session: AsyncSession) -> None:
        """Keep the lease from being taken over until the transaction of this session has ended. Raises LeaseLost."""
        mine = select(Row.term).where(Row.name == self.name, Row.holder == self.holder, Row.term == self.term)
        if (await session.execute(mine.with_for_update(read=True))).first() is None:
            raise LeaseLost(self.name)


class Lease:
    """The turn of one control plane at one kind of work."""

    def __init__(self, database: Database, name: str, holder: str, seconds: float = LEASE_SECONDS) -> None:
        """`holder` is another one for each process, also after a restart."""
        self._database = database
        self._name = name
        self._holder = holder
        self._seconds = seconds
        self._seen: tuple[int, int] | None = None  # term and beat of another holder
        self._seen_at = 0.0  # monotonic
        self._held: Held | None = None
        self._until = 0.0  # monotonic: when others may have taken over

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._held is not None and time.monotonic() < self._until

    async def run(self, work: Callable[[Held], Coroutine[Any, Any, None]]) -> None:
        """Do the work whenever it is our turn, without end; it is cancelled where the lease was lost.

        What the work raises is raised. While the database is unavailable, no replica holds the lease.
        """
        try:
            while True:
                held = await self._take()
                if held is not None:
                    logger.info("this control plane does the work %r now", self._name)
                    await self._work(held, work)
                await asyncio.sleep(self._seconds / BEATS)
        finally:
            await asyncio.shield(self._give_up())

    async def _work(self, held: Held, work: Callable[[Held], Coroutine[Any, Any, None]]) -> None:
        self._held = held
        task = asyncio.create_task(work(held), name=f"control plane: {self._name}")
        try:
            while not task.done() and await self._renew(held):
                await asyncio.wait([task], timeout=self._seconds / BEATS)
            if not task.done():
                logger.warning("this control plane has lost the work %r", self._name)
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not self.held:
                self._held = None
        if not task.cancelled() and (failure := task.exception()) is not None and not isinstance(failure, LeaseLost):
            raise failure

    async def _take(self) -> Held | None:
        try:
            async with self._database.transaction() as session:
                found = (await session.execute(select(Row).where(Row.name == self._name).with_for_update())).scalar()
                if found is None:
                    session.add(Row(name=self._name, holder=self._holder, term=1, beat=0, renewed_at=now()))
                    term = 1
                elif self._may_take(found):
                    found.holder, found.term, found.renewed_at = self._holder, found.term + 1, now()
                    term = found.term
                else:
                    return None
            self._until = time.monotonic() + self._seconds
        except (DatabaseUnavailable, IntegrityError):  # the latter: another one was the first
            return None
        return Held(self._name, self._holder, term)

    def _may_take(self, found: Row) -> bool:
        if (found.term, found.beat) != self._seen:
            self._seen, self._seen_at = (found.term, found.beat), time.monotonic()
        return not found.holder or found.holder == self._holder or time.monotonic() - self._seen_at > self._seconds

    async def _renew(self, held: Held) -> bool:
        """Whether the lease is still held; without the database, until another replica may have taken it over."""
        asked = time.monotonic()
        try:
            async with self._database.transaction() as session:
                ours = (Row.name == held.name) & (Row.holder == held.holder) & (Row.term == held.term)
                await session.execute(update(Row).where(ours).values(beat=Row.beat + 1, renewed_at=now()))
                await held.confirm(session)
        except DatabaseUnavailable:
            return time.monotonic() < self._until
        except LeaseLost:
            self._until = 0.0
            return False
        self._until = asked + self._seconds
        return True

    async def _give_up(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            with suppress(DatabaseUnavailable):
                async with self._database.transaction() as session:
                    ours = (Row.name == held.name) & (Row.holder == held.holder) & (Row.term == held.term)
                    await session.execute(update(Row).where(ours).values(holder="", renewed_at=now()))
