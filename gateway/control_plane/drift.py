"""Gateways that run something else than wanted: what it is, and how it becomes what is wanted of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.bundles import Bundle, unpack
from gateway.control_plane import audit, revisions
from gateway.control_plane.database.leases import Held
from gateway.control_plane.database.tables import (
    Deployment,
    EnvironmentSettings,
    Gateway,
    GatewayEnvironment,
    GatewayInstance,
    Revision,
    Rollout,
)
from gateway.control_plane.events import Event
from gateway.control_plane.plane import Plane
from gateway.control_plane.problems import Problem
from gateway.control_plane.revision_check import check_bundle
from gateway.control_plane.rolling import LOCAL
from gateway.control_plane.rollouts import ACTIVE
from gateway.control_plane.wanted import KIND, RESOURCE, later, wanted_of, wants_of
from gateway.control_plane.wanted_revisions import policy_of

AFTER: Final = timedelta(seconds=60)  # that a gateway runs another revision than wanted
WHO: Final = "job:drift"


async def uploaded(plane: Plane, organization: UUID, gateway: UUID, bundle: Bundle) -> str:
    """Keep the local files of a gateway as a revision, without deploying it; returns its digest.

    Raises Problem with all that is wrong with them, such as a secret that stands in them as it is.
    """
    found = await plane.beside.run("check of local files", partial(check_bundle, bundle, resolve=False))
    if found.errors:
        first = "; ".join(map(str, found.errors[:3]))
        raise Problem(400, f"the files cannot be kept: {first}", members={"problems": list(map(str, found.errors))})
    async with plane.database.transaction() as session:
        row = await session.get(Gateway, gateway)
        if row is None:
            raise Problem(404, f"there is no gateway {gateway}")
        who = f"gateway:{row.name}"
        parent = (await wanted_of(session, [gateway])).get(gateway)
        message = f"local files of {row.name}"
        made, is_new = await revisions.add(
            session, organization, bundle, author=who, message=message, parent=parent, warnings=found.warnings
        )
        if is_new:
            details = {"message": message, "parent": parent, "size": made.size}
            subject = f"revisions/{made.digest}"
            await audit.record(session, who, "revision.create", subject, details=details, organization=organization)
    return made.digest


@dataclass(frozen=True, slots=True)
class Drift:
    """The running and the wanted revision of one process of a gateway."""

    instance: GatewayInstance
    wanted: str | None
    is_drift: bool  # for longer than a change takes


async def of(session: AsyncSession, gateway: UUID, now: datetime) -> list[Drift]:
    """All processes of a gateway."""
    wanted = (await wanted_of(session, [gateway])).get(gateway)
    query = select(GatewayInstance).where(GatewayInstance.gateway_uuid == gateway).order_by(GatewayInstance.id)
    return [Drift(each, wanted, drifts(each, wanted, now)) for each in await session.scalars(query)]


def drifts(instance: GatewayInstance, wanted: str | None, now: datetime) -> bool:
    """Whether it has run something else than wanted for longer than a change takes."""
    since = instance.drifted_since
    return wanted is not None and instance.revision != wanted and since is not None and now - since > AFTER


async def pair(session: AsyncSession, organization: UUID, before: str, after: str) -> tuple[Bundle, Bundle] | None:
    """The files of two revisions, to be compared; None: those of one of them are not known here."""
    packed = [await revisions.read(session, organization, each) for each in (before, after)]
    if packed[0] is None or packed[1] is None:
        return None
    return unpack(packed[0]), unpack(packed[1])


async def adopt_all(plane: Plane, held: Held | None) -> None:
    """Where the environment says so, what a gateway runs of its own becomes what is wanted of it."""
    query = (
        select(GatewayInstance.gateway_uuid)
        .join(Gateway, Gateway.uuid == GatewayInstance.gateway_uuid)
        .join(
            Revision,
            (Revision.digest == GatewayInstance.revision) & (Revision.organization_uuid == Gateway.organization_uuid),
        )
        .where(GatewayInstance.source == LOCAL, GatewayInstance.drifted_since < plane.now() - AFTER)
        .distinct()
    )
    async with plane.database.reading() as session:
        candidates = (await session.scalars(query)).all()
        wanting = [each for each in candidates if await policy_of(session, each) == "adopt"]
    for gateway in wanting:
        async with plane.database.transaction() as session:
            if held is not None:
                await held.confirm(session)
            row = await session.get(Gateway, gateway)
            adopted = row is not None and await adopt(session, row, plane.now(), WHO)
        if adopted and row is not None:
            plane.events.publish(Event("gateway.adopted", row.organization_uuid, plane.now(), gateway))


async def adopt(session: AsyncSession, gateway: Gateway, now: datetime, who: Any) -> str | None:
    """Want of a gateway what it runs; the digest, or None where there is nothing to adopt: its processes run different
    things, or a rollout is under way."""
    found = await of(session, gateway.uuid, now)
    runs = {each.instance.revision for each in found if now - each.instance.last_heartbeat_at < AFTER}
    digest = next(iter(runs)) if len(runs) == 1 else None
    if digest is None or await revisions.read(session, gateway.organization_uuid, digest) is None:
        return None
    query = select(Deployment).where(Deployment.gateway_uuid == gateway.uuid, Deployment.kind == KIND)
    row = await session.scalar(query.with_for_update())
    want = (await wants_of(session, [gateway.uuid])).get(gateway.uuid)
    if row is not None and row.rollout_uuid is not None:
        rollout = await session.get(Rollout, row.rollout_uuid)
        if rollout is not None and rollout.state in ACTIVE:
            return None
    if row is None:
        row = Deployment(gateway_uuid=gateway.uuid, kind=KIND, resource=RESOURCE, created_at=now)
        row.environment_uuid = await _environment_of(session, gateway.uuid)
        session.add(row)
    elif row.revision == digest and row.state != "undeployed":
        return None
    row.revision, row.state, row.error, row.rollout_uuid = digest, "deployed", None, None
    row.updated_at = later(now, row.updated_at, want.at if want is not None else None)
    subject = f"gateways/{gateway.uuid}"
    organization = gateway.organization_uuid
    await audit.record(session, who, "drift.adopt", subject, details={"revision": digest}, organization=organization)
    return digest


async def _environment_of(session: AsyncSession, gateway: UUID) -> UUID | None:
    """The environment whose revision is wanted of a gateway."""
    query = (
        select(EnvironmentSettings.environment_uuid)
        .join(GatewayEnvironment, GatewayEnvironment.environment_uuid == EnvironmentSettings.environment_uuid)
        .where(GatewayEnvironment.gateway_uuid == gateway)
        .order_by(EnvironmentSettings.digest.is_(None), EnvironmentSettings.updated_at.desc())
    )
    found: UUID | None = await session.scalar(query.limit(1))
    return found
