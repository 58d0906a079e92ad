"""Rollouts: of a revision, of what another environment has, and back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane import environments, revisions, rolling
from gateway.control_plane.api.rollout_bodies import (
    NewPromotion,
    NewRollback,
    NewRollout,
    RolloutAnswer,
    RolloutList,
    shown,
)
from gateway.control_plane.callers import Caller, WhoCalls
from gateway.control_plane.database.tables import Environment, EnvironmentSettings, Rollout, RolloutApproval
from gateway.control_plane.idempotency import IdempotentRoute
from gateway.control_plane.paging import Paged, page_of
from gateway.control_plane.plane import Plane, ThePlane
from gateway.control_plane.problems import Problem, documented
from gateway.control_plane.rollout_job import notify, recorded
from gateway.control_plane.rollouts import NOTHING, Actions, Strategy, abort, pause, resume
from gateway.control_plane.rollouts import Rollout as Machine

router = APIRouter(tags=["rollouts"], route_class=IdempotentRoute)
_STATUSES = documented(404, 409, 413, 415, 422)


@asynccontextmanager
async def _changing(plane: Plane, id: UUID, caller: Caller) -> AsyncIterator[tuple[AsyncSession, Environment]]:
    async with plane.database.transaction() as session:
        environment = await environments.get(session, caller, id, lock=True)
        caller.require("deployer", environment.name)
        yield session, environment


async def _begun(
    plane: Plane,
    session: AsyncSession,
    caller: Caller,
    environment: Environment,
    named: str,
    strategy: Strategy,
    action: str,
) -> Rollout:
    revision = await revisions.find(session, caller.organization, named)
    row = await rolling.begin(session, environment, revision, strategy, caller.name, plane.now())
    await recorded(session, caller, row, action)
    return row


async def _approvals_of(session: AsyncSession, environment: Environment) -> int:
    return (await rolling.settings_of(session, environment.uuid)).approvals


def _answered(plane: Plane, row: Rollout, environment: Environment, response: Response) -> RolloutAnswer:
    notify(plane, row)
    response.headers["location"] = f"/api/v1/rollouts/{row.uuid}"
    return shown(row, environment, [])


@router.post("/environments/{id}/rollouts", status_code=201, responses=_STATUSES)
async def create_rollout(
    plane: ThePlane, id: UUID, body: NewRollout, caller: WhoCalls, response: Response
) -> RolloutAnswer:
    """Bring a revision to the gateways of an environment: to all, or to canaries first."""
    async with _changing(plane, id, caller) as (session, environment):
        strategy = body.strategy(await _approvals_of(session, environment))
        row = await _begun(plane, session, caller, environment, body.revision, strategy, "rollout.create")
    return _answered(plane, row, environment, response)


@router.post("/environments/{id}/promote", status_code=201, responses=_STATUSES)
async def promote(plane: ThePlane, id: UUID, body: NewPromotion, caller: WhoCalls, response: Response) -> RolloutAnswer:
    """Bring the revision that is in force in another environment to this one."""
    async with _changing(plane, id, caller) as (session, environment):
        source = await environments.find(session, caller, body.source)
        settings = await session.get(EnvironmentSettings, source.uuid)
        if settings is None or settings.digest is None:
            raise Problem(409, f"no revision is in force in {source.name} yet; roll one out there first")
        strategy = body.strategy(await _approvals_of(session, environment))
        row = await _begun(plane, session, caller, environment, settings.digest, strategy, "rollout.promote")
    return _answered(plane, row, environment, response)


@router.post("/environments/{id}/rollback", status_code=201, responses=_STATUSES)
async def rollback(
    plane: ThePlane,
    id: UUID,
    caller: WhoCalls,
    response: Response,
    body: NewRollback | None = None,
) -> RolloutAnswer:
    """Bring all gateways back to the revision that was in force before, or to a certain one, at once.

    One that never was in force there is no way back, and needs approvals as any other.
    """
    async with _changing(plane, id, caller) as (session, environment):
        named = body.revision if body is not None else None
        named = named or await rolling.last_before(session, environment)
        if named is None:
            raise Problem(409, f"nothing was in force in {environment.name} before; name a revision to go to")
        revision = await revisions.find(session, caller.organization, named)
        known = await rolling.was_in_force(session, environment.uuid, revision.digest)
        strategy = Strategy(approvals=0 if known else await _approvals_of(session, environment))
        row = await _begun(plane, session, caller, environment, revision.digest, strategy, "rollout.rollback")
    return _answered(plane, row, environment, response)


@router.get("/environments/{id}/rollouts", responses=documented(404))
async def list_rollouts(
    plane: ThePlane,
    id: UUID,
    caller: WhoCalls,
    page: Paged,
    active: Annotated[bool | None, Query(description="Only those that are at their end, or not.")] = None,
) -> RolloutList:
    """The rollouts of an environment, the newest first."""
    async with plane.database.reading() as session:
        environment = await environments.get(session, caller, id)
        query = rolling.of(environment.uuid)
        if active is not None:
            query = query.where(rolling.is_active() if active else ~rolling.is_active())
        found, total = await page_of(session, query, page)
        approvals = await _approvals(session, [each.uuid for each in found])
    rollouts = [shown(each, environment, approvals.get(each.uuid, [])) for each in found]
    return RolloutList(rollouts=rollouts, total=total)


@router.get("/rollouts/{id}", responses=documented(404))
async def get_rollout(plane: ThePlane, id: UUID, caller: WhoCalls) -> RolloutAnswer:
    """A rollout."""
    async with plane.database.reading() as session:
        row, environment = await _found(session, caller, id)
        return shown(row, environment, await rolling.approvals_of(session, row.uuid))


async def _steered(
    plane: Plane,
    id: UUID,
    caller: Caller,
    action: str,
    change: Callable[[Machine], tuple[Machine, Actions]],
) -> RolloutAnswer:
    async with plane.database.transaction() as session:
        row, environment = await _found(session, caller, id, lock=True)
        caller.require("deployer", environment.name)
        try:
            machine, actions = change(rolling.machine_of(row))
        except ValueError as error:
            raise Problem(409, str(error)) from None
        await rolling.keep(session, row, machine, actions, plane.now())
        approved_by = await rolling.approvals_of(session, row.uuid)
        await recorded(session, caller, row, f"rollout.{action}")
    notify(plane, row)
    return shown(row, environment, approved_by)


@router.post("/rollouts/{id}/pause", responses=documented(404, 409, 422))
async def pause_rollout(plane: ThePlane, id: UUID, caller: WhoCalls) -> RolloutAnswer:
    """Pause a rollout, leaving the gateways as they are. Canaries that fail are taken back all the same."""
    reason = f"paused by {caller.name}"
    return await _steered(plane, id, caller, "pause", lambda machine: (pause(machine, reason), NOTHING))


@router.post("/rollouts/{id}/resume", responses=documented(404, 409, 422))
async def resume_rollout(plane: ThePlane, id: UUID, caller: WhoCalls) -> RolloutAnswer:
    """Go on."""
    return await _steered(plane, id, caller, "resume", lambda machine: (resume(machine), NOTHING))


@router.post("/rollouts/{id}/abort", responses=documented(404, 409, 422))
async def abort_rollout(plane: ThePlane, id: UUID, caller: WhoCalls) -> RolloutAnswer:
    """Take it back from all gateways that have it."""
    reason = f"aborted by {caller.name}"
    return await _steered(plane, id, caller, "abort", lambda machine: abort(machine, reason))


@router.post("/rollouts/{id}/approve", responses=documented(404, 409, 422))
async def approve_rollout(plane: ThePlane, id: UUID, caller: WhoCalls) -> RolloutAnswer:
    """Approve a rollout. The caller that began it cannot."""
    async with plane.database.transaction() as session:
        row, environment = await _found(session, caller, id, lock=True)
        caller.require("admin", environment.name)
        await rolling.approve(session, row, caller.name, plane.now())
        approved_by = await rolling.approvals_of(session, row.uuid)
        await recorded(session, caller, row, "rollout.approve")
    notify(plane, row)
    return shown(row, environment, approved_by)


async def _found(
    session: AsyncSession, caller: Caller, uuid: UUID, *, lock: bool = False
) -> tuple[Rollout, Environment]:
    """A rollout that the caller may see, and its environment. Raises Problem."""
    row = await session.get(Rollout, uuid, with_for_update=True if lock else None)
    if row is None or row.organization_uuid != caller.organization:
        raise Problem(404, f"there is no rollout {uuid}")
    return row, await environments.get(session, caller, row.environment_uuid)


async def _approvals(session: AsyncSession, rollouts: list[UUID]) -> dict[UUID, list[str]]:
    query = select(RolloutApproval).where(RolloutApproval.rollout_uuid.in_(rollouts))
    approvals: dict[UUID, list[str]] = {}
    for each in await session.scalars(query.order_by(RolloutApproval.approved_at)):
        approvals.setdefault(each.rollout_uuid, []).append(each.approved_by)
    return approvals
