"""Keeps a day of samples, and no more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, func, select

from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.leases import Held
from gateway.control_plane.database.tables import HealthSample

KEPT: Final = timedelta(hours=24)
BATCH: Final = timedelta(minutes=5)  # of samples that one transaction deletes
AHEAD: Final = timedelta(hours=1)  # of now, where samples can only come from a clock that was wrong


async def sweep(database: Database, held: Held, now: datetime) -> int:
    """Delete older samples in batches, so that no transaction is long. Returns the number of batches.

    Raises LeaseLost, DatabaseUnavailable.
    """
    batches = 0
    while True:
        async with database.transaction() as session:
            await held.confirm(session)
            await session.execute(delete(HealthSample).where(HealthSample.checked_at > now + AHEAD))
            oldest = (await session.execute(select(func.min(HealthSample.checked_at)))).scalar()
            if oldest is None or oldest >= now - KEPT:
                return batches
            end = min(oldest + BATCH, now - KEPT)
            await session.execute(delete(HealthSample).where(HealthSample.checked_at < end))
        batches += 1
