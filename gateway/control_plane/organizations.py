"""Whose environments and gateways these are: there is always a default one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.tables import Organization

DEFAULT: Final = "default"


async def ensure(database: Database, names: Iterable[str]) -> dict[str, UUID]:
    """The organizations of these names, and the default one; made where there are none, also by two at once."""
    return {name: await _ensure(database, name) for name in dict.fromkeys((DEFAULT, *names))}


async def _ensure(database: Database, name: str) -> UUID:
    query = select(Organization.uuid).where(Organization.name == name)
    try:
        async with database.transaction() as session:
            found = (await session.execute(query)).scalar_one_or_none()
            if found is None:
                made = Organization(name=name)
                session.add(made)
                await session.flush()
                found = made.uuid
            return found
    except IntegrityError:  # another control plane made it meanwhile
        async with database.transaction() as session:
            return (await session.execute(query)).scalar_one()
