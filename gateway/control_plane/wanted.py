"""Which revision a gateway is to run. Reads only; rollouts.py decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane.database.tables import Deployment, EnvironmentSettings, Gateway, GatewayEnvironment

KIND = "configuration"
"""The kind of the deployment that a revision of our own gateways is; each gateway has at most one of it."""

RESOURCE = "configuration"


@dataclass(frozen=True, slots=True)
class Want:
    """A revision that a gateway is to run, and since when that is wanted: what is wanted later has a later time, also
    where a clock was set back. A gateway that receives an older one can recognise a restored database."""

    digest: str
    at: datetime


def later(now: datetime, *others: datetime | None) -> datetime:
    """Now, or the first moment behind all others."""
    return max([now, *(each + timedelta(microseconds=1) for each in others if each is not None)])


def takes_revisions(gateway: Gateway) -> bool:
    """Whether it may ever run one, as far as is known: what a gateway-controller serves is its own."""
    config = gateway.adapter_config or {}
    return "gateway-controller" not in (config.get("kind"), config.get("detectedKind"))


async def wanted(session: AsyncSession, gateway: UUID) -> str | None:
    """The digest of the revision that it is to run. None: nothing is said, and it keeps what it has."""
    return (await wanted_of(session, [gateway])).get(gateway)


async def wanted_of(session: AsyncSession, gateways: Sequence[UUID]) -> Mapping[UUID, str]:
    """The same of many; those of which nothing is said are left out."""
    return {gateway: want.digest for gateway, want in (await wants_of(session, gateways)).items()}


async def wants_of(session: AsyncSession, gateways: Sequence[UUID]) -> Mapping[UUID, Want]:
    """The same, with times.

    What a rollout has assigned to a gateway goes first, while the gateway is in its environment. Then what is in force
    in its environment; of several environments, what was set last.
    """
    mapped = select(
        GatewayEnvironment.gateway_uuid,
        GatewayEnvironment.environment_uuid,
        GatewayEnvironment.created_at,
        EnvironmentSettings.digest,
        EnvironmentSettings.updated_at,
    ).outerjoin(EnvironmentSettings, EnvironmentSettings.environment_uuid == GatewayEnvironment.environment_uuid)
    ordered = mapped.where(GatewayEnvironment.gateway_uuid.in_(gateways)).order_by(
        EnvironmentSettings.updated_at, GatewayEnvironment.environment_uuid
    )
    digests: dict[UUID, str] = {}
    times: dict[UUID, list[datetime]] = {}
    environments: set[tuple[UUID, UUID | None]] = set()
    for gateway, environment, since, digest, set_at in (await session.execute(ordered)).all():
        environments.add((gateway, environment))
        times.setdefault(gateway, []).append(since)
        if digest is not None:
            digests[gateway] = digest
            times[gateway].append(set_at)
    deployed = select(Deployment).where(Deployment.gateway_uuid.in_(gateways), Deployment.kind == KIND)
    for row in await session.scalars(deployed):
        times.setdefault(row.gateway_uuid, []).append(row.updated_at)
        is_here = (row.gateway_uuid, row.environment_uuid) in environments
        if is_here and row.state != "undeployed" and row.revision is not None:
            digests[row.gateway_uuid] = row.revision
    return {gateway: Want(digest, max(times[gateway])) for gateway, digest in digests.items()}
