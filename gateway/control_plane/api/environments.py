"""/environments"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import Field

from gateway.control_plane import audit, environments
from gateway.control_plane.callers import Caller, WhoCalls
from gateway.control_plane.database.tables import Environment
from gateway.control_plane.etags import IfMatch, confirm
from gateway.control_plane.idempotency import IdempotentRoute
from gateway.control_plane.openapi import made, tagged
from gateway.control_plane.paging import Paged, page_of
from gateway.control_plane.plane import ThePlane
from gateway.control_plane.problems import Problem, documented
from gateway.control_plane.schemas import Answer, Body, Description, DisplayName, Moment, Name


class NewEnvironment(Body):
    """A stage of deployment."""

    name: Name
    display_name: DisplayName
    description: Description | None = None


class EnvironmentChange(Body):
    """The changes; members that are absent are kept."""

    display_name: DisplayName | None = None
    description: Description | None = None


class CreatedEnvironment(Answer):
    """An environment that was made."""

    uuid: UUID
    name: str
    display_name: str
    created_at: Moment


class ChangedEnvironment(Answer):
    """An environment that was changed."""

    uuid: UUID
    name: str
    display_name: str
    updated_at: Moment


class EnvironmentAnswer(Answer):
    """An environment."""

    uuid: UUID
    organization_id: UUID
    name: str
    display_name: str
    description: str | None
    created_at: Moment
    updated_at: Moment


class EnvironmentList(Answer):
    """A page of environments."""

    environments: list[EnvironmentAnswer]
    total: int = Field(description="How many there are in all.")


def shown(environment: Environment) -> EnvironmentAnswer:
    """The environment for answers."""
    return EnvironmentAnswer(
        uuid=environment.uuid,
        organization_id=environment.organization_uuid,
        name=environment.name,
        display_name=environment.display_name,
        description=environment.description,
        created_at=environment.created_at,
        updated_at=environment.updated_at,
    )


router = APIRouter(tags=["environments"], route_class=IdempotentRoute)


@router.post(
    "/environments",
    status_code=201,
    responses=documented(409, 413, 415, 422)
    | made(get="get_environment", delete="delete_environment", gateways="list_gateways_of_environment"),
)
async def create_environment(
    plane: ThePlane, body: NewEnvironment, caller: WhoCalls, response: Response
) -> CreatedEnvironment:
    """Make an environment."""
    caller.require("admin")
    async with plane.database.transaction() as session:
        created = await environments.create(
            session, caller.organization, body.name, body.display_name, body.description
        )
        await _recorded(session, caller, "create", created)
    response.headers["etag"] = environments.etag(created)
    response.headers["location"] = f"/api/v1/environments/{created.uuid}"
    return CreatedEnvironment.model_validate(created, from_attributes=True)


@router.get("/environments", responses=documented(404))
async def list_environments(
    plane: ThePlane,
    caller: WhoCalls,
    page: Paged,
    organization_id: Annotated[
        UUID | None, Query(alias="organizationId", description="That of the caller, if any.")
    ] = None,
) -> EnvironmentList:
    """The environments that the caller may see, by name."""
    if organization_id not in (None, caller.organization):
        raise Problem(404, f"there is no organization {organization_id}")
    async with plane.database.reading() as session:
        found, total = await page_of(session, environments.seen_by(caller), page)
    return EnvironmentList(environments=[shown(each) for each in found], total=total)


@router.get("/environments/{id}", responses=documented(404) | tagged())
async def get_environment(plane: ThePlane, id: UUID, caller: WhoCalls, response: Response) -> EnvironmentAnswer:
    """An environment."""
    async with plane.database.reading() as session:
        found = await environments.get(session, caller, id)
    response.headers["etag"] = environments.etag(found)
    return shown(found)


@router.put("/environments/{id}", responses=documented(404, 412, 413, 415) | tagged())
async def update_environment(
    plane: ThePlane,
    id: UUID,
    body: EnvironmentChange,
    caller: WhoCalls,
    response: Response,
    if_match: IfMatch,
) -> ChangedEnvironment:
    """Change what is for people."""
    async with plane.database.transaction() as session:
        found = await environments.get(session, caller, id, lock=True)
        caller.require("admin", found.name)
        confirm(if_match, environments.etag(found))
        changes = {name: getattr(body, name) for name in body.model_fields_set}
        if changes.get("display_name", "") is None:  # it cannot be taken away; a description can
            del changes["display_name"]
        await environments.change(session, found, changes)
        await _recorded(session, caller, "update", found)
    response.headers["etag"] = environments.etag(found)
    return ChangedEnvironment.model_validate(found, from_attributes=True)


@router.delete("/environments/{id}", status_code=204, response_class=Response, responses=documented(404, 409, 412))
async def delete_environment(plane: ThePlane, id: UUID, caller: WhoCalls, if_match: IfMatch) -> None:
    """Remove an environment in which no gateway is."""
    async with plane.database.transaction() as session:
        found = await environments.get(session, caller, id, lock=True)
        caller.require("admin", found.name)
        confirm(if_match, environments.etag(found))
        await environments.delete(session, found)
        await _recorded(session, caller, "delete", found)


async def _recorded(session: Any, caller: Caller, action: str, environment: Environment) -> None:
    details = {"name": environment.name, "displayName": environment.display_name}
    await audit.record(session, caller, f"environment.{action}", f"environments/{environment.uuid}", details=details)
