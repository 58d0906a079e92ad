"""Environments: rules and queries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane.callers import Caller
from gateway.control_plane.database.tables import Environment, GatewayEnvironment
from gateway.control_plane.etags import etag_of
from gateway.control_plane.problems import FieldError, Problem
from gateway.control_plane.schemas import NAME_PATTERN
from gateway.plurals import counted


def seen_by(caller: Caller) -> Select[Environment]:
    """Those that a caller may see, by name."""
    query = select(Environment).where(Environment.organization_uuid == caller.organization).order_by(Environment.name)
    return query if caller.may("viewer") else query.where(Environment.name.in_(sorted(caller.roles)))


async def get(session: AsyncSession, caller: Caller, uuid: UUID, *, lock: bool = False) -> Environment:
    """One environment; with `lock`, locked until the transaction ends. Raises Problem."""
    query = seen_by(caller).where(Environment.uuid == uuid)
    found = (await session.execute(query.with_for_update() if lock else query)).scalar_one_or_none()
    if found is None:
        raise missing(str(uuid))
    return found


async def find(session: AsyncSession, caller: Caller, named: str) -> Environment:
    """One of them, by its identifier or its name. Raises Problem."""
    query = seen_by(caller)
    try:
        query = query.where((Environment.uuid == UUID(named)) | (Environment.name == named))
    except ValueError:
        if re.fullmatch(NAME_PATTERN, named) is None:
            raise missing(repr(named[:64])) from None
        query = query.where(Environment.name == named)
    found = (await session.scalars(query)).first()
    if found is None:
        raise missing(named)
    return found


async def these(session: AsyncSession, caller: Caller, uuids: Iterable[UUID]) -> list[Environment]:
    """All of these, which stay until the transaction ends. Raises Problem that names those that are not there."""
    wanted = list(dict.fromkeys(uuids))
    query = seen_by(caller).where(Environment.uuid.in_(wanted)).with_for_update(read=True)
    found = {environment.uuid: environment for environment in await session.scalars(query)}
    if gone := [uuid for uuid in wanted if uuid not in found]:
        errors = [FieldError("environmentIds", f"there is no environment {uuid}") for uuid in gone]
        raise Problem(404, errors[0].message, errors)
    return [found[uuid] for uuid in wanted]


def missing(named: str) -> Problem:
    """The error that there is no environment of this identifier or name."""
    return Problem(404, f"there is no environment {named}")


async def create(
    session: AsyncSession, organization: UUID, name: str, display_name: str, description: str | None
) -> Environment:
    """A new one. Raises Problem where the name is taken."""
    made = Environment(organization_uuid=organization, name=name, display_name=display_name, description=description)
    session.add(made)
    try:
        await session.flush()
    except IntegrityError:
        raise Problem(409, f"there is an environment {name} already; take another name, or change that one") from None
    return made


async def change(session: AsyncSession, environment: Environment, changes: dict[str, Any]) -> None:
    """Set these columns."""
    for column, value in changes.items():
        setattr(environment, column, value)
    await session.flush()
    await session.refresh(environment)


async def delete(session: AsyncSession, environment: Environment) -> None:
    """Raises Problem while gateways are in it."""
    of_it = GatewayEnvironment.environment_uuid == environment.uuid
    query = select(func.count()).select_from(GatewayEnvironment).where(of_it)
    if count := (await session.execute(query)).scalar_one():
        raise Problem(409, f"{counted(count, 'gateway')} of {environment.name} must be taken out of it before")
    await session.delete(environment)
    await session.flush()


def etag(environment: Environment) -> str:
    """The tag of the part that a PUT replaces."""
    return etag_of(environment.uuid, environment.display_name, environment.description)
