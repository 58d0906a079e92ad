"""/environments/{id}/delivery: which revision is in force, and what is done about gateways that run another one."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response

from gateway.control_plane import audit, environments, rolling
from gateway.control_plane.api.rollout_bodies import DeliveryChange, EnvironmentDelivery
from gateway.control_plane.callers import WhoCalls
from gateway.control_plane.database.tables import EnvironmentSettings
from gateway.control_plane.etags import IfMatch, confirm, etag_of
from gateway.control_plane.events import Event
from gateway.control_plane.idempotency import IdempotentRoute
from gateway.control_plane.plane import ThePlane
from gateway.control_plane.problems import documented

router = APIRouter(tags=["rollouts"], route_class=IdempotentRoute)


@router.get("/environments/{id}/delivery", responses=documented(404))
async def get_delivery(plane: ThePlane, id: UUID, caller: WhoCalls, response: Response) -> EnvironmentDelivery:
    """Which revision is in force, and the rules for rollouts and drift."""
    async with plane.database.reading() as session:
        environment = await environments.get(session, caller, id)
        found = await session.get(EnvironmentSettings, environment.uuid)
    response.headers["etag"] = _etag(found)
    return _shown(environment.uuid, found)


@router.put("/environments/{id}/delivery", responses=documented(404, 412, 413, 415))
async def update_delivery(
    plane: ThePlane,
    id: UUID,
    body: DeliveryChange,
    caller: WhoCalls,
    response: Response,
    if_match: IfMatch,
) -> EnvironmentDelivery:
    """Change the rules. What is in force is changed by rollouts only."""
    async with plane.database.transaction() as session:
        environment = await environments.get(session, caller, id, lock=True)
        caller.require("admin", environment.name)
        found = await rolling.settings_of(session, environment.uuid)
        confirm(if_match, _etag(found))
        changes = {name: getattr(body, name) for name in body.model_fields_set if getattr(body, name) is not None}
        for name, value in changes.items():
            setattr(found, name, value)
        subject = f"environments/{environment.uuid}"
        await audit.record(session, caller, "environment.delivery", subject, details=changes)
    event = Event("environment.wanted", caller.organization, plane.now(), environment=environment.uuid)
    plane.events.publish(event)
    response.headers["etag"] = _etag(found)
    return _shown(environment.uuid, found)


def _etag(settings: EnvironmentSettings | None) -> str:
    return etag_of("report", 0) if settings is None else etag_of(settings.drift_policy, settings.approvals)


def _shown(environment: UUID, settings: EnvironmentSettings | None) -> EnvironmentDelivery:
    return EnvironmentDelivery(
        environment_id=environment,
        revision=settings.digest if settings is not None else None,
        drift_policy=settings.drift_policy if settings is not None else "report",
        approvals=settings.approvals if settings is not None else 0,
    )
