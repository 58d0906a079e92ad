"""/gateways/{id}/environments, and /environments/{id}/gateways"""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane import audit, environments, gateways, rolling
from gateway.control_plane.api.environments import EnvironmentList
from gateway.control_plane.api.environments import shown as environment_shown
from gateway.control_plane.api.gateways import GatewayList, listed
from gateway.control_plane.callers import Caller, WhoCalls
from gateway.control_plane.database.tables import Environment, Gateway
from gateway.control_plane.events import Event
from gateway.control_plane.idempotency import IdempotentRoute
from gateway.control_plane.paging import Paged
from gateway.control_plane.plane import ThePlane
from gateway.control_plane.problems import documented
from gateway.control_plane.schemas import Answer, Moment


class MappingAnswer(Answer):
    """Membership of a gateway in an environment."""

    gateway_id: UUID
    environment_id: UUID
    created_at: Moment


router = APIRouter(tags=["mappings"], route_class=IdempotentRoute)


@router.post("/gateways/{id}/environments/{envId}", status_code=201, responses=documented(404, 409, 422))
async def map_gateway(plane: ThePlane, id: UUID, envId: UUID, caller: WhoCalls) -> MappingAnswer:  # noqa: N803
    """Put a gateway into an environment."""
    async with plane.database.transaction() as session:
        gateway, environment = await _both(session, caller, id, envId)
        mapping = await gateways.map_to(session, gateway, environment)
        await _record(session, caller, "map", gateway, environment)
    plane.events.publish(Event("gateway.mapped", caller.organization, plane.now(), id, envId))
    return MappingAnswer(gateway_id=id, environment_id=envId, created_at=mapping.created_at)


@router.delete(
    "/gateways/{id}/environments/{envId}", status_code=204, response_class=Response, responses=documented(404)
)
async def unmap_gateway(plane: ThePlane, id: UUID, envId: UUID, caller: WhoCalls) -> None:  # noqa: N803
    """Take a gateway out of an environment; what was rolled out there does not count as deployed on it any more."""
    async with plane.database.transaction() as session:
        gateway, environment = await _both(session, caller, id, envId)
        await gateways.take_out(session, gateway, environment)
        await rolling.leave(session, gateway.uuid, environment.uuid, plane.now())
        await _record(session, caller, "unmap", gateway, environment)
    plane.events.publish(Event("gateway.unmapped", caller.organization, plane.now(), id, envId))


@router.get("/gateways/{id}/environments", responses=documented(404))
async def list_environments_of_gateway(plane: ThePlane, id: UUID, caller: WhoCalls, page: Paged) -> EnvironmentList:
    """The environments that a gateway is in, by name."""
    async with plane.database.reading() as session:
        await gateways.get(session, caller, id)
        found = (await gateways.environments_of(session, [id]))[id]
    seen = [environment for environment in found if caller.may("viewer", environment.name)]
    part = seen[page.offset : page.offset + page.limit]
    return EnvironmentList(environments=[environment_shown(each) for each in part], total=len(seen))


@router.get("/environments/{id}/gateways", responses=documented(404))
async def list_gateways_of_environment(plane: ThePlane, id: UUID, caller: WhoCalls, page: Paged) -> GatewayList:
    """The gateways that are in an environment, by name."""
    async with plane.database.reading() as session:
        await environments.get(session, caller, id)
        return await listed(session, caller, gateways.within(gateways.seen_by(caller), id), page)


async def _both(session: AsyncSession, caller: Caller, id: UUID, other: UUID) -> tuple[Gateway, Environment]:
    """Both, locked, where the caller is an admin of all that it concerns. Raises Problem."""
    gateway = await gateways.get(session, caller, id, lock=True)
    environment = await environments.get(session, caller, other, lock=True)
    among = (await gateways.environments_of(session, [id]))[id]
    gateways.require(caller, "admin", [*among, environment])
    return gateway, environment


async def _record(
    session: AsyncSession, caller: Caller, action: str, gateway: Gateway, environment: Environment
) -> None:
    details = {"gateway": gateway.name, "environment": environment.name}
    await audit.record(session, caller, f"gateway.{action}", f"gateways/{gateway.uuid}", details=details)
