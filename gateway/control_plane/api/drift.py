"""/gateways/{id}/drift: what a gateway runs beside what is wanted of it, and the adoption of its own files."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Final
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from gateway.control_plane import drift, environments, gateways, rolling
from gateway.control_plane.api.revision_bodies import ChangeAnswer
from gateway.control_plane.callers import WhoCalls
from gateway.control_plane.events import Event
from gateway.control_plane.idempotency import IdempotentRoute
from gateway.control_plane.plane import ThePlane
from gateway.control_plane.problems import Problem, documented
from gateway.control_plane.revision_diff import compare
from gateway.control_plane.schemas import Answer, Moment
from gateway.control_plane.wanted_revisions import policy_of

_NOTHING: Final = (
    "there is nothing to adopt: it runs its wanted revision, its files are not known here, or a rollout is under way"
)


class InstanceDrift(Answer):
    """One process of a gateway."""

    id: str
    revision: str | None = Field(description="What it runs.")
    source: str | None = Field(description="Where that is from: `control-plane`, `local file` or `last good`.")
    drift: bool
    since: Moment | None


class GatewayDrift(Answer):
    """The running and the wanted revision of a gateway."""

    gateway_id: UUID
    name: str
    wanted: str | None
    drift: bool = Field(description="Whether it has run something else than wanted for more than a minute.")
    instances: list[InstanceDrift]


class GatewayDifference(GatewayDrift):
    """The same, with what is different."""

    policy: str = Field(description="The drift policy: `report`, `reapply` or `adopt`.")
    known: bool = Field(description="Whether the files that run are known here, so that they can be compared.")
    changes: list[ChangeAnswer]
    text: str = Field(description="The lines of the files, as a unified diff.")
    truncated: bool


class EnvironmentDrift(Answer):
    """The gateways of an environment."""

    environment_id: UUID
    gateways: list[GatewayDrift]


class Adopted(Answer):
    """The new wanted revision of a gateway."""

    gateway_id: UUID
    wanted: str


router = APIRouter(tags=["rollouts"], route_class=IdempotentRoute)


@router.get("/environments/{id}/drift", responses=documented(404))
async def list_drift(plane: ThePlane, id: UUID, caller: WhoCalls) -> EnvironmentDrift:
    """The running and the wanted revisions of the gateways of an environment."""
    async with plane.database.reading() as session:
        environment = await environments.get(session, caller, id)
        found = (await session.scalars(rolling.members(environment.uuid))).all()
        shown = [_shown(each.uuid, each.name, await drift.of(session, each.uuid, plane.now())) for each in found]
    return EnvironmentDrift(environment_id=environment.uuid, gateways=shown)


@router.get("/gateways/{id}/drift", responses=documented(404))
async def get_drift(plane: ThePlane, id: UUID, caller: WhoCalls) -> GatewayDifference:
    """The same of one gateway, with what is different, if its files are known."""
    await plane.channel.heartbeats.flush(plane.database)
    async with plane.database.reading() as session:
        gateway = await gateways.get(session, caller, id)
        found = await drift.of(session, id, plane.now())
        policy = await policy_of(session, id)
        shown = _shown(id, gateway.name, found)
        runs = next((each.instance.revision for each in found if each.instance.revision != shown.wanted), None)
        pair = None
        if runs is not None and shown.wanted is not None:
            pair = await drift.pair(session, caller.organization, shown.wanted, runs)
    compared = await plane.beside.run("comparison of revisions", partial(compare, *pair)) if pair else None
    return GatewayDifference(
        **shown.model_dump(by_alias=False),
        policy=policy,
        known=compared is not None,
        changes=[ChangeAnswer(**asdict(each)) for each in compared.changes] if compared is not None else [],
        text=compared.text if compared is not None else "",
        truncated=compared.truncated if compared is not None else False,
    )


@router.post("/gateways/{id}/drift/adopt", responses=documented(404, 409, 422))
async def adopt_drift(plane: ThePlane, id: UUID, caller: WhoCalls) -> Adopted:
    """Make what the gateway runs its wanted revision. Other gateways of its environments are not affected."""
    async with plane.database.transaction() as session:
        gateway = await gateways.get(session, caller, id, lock=True)
        for environment in (await gateways.environments_of(session, [id]))[id]:
            caller.require("deployer", environment.name)
        digest = await drift.adopt(session, gateway, plane.now(), caller)
        if digest is None:
            message = (
                "there is nothing to adopt: it runs its wanted revision, its files are not known here, or a rollout"
            )
            raise Problem(409, f"{message} is under way")
    plane.events.publish(Event("gateway.adopted", caller.organization, plane.now(), id))
    return Adopted(gateway_id=id, wanted=digest)


def _shown(gateway: UUID, name: str, found: list[drift.Drift]) -> GatewayDrift:
    return GatewayDrift(
        gateway_id=gateway,
        name=name,
        wanted=found[0].wanted if found else None,
        drift=any(each.is_drift for each in found),
        instances=[
            InstanceDrift(
                id=each.instance.id,
                revision=each.instance.revision,
                source=each.instance.source,
                drift=each.is_drift,
                since=each.instance.drifted_since,
            )
            for each in found
        ],
    )
