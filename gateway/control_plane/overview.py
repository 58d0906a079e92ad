"""All gateways beside all environments, as one look at the database shows them: what the page draws.

A handful of queries, however many gateways there are. What is fresh is worked out when it is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane.callers import Caller
from gateway.control_plane.database.tables import (
    Environment,
    EnvironmentSettings,
    Gateway,
    GatewayEnvironment,
    GatewayHealth,
    GatewayInstance,
    Rollout,
)
from gateway.control_plane.wanted import takes_revisions, wanted_of

SILENT: Final = timedelta(seconds=45)  # three heartbeats: an instance that is not heard of for longer is not fresh
GONE: Final = timedelta(minutes=10)  # an instance without a heartbeat for longer has ended, if another one sends them
MOST_INSTANCES: Final = 100  # of one gateway that are shown
DRIFTED: Final = timedelta(seconds=60)  # that an instance may run something else than wanted
MOST: Final = 5000  # gateways that are shown


@dataclass(frozen=True, slots=True)
class EnvironmentView:
    """An environment, and what is wanted there."""

    environment: Environment
    settings: EnvironmentSettings | None
    rollout: Rollout | None  # the one that is active, or the last


@dataclass(frozen=True, slots=True)
class GatewayView:
    """A gateway, and what is known of it."""

    gateway: Gateway
    environments: tuple[UUID, ...]
    health: GatewayHealth | None  # as it was probed
    instances: tuple[GatewayInstance, ...]  # as they speak of themselves
    wanted: str | None

    def fresh(self, now: datetime) -> bool | None:
        """Whether any of it is heard of; None: none ever was."""
        return any(self.is_fresh(instance, now) for instance in self.instances) if self.instances else None

    def is_fresh(self, instance: GatewayInstance, now: datetime) -> bool:
        """Whether this one is heard of."""
        return now - instance.last_heartbeat_at <= SILENT

    def drifted(self, instance: GatewayInstance, now: datetime) -> bool:
        """Whether it runs something else than wanted, for longer than a change takes."""
        since = instance.drifted_since
        return since is not None and now - since > DRIFTED and instance.revision != self.wanted


@dataclass(frozen=True, slots=True)
class Overview:
    """All that a caller may see."""

    environments: Sequence[EnvironmentView]
    gateways: Sequence[GatewayView]
    total: int  # gateways, those included that are too many to be shown


async def overview(session: AsyncSession, caller: Caller, now: datetime) -> Overview:
    """The part that a caller may see: environments with read permission, and the gateways in them."""
    environments = await session.scalars(
        select(Environment).where(Environment.organization_uuid == caller.organization).order_by(Environment.name)
    )
    seen = [environment for environment in environments if caller.may("viewer", environment.name)]
    mine = {environment.uuid for environment in seen}
    gateways = await _gateways(session, caller, mine)
    shown = gateways[:MOST]
    where = await _environments_of(session, caller.organization)
    health, instances = await _health(session, caller.organization), await _instances(session, caller.organization, now)
    wanted = await wanted_of(session, [gateway.uuid for gateway in shown])
    gateway_views = [
        GatewayView(
            gateway,
            tuple(each for each in where.get(gateway.uuid, ()) if each in mine),
            health.get(gateway.uuid),
            tuple(instances.get(gateway.uuid, ())),
            wanted.get(gateway.uuid) if takes_revisions(gateway) else None,
        )
        for gateway in shown
    ]
    return Overview(await _environment_views(session, seen), gateway_views, len(gateways))


async def _gateways(session: AsyncSession, caller: Caller, mine: set[UUID]) -> list[Gateway]:
    query = select(Gateway).where(Gateway.organization_uuid == caller.organization).order_by(Gateway.name)
    found = list(await session.scalars(query))
    if caller.may("viewer"):
        return found
    where = await _environments_of(session, caller.organization)
    return [gateway for gateway in found if not mine.isdisjoint(where.get(gateway.uuid, ()))]


async def _environments_of(session: AsyncSession, organization: UUID) -> Mapping[UUID, list[UUID]]:
    query = (
        select(GatewayEnvironment.gateway_uuid, GatewayEnvironment.environment_uuid)
        .join(Gateway, Gateway.uuid == GatewayEnvironment.gateway_uuid)
        .where(Gateway.organization_uuid == organization)
    )
    return _grouped(await session.execute(query))


async def _health(session: AsyncSession, organization: UUID) -> Mapping[UUID, GatewayHealth]:
    query = select(GatewayHealth).join(Gateway, Gateway.uuid == GatewayHealth.gateway_uuid)
    found = await session.scalars(query.where(Gateway.organization_uuid == organization))
    return {health.gateway_uuid: health for health in found}


async def _instances(
    session: AsyncSession, organization: UUID, now: datetime
) -> Mapping[UUID, Sequence[GatewayInstance]]:
    query = (
        select(GatewayInstance)
        .join(Gateway, Gateway.uuid == GatewayInstance.gateway_uuid)
        .where(Gateway.organization_uuid == organization)
        .order_by(GatewayInstance.last_heartbeat_at.desc())
    )
    found = _grouped((instance.gateway_uuid, instance) for instance in await session.scalars(query))
    return {gateway: _shown(instances[:MOST_INSTANCES], now) for gateway, instances in found.items()}


def _shown(instances: Sequence[GatewayInstance], now: datetime) -> Sequence[GatewayInstance]:
    """Those that speak and have spoken a short time ago; where none speaks, all, so that the silence is seen."""
    speaks = now - instances[0].last_heartbeat_at <= SILENT
    shown = [each for each in instances if not speaks or now - each.last_heartbeat_at <= GONE]
    return sorted(shown, key=lambda each: each.id)


async def _environment_views(session: AsyncSession, environments: Sequence[Environment]) -> list[EnvironmentView]:
    uuids = [environment.uuid for environment in environments]
    settings = await session.scalars(select(EnvironmentSettings).where(EnvironmentSettings.environment_uuid.in_(uuids)))
    last = (
        select(Rollout.environment_uuid, func.max(Rollout.created_at).label("at"))
        .where(Rollout.environment_uuid.in_(uuids))
        .group_by(Rollout.environment_uuid)
        .subquery()
    )
    rollouts = await session.scalars(
        select(Rollout).join(
            last, (last.c.environment_uuid == Rollout.environment_uuid) & (last.c.at == Rollout.created_at)
        )
    )
    by_settings = {each.environment_uuid: each for each in settings}
    by_rollout = {each.environment_uuid: each for each in rollouts}
    return [
        EnvironmentView(environment, by_settings.get(environment.uuid), by_rollout.get(environment.uuid))
        for environment in environments
    ]


def _grouped(pairs: Any) -> Mapping[UUID, list[Any]]:
    found: defaultdict[UUID, list[Any]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return found
