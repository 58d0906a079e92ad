"""Gateways: queries, and what is true of their environments and deployments. How they are reached is not known here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane import environments
from gateway.control_plane.callers import Caller
from gateway.control_plane.database.tables import Deployment, Environment, Gateway, GatewayEnvironment
from gateway.control_plane.etags import etag_of
from gateway.control_plane.problems import Problem
from gateway.control_plane.settings.roles import Role
from gateway.plurals import counted

ACTIVE = ("pending", "deployed")
"""States of a deployment that keep its gateway from being removed."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which gateways are asked for. `environment`: the identifier or the name of one."""

    type: str | None = None
    status: str | None = None
    environment: str | None = None


def seen_by(caller: Caller) -> Select[Gateway]:
    """Those that a caller may see, by name: in any of its environments."""
    query = select(Gateway).where(Gateway.organization_uuid == caller.organization).order_by(Gateway.name)
    if caller.may("viewer"):
        return query
    named = Environment.name.in_(sorted(caller.roles))
    return query.where(exists().where(GatewayEnvironment.gateway_uuid == Gateway.uuid, _joined(), named))


def _joined() -> ColumnElement[bool]:
    return GatewayEnvironment.environment_uuid == Environment.uuid


async def filtered(session: AsyncSession, caller: Caller, wanted: Filter) -> Select[Gateway]:
    """Those of them that are asked for. Raises Problem where the environment is not there."""
    query = seen_by(caller)
    if wanted.type is not None:
        query = query.where(Gateway.gateway_type == wanted.type)
    if wanted.status is not None:
        query = query.where(Gateway.status == wanted.status)
    if wanted.environment is not None:
        environment = await environments.find(session, caller, wanted.environment)
        query = within(query, environment.uuid)
    return query


def within(query: Select[Gateway], environment: UUID) -> Select[Gateway]:
    """Those of them that are in an environment."""
    of_both = GatewayEnvironment.gateway_uuid == Gateway.uuid, GatewayEnvironment.environment_uuid == environment
    return query.where(exists().where(*of_both))


async def get(session: AsyncSession, caller: Caller, uuid: UUID, *, lock: bool = False) -> Gateway:
    """One gateway; with `lock`, locked until the transaction ends. Raises Problem."""
    query = seen_by(caller).where(Gateway.uuid == uuid)
    found = (await session.execute(query.with_for_update() if lock else query)).scalar_one_or_none()
    if found is None:
        raise Problem(404, f"there is no gateway {uuid}")
    return found


async def of_name(session: AsyncSession, organization: UUID, name: str) -> Gateway | None:
    """The one of this name."""
    query = select(Gateway).where(Gateway.organization_uuid == organization, Gateway.name == name)
    return (await session.execute(query)).scalar_one_or_none()


def taken(name: str) -> Problem:
    """The error that the name is in use."""
    return Problem(409, f"there is a gateway {name} already; take another name, or change that one")


async def environments_of(session: AsyncSession, gateways: Iterable[UUID]) -> Mapping[UUID, list[Environment]]:
    """The environments that each of them is in, by name; one query for all."""
    found: dict[UUID, list[Environment]] = {uuid: [] for uuid in gateways}
    query = select(GatewayEnvironment.gateway_uuid, Environment).join(Environment, _joined())
    query = query.where(GatewayEnvironment.gateway_uuid.in_(found)).order_by(Environment.name)
    for uuid, environment in await session.execute(query):
        found[uuid].append(environment)
    return found


def require(caller: Caller, role: Role, among: Iterable[Environment]) -> None:
    """Raises Problem where the caller has not this role in all of these environments; where there is none, in all."""
    names = [environment.name for environment in among]
    if not names:
        caller.require(role)
    for name in names:
        caller.require(role, name)


async def add(session: AsyncSession, gateway: Gateway, among: Sequence[UUID]) -> None:
    """A new one, in these environments. Raises Problem."""
    session.add(gateway)
    try:
        await session.flush()
    except IntegrityError:
        raise taken(gateway.name) from None
    session.add_all(GatewayEnvironment(gateway_uuid=gateway.uuid, environment_uuid=uuid) for uuid in among)
    try:
        await session.flush()
    except IntegrityError:
        raise Problem(404, "one of the environments was removed meanwhile") from None


async def map_to(session: AsyncSession, gateway: Gateway, environment: Environment) -> GatewayEnvironment:
    """Put it into an environment. Raises Problem where it is there, or one of both does not exist."""
    pair = (
        GatewayEnvironment.gateway_uuid == gateway.uuid,
        GatewayEnvironment.environment_uuid == environment.uuid,
    )
    problem = Problem(409, f"{gateway.name} is in {environment.name} already")
    if (await session.execute(select(GatewayEnvironment.id).where(*pair))).first() is not None:
        raise problem
    mapping = GatewayEnvironment(gateway_uuid=gateway.uuid, environment_uuid=environment.uuid)
    session.add(mapping)
    try:
        await session.flush()
    except IntegrityError:  # a concurrent request has done the same
        raise problem from None
    return mapping


async def take_out(session: AsyncSession, gateway: Gateway, environment: Environment) -> None:
    """Take it out of an environment. Raises Problem where it is not there."""
    pair = (
        GatewayEnvironment.gateway_uuid == gateway.uuid,
        GatewayEnvironment.environment_uuid == environment.uuid,
    )
    gone = await session.execute(delete(GatewayEnvironment).where(*pair).returning(GatewayEnvironment.id))
    if gone.first() is None:
        raise Problem(404, f"{gateway.name} is not in {environment.name}")


async def require_idle(session: AsyncSession, gateway: Gateway) -> None:
    """Raises Problem while anything is deployed to it."""
    active = Deployment.gateway_uuid == gateway.uuid, Deployment.state.in_(ACTIVE)
    query = select(func.count()).select_from(Deployment).where(*active)
    if count := (await session.execute(query)).scalar_one():
        remedy = "take it out of its environments before; GET /gateways/{id}/deployments lists its deployments"
        raise Problem(409, f"{gateway.name} has {counted(count, 'active deployment')}; {remedy}")


def etag(gateway: Gateway) -> str:
    """The tag of the part that a PUT replaces."""
    return etag_of(gateway.uuid, gateway.display_name, gateway.adapter_config)
