"""Rollouts in the database: begun, steered, and what they do to the gateways of an environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane.database.tables import (
    Deployment,
    Environment,
    EnvironmentSettings,
    Gateway,
    GatewayEnvironment,
    GatewayInstance,
    GatewayToken,
    Revision,
    Rollout,
    RolloutApproval,
)
from gateway.control_plane.problems import Problem
from gateway.control_plane.rollouts import ACTIVE, NOTHING, Actions, State, Strategy, rollout_of
from gateway.control_plane.rollouts import Rollout as Machine
from gateway.control_plane.wanted import KIND, RESOURCE, later, wants_of

LOCAL: Final = "local file"

Former = dict[str, dict[str, str | None]]
"""The former assignment of each gateway: `{"revision", "environment"}` by its identifier."""


async def settings_of(session: AsyncSession, environment: UUID) -> EnvironmentSettings:
    """The delivery settings of an environment; created if there are none yet."""
    found = await session.get(EnvironmentSettings, environment, with_for_update=True)
    if found is None:
        found = EnvironmentSettings(environment_uuid=environment, drift_policy="report", approvals=0)
        session.add(found)
        await session.flush()
    return found


def of(environment: UUID) -> Select[Rollout]:
    """The rollouts of an environment, the newest first."""
    return (
        select(Rollout).where(Rollout.environment_uuid == environment).order_by(Rollout.created_at.desc(), Rollout.uuid)
    )


def is_active() -> ColumnElement[bool]:
    """Those that are not at their end."""
    return Rollout.state.in_(ACTIVE)


async def begin(
    session: AsyncSession, environment: Environment, revision: Revision, strategy: Strategy, by: str, now: datetime
) -> Rollout:
    """A new one. Raises Problem while there is an active one."""
    settings = await settings_of(session, environment.uuid)
    active = await session.scalar(of(environment.uuid).where(is_active()).limit(1))
    if active is not None:
        raise _busy(environment, active.uuid)
    made = Rollout(
        organization_uuid=environment.organization_uuid,
        environment_uuid=environment.uuid,
        digest=revision.digest,
        previous=settings.digest,
        state="pending",
        strategy=asdict(strategy),
        progress=Machine(strategy).progress(),
        created_by=by[:256],
        created_at=now,
        updated_at=now,
    )
    try:
        async with session.begin_nested():
            session.add(made)
    except IntegrityError:
        raise _busy(environment, None) from None
    return made


def _busy(environment: Environment, active: UUID | None) -> Problem:
    named = f"the rollout {active}" if active is not None else "a rollout"
    message = f"{named} of {environment.name} is not at its end; wait for it, or abort it"
    return Problem(409, message, members={"rollout": str(active)} if active is not None else None)


def machine_of(row: Rollout) -> Machine:
    """The rollout as the state machine sees it."""
    former: Former = row.progress.get("former", {})
    assigned = row.progress.get("assigned", [])
    can_go_back = row.previous is not None or all((former.get(each) or {}).get("revision") for each in assigned)
    state = cast(State, row.state)
    return rollout_of(row.strategy, state, row.progress, row.reason, can_go_back=can_go_back)


async def keep(session: AsyncSession, row: Rollout, machine: Machine, actions: Actions, now: datetime) -> None:
    """Write where it is, and do what that asks for."""
    progress: dict[str, Any] = {**row.progress, **machine.progress()}
    if actions.assign:
        progress["ran"] = {**progress.get("ran", {}), **await _running(session, actions.assign)}
        progress["refused"] = {**progress.get("refused", {}), **await _refused(session, row.digest, actions.assign)}
        progress["former"] = {**progress.get("former", {}), **await _assign(session, row, actions.assign, now)}
    if actions.restore:
        await _restore(session, row, actions.restore, progress.get("former", {}), now)
    if actions.finish:
        settings = await settings_of(session, row.environment_uuid)
        settings.digest, settings.updated_at = row.digest, later(now, settings.updated_at)
    is_news = actions != NOTHING or (row.state, row.reason) != (machine.state, machine.reason)
    row.state, row.reason, row.progress = machine.state, machine.reason, progress
    if is_news:
        row.updated_at = now


async def _assign(session: AsyncSession, row: Rollout, gateways: Iterable[str], now: datetime) -> Former:
    """Assign the revision to these gateways. Returns their former assignments."""
    former: Former = {}
    before = await wants_of(session, [UUID(each) for each in gateways])
    rows = await _deployments(session, gateways)
    # The revisions that gateways run of which nothing was wanted yet, where they are known here.
    query = (
        select(GatewayInstance.gateway_uuid, GatewayInstance.revision)
        .join(
            Revision,
            (Revision.digest == GatewayInstance.revision) & (Revision.organization_uuid == row.organization_uuid),
        )
        .where(GatewayInstance.gateway_uuid.in_([UUID(each) for each in gateways]))
        .order_by(GatewayInstance.last_heartbeat_at)
    )
    ran = {str(gateway): str(digest) for gateway, digest in (await session.execute(query)).all()}
    strange = await _strange(session, row.organization_uuid, gateways)
    for each in gateways:
        found = rows.get(each)
        if found is None:
            found = Deployment(gateway_uuid=UUID(each), kind=KIND, resource=RESOURCE, created_at=now)
            session.add(found)
            digest, environment = None, row.environment_uuid
        else:
            digest = found.revision if found.state != "undeployed" else None
            environment = found.environment_uuid or row.environment_uuid
        digest = strange.get(each) or digest or row.previous or ran.get(each)
        former[each] = {"revision": digest, "environment": str(environment)}
        found.revision, found.environment_uuid, found.rollout_uuid = row.digest, row.environment_uuid, row.uuid
        found.state, found.error = "pending", None
        found.updated_at = later(now, found.updated_at, want.at if (want := before.get(UUID(each))) else None)
    await session.flush()
    return former


async def _restore(session: AsyncSession, row: Rollout, gateways: Iterable[str], former: Former, now: datetime) -> None:
    """Restore what the gateways ran before, except those that have been given another revision meanwhile."""
    rows = await _deployments(session, gateways)
    for each, found in rows.items():
        if found.rollout_uuid != row.uuid:
            continue
        before = former.get(each) or {}
        environment = before.get("environment")
        found.revision = before.get("revision")
        found.environment_uuid = UUID(environment) if environment is not None else None
        found.state, found.error = "pending" if found.revision is not None else "undeployed", None
        found.rollout_uuid, found.updated_at = None, later(now, found.updated_at)
    await session.flush()


async def _deployments(session: AsyncSession, gateways: Iterable[str]) -> Mapping[str, Deployment]:
    wanted = [UUID(each) for each in gateways]
    query = select(Deployment).where(Deployment.gateway_uuid.in_(wanted), Deployment.kind == KIND)
    return {str(row.gateway_uuid): row for row in await session.scalars(query.with_for_update())}


async def _running(session: AsyncSession, gateways: Iterable[str]) -> dict[str, list[str]]:
    """The running revisions of gateways, known here or not."""
    query = select(GatewayInstance.gateway_uuid, GatewayInstance.revision).where(
        GatewayInstance.gateway_uuid.in_([UUID(each) for each in gateways]), GatewayInstance.revision.is_not(None)
    )
    found: dict[str, list[str]] = {}
    for gateway, digest in (await session.execute(query)).all():
        found.setdefault(str(gateway), []).append(str(digest))
    return found


async def _strange(session: AsyncSession, organization: UUID, gateways: Iterable[str]) -> dict[str, str]:
    """The revisions that gateways were given and that are not known here: an older database is in the place of the one
    that knew them. By what each gateway has said last. It has them on its disk, and can go back to them."""
    known = exists().where(Revision.digest == GatewayInstance.revision, Revision.organization_uuid == organization)
    query = (
        select(GatewayInstance.gateway_uuid, GatewayInstance.revision, (GatewayInstance.source != LOCAL) & ~known)
        .where(GatewayInstance.gateway_uuid.in_([UUID(each) for each in gateways]))
        .where(GatewayInstance.revision.is_not(None))
        .order_by(GatewayInstance.last_heartbeat_at)
    )
    last = {str(gateway): (digest, strange) for gateway, digest, strange in (await session.execute(query)).all()}
    return {gateway: digest for gateway, (digest, strange) in last.items() if strange and digest is not None}


async def _refused(session: AsyncSession, digest: str, gateways: Iterable[str]) -> dict[str, str]:
    """The last refusals of this revision, before this rollout, which do not count for it."""
    query = select(GatewayInstance).where(GatewayInstance.gateway_uuid.in_([UUID(each) for each in gateways]))
    found = {}
    for each in await session.scalars(query):
        error = each.report.get("lastError")
        if isinstance(error, dict) and error.get("revision") == digest:
            found[f"{each.gateway_uuid}/{each.id}"] = str(error.get("at"))
    return found


def members(environment: UUID) -> Select[Gateway]:
    """The gateways of an environment that take revisions: those that have a token, or have been heard of."""
    has_token = exists().where(GatewayToken.gateway_uuid == Gateway.uuid)
    speaks = exists().where(GatewayInstance.gateway_uuid == Gateway.uuid)
    return (
        select(Gateway)
        .join(GatewayEnvironment, GatewayEnvironment.gateway_uuid == Gateway.uuid)
        .where(GatewayEnvironment.environment_uuid == environment)
        .where(or_(has_token, speaks))
        .order_by(Gateway.name)
    )


async def approvals_of(session: AsyncSession, rollout: UUID) -> list[str]:
    """Who has approved it."""
    query = select(RolloutApproval.approved_by).where(RolloutApproval.rollout_uuid == rollout)
    return list((await session.scalars(query.order_by(RolloutApproval.approved_at))).all())


async def approve(session: AsyncSession, row: Rollout, by: str, now: datetime) -> None:
    """Record an approval. Raises Problem if it would change nothing."""
    if row.state != "pending":
        raise Problem(409, f"the rollout is {row.state}; only one that is pending can be approved")
    if by[:256] == row.created_by:
        raise Problem(409, f"{by} began this rollout; another caller must approve it")
    if by[:256] in await approvals_of(session, row.uuid):
        raise Problem(409, f"{by} has approved this rollout already; another caller must approve it, too")
    session.add(RolloutApproval(rollout_uuid=row.uuid, approved_by=by[:256], approved_at=now))
    row.updated_at = now
    await session.flush()


async def last_before(session: AsyncSession, environment: Environment) -> str | None:
    """The revision that was in force before the one that is: where a roll-back goes to."""
    settings = await session.get(EnvironmentSettings, environment.uuid)
    if settings is None or settings.digest is None:
        return None
    query = of(environment.uuid).where(Rollout.state == "done", Rollout.digest == settings.digest)
    last = await session.scalar(query.limit(1))
    return last.previous if last is not None else None


async def was_in_force(session: AsyncSession, environment: UUID, digest: str) -> bool:
    """Whether a revision was once, or is, what is wanted of an environment."""
    done = (Rollout.digest == digest) & (Rollout.state == "done")
    query = select(Rollout.uuid).where(Rollout.environment_uuid == environment, done | (Rollout.previous == digest))
    return await session.scalar(query.limit(1)) is not None


async def leave(session: AsyncSession, gateway: UUID, environment: UUID, now: datetime) -> None:
    """A gateway is not in this environment any more: what was deployed there is not wanted of it."""
    query = select(Deployment).where(
        Deployment.gateway_uuid == gateway, Deployment.environment_uuid == environment, Deployment.kind == KIND
    )
    for row in await session.scalars(query):
        row.state, row.updated_at = "undeployed", later(now, row.updated_at)
    await session.flush()
