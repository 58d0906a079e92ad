"""/gateways"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import Field, model_validator
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane import gateways, registering
from gateway.control_plane.adapters.protocol import Status
from gateway.control_plane.callers import Caller, WhoCalls
from gateway.control_plane.credentials import shown as config_shown
from gateway.control_plane.database.tables import Environment, Gateway
from gateway.control_plane.etags import IfMatch
from gateway.control_plane.gateways import Filter
from gateway.control_plane.idempotency import IdempotentRoute
from gateway.control_plane.openapi import made, tagged
from gateway.control_plane.paging import Page, Paged, page_of
from gateway.control_plane.plane import ThePlane
from gateway.control_plane.problems import documented
from gateway.control_plane.registering import GatewayChange, NewGateway
from gateway.control_plane.schemas import Answer, Body, DisplayName, Document, Moment, Name

GatewayType = Literal["EGRESS", "INGRESS"]
MOST_ENVIRONMENTS = 100

Validated = Annotated[
    bool, Query(description="`false`: do not see first whether the gateway can be reached; it is INACTIVE then.")
]


class GatewayRequest(Body):
    """A gateway to be registered."""

    name: Name
    display_name: DisplayName
    gateway_type: Annotated[GatewayType, Field(description="EGRESS: traffic to models; INGRESS: to APIs of ours.")]
    environment_ids: Annotated[list[UUID], Field(max_length=MOST_ENVIRONMENTS)] = Field([])
    adapter_config: Document = Field(
        {},
        description="How it is reached, as the adapter of this control plane needs it; `credentials` are kept sealed.",
        examples=[{"controlPlaneUrl": "http://gateway-1.internal:9090"}],
    )

    @model_validator(mode="before")
    @classmethod
    def _either_spelling(cls, value: Any) -> Any:
        """Answers say `type`; what they say may be sent."""
        if isinstance(value, dict) and "type" in value and "gatewayType" not in value:
            return {**value, "gatewayType": value["type"]}
        return value


class GatewayUpdate(Body):
    """The changes; members that are absent are kept."""

    display_name: DisplayName | None = None
    adapter_config: Document | None = Field(
        None,
        description="Merged into the stored value (RFC 7396): null removes a key. Without credentials, the stored ones "
        "are kept.",
    )


class CreatedGateway(Answer):
    """A gateway that was registered."""

    uuid: UUID
    name: str
    status: Status
    endpoint: str | None
    created_at: Moment


class ChangedGateway(Answer):
    """A gateway that was changed."""

    uuid: UUID
    name: str
    updated_at: Moment


class EnvironmentOfGateway(Answer):
    """An environment that a gateway is in."""

    uuid: UUID
    name: str
    display_name: str


class GatewayAnswer(Answer):
    """A gateway."""

    uuid: UUID
    organization_id: UUID
    name: str
    display_name: str
    type: GatewayType
    gateway_type: GatewayType
    status: Status
    endpoint: str | None
    region: str | None
    environments: list[EnvironmentOfGateway] = Field(description="Those that the caller may see.")
    adapter_config: dict[str, Any] = Field(description="How it is reached; without credentials.")
    metadata: dict[str, Any] = Field(description="What `adapterConfig.metadata` says.")
    created_at: Moment
    updated_at: Moment


class GatewayList(Answer):
    """A page of gateways."""

    gateways: list[GatewayAnswer]
    total: int = Field(description="How many there are in all.")


def shown(gateway: Gateway, environments: Sequence[Environment], caller: Caller) -> GatewayAnswer:
    """The gateway for answers to a caller."""
    config = config_shown(gateway.adapter_config)
    metadata = config.get("metadata")
    return GatewayAnswer.model_validate(
        {
            "uuid": gateway.uuid,
            "organizationId": gateway.organization_uuid,
            "name": gateway.name,
            "displayName": gateway.display_name,
            "type": gateway.gateway_type,
            "gatewayType": gateway.gateway_type,
            "status": gateway.status,
            "endpoint": gateway.endpoint,
            "region": gateway.region,
            "environments": [
                EnvironmentOfGateway.model_validate(each, from_attributes=True)
                for each in environments
                if caller.may("viewer", each.name)
            ],
            "adapterConfig": config,
            "metadata": metadata if isinstance(metadata, dict) else {},
            "createdAt": gateway.created_at,
            "updatedAt": gateway.updated_at,
        }
    )


async def listed(session: AsyncSession, caller: Caller, query: Select[Gateway], page: Page) -> GatewayList:
    """A page of those that a query finds, with their environments: as many queries for any number of them."""
    found, total = await page_of(session, query, page)
    environments = await gateways.environments_of(session, [gateway.uuid for gateway in found])
    return GatewayList(gateways=[shown(each, environments[each.uuid], caller) for each in found], total=total)


router = APIRouter(tags=["gateways"], route_class=IdempotentRoute)


@router.post(
    "/gateways",
    status_code=201,
    responses=documented(404, 409, 413, 415, 422, 502)
    | made(
        get="get_gateway",
        change="update_gateway",
        delete="delete_gateway",
        health="get_gateway_health",
        metrics="get_gateway_metrics",
        deployments="list_deployments",
        environments="list_environments_of_gateway",
    ),
)
async def register_gateway(
    plane: ThePlane, body: GatewayRequest, caller: WhoCalls, response: Response, validate: Validated = True
) -> CreatedGateway:
    """Register a gateway, with all its environments, or not at all."""
    wanted = NewGateway(
        body.name, body.display_name, body.gateway_type, body.environment_ids, body.adapter_config, validate
    )
    created = await registering.register(plane, caller, wanted)
    response.headers["etag"] = gateways.etag(created)
    response.headers["location"] = f"/api/v1/gateways/{created.uuid}"
    return CreatedGateway.model_validate(created, from_attributes=True)


@router.get("/gateways", responses=documented(404))
async def list_gateways(
    plane: ThePlane,
    caller: WhoCalls,
    page: Paged,
    type: Annotated[GatewayType | None, Query(description="Of this type.")] = None,
    status: Annotated[Status | None, Query(description="With this status.")] = None,
    environment: Annotated[
        str | None, Query(max_length=64, description="In the environment of this identifier or name.")
    ] = None,
) -> GatewayList:
    """The gateways that the caller may see, by name."""
    async with plane.database.reading() as session:
        query = await gateways.filtered(session, caller, Filter(type, status, environment))
        return await listed(session, caller, query, page)


@router.get("/gateways/{id:uuid}", responses=documented(404) | tagged())
async def get_gateway(plane: ThePlane, id: UUID, caller: WhoCalls, response: Response) -> GatewayAnswer:
    """A gateway."""
    async with plane.database.reading() as session:
        found = await gateways.get(session, caller, id)
        environments = await gateways.environments_of(session, [id])
    response.headers["etag"] = gateways.etag(found)
    return shown(found, environments[id], caller)


@router.put("/gateways/{id:uuid}", responses=documented(404, 409, 412, 413, 415, 502) | tagged())
async def update_gateway(
    plane: ThePlane,
    id: UUID,
    body: GatewayUpdate,
    caller: WhoCalls,
    response: Response,
    if_match: IfMatch,
    validate: Validated = True,
) -> ChangedGateway:
    """Change its name for people, or how it is reached."""
    wanted = GatewayChange(body.display_name, body.adapter_config, if_match, validate)
    found = await registering.change(plane, caller, id, wanted)
    response.headers["etag"] = gateways.etag(found)
    return ChangedGateway.model_validate(found, from_attributes=True)


@router.delete(
    "/gateways/{id:uuid}", status_code=204, response_class=Response, responses=documented(404, 409, 412, 502)
)
async def delete_gateway(plane: ThePlane, id: UUID, caller: WhoCalls, if_match: IfMatch) -> None:
    """Remove a gateway on which nothing is deployed."""
    await registering.remove(plane, caller, id, if_match)
