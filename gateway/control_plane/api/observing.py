"""/gateways/{id}/health, /metrics and /deployments"""

from __future__ import annotations

from typing import Any, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from gateway.control_plane import gateways, observing
from gateway.control_plane.adapters.protocol import Status
from gateway.control_plane.callers import WhoCalls
from gateway.control_plane.health.view import HealthView, view
from gateway.control_plane.observing import Deployed, Observed
from gateway.control_plane.paging import Paged
from gateway.control_plane.plane import Plane, ThePlane
from gateway.control_plane.problems import documented
from gateway.control_plane.schemas import Answer, Moment


class ProbeAnswer(Answer):
    """The result of the last probe of the gateway."""

    healthy: bool | None = Field(description="null: it cannot be asked, and calls by itself.")
    checked_at: Moment
    succeeded_at: Moment | None
    failures: int = Field(description="In a row.")
    response_time: str | None
    reason: str | None = Field(description="Of a failure, in a word.")
    error_message: str | None
    url: str | None
    fresh: bool = Field(description="Whether it was asked lately.")


class HeartbeatAnswer(Answer):
    """The last heartbeat of the gateway."""

    last_at: Moment
    instances: int = Field(description="Processes of it that have spoken lately.")
    fresh: bool = Field(description="Whether one of them has.")


class HealthAnswer(Answer):
    """How a gateway is."""

    gateway_id: UUID
    status: Status
    last_heartbeat: Moment | None
    response_time: str | None = Field(examples=["45ms"])
    error_message: str | None
    checked_at: Moment | None
    probe: ProbeAnswer | None
    heartbeat: HeartbeatAnswer | None

    @classmethod
    def of(cls, gateway: UUID, found: HealthView) -> Self:
        """From the results of probes and heartbeats."""
        probe, heartbeat = found.probe, found.heartbeat
        values: dict[str, Any] = {
            "gatewayId": gateway,
            "status": found.status,
            "lastHeartbeat": found.last_heartbeat,
            "responseTime": milliseconds(found.response_ms),
            "errorMessage": found.error_message,
            "checkedAt": found.checked_at,
            "probe": None,
            "heartbeat": None,
        }
        if probe is not None:
            values["probe"] = {
                "healthy": probe.healthy,
                "checkedAt": probe.checked_at,
                "succeededAt": probe.succeeded_at,
                "failures": probe.failures,
                "responseTime": milliseconds(probe.response_ms),
                "reason": probe.reason,
                "errorMessage": probe.error_message,
                "url": probe.url,
                "fresh": probe.fresh,
            }
        if heartbeat is not None:
            values["heartbeat"] = {
                "lastAt": heartbeat.last_at,
                "instances": heartbeat.instances,
                "fresh": heartbeat.fresh,
            }
        return cls.model_validate(values)


class MetricsAnswer(Answer):
    """Metrics of a gateway; null: unknown."""

    gateway_id: UUID
    resource_count: int | None
    provider_count: int | None
    proxy_count: int | None
    mcp_count: int | None
    request_rate: float | None = Field(description="Requests per second.")
    error_rate: float | None = Field(description="Per cent of them.")
    average_latency: str | None = Field(examples=["120ms"])
    error_message: str | None = Field(description="Why nothing is known, or no rates are.")
    timestamp: Moment

    @classmethod
    def of(cls, plane: Plane, gateway: UUID, found: Observed) -> Self:
        """From its metrics."""
        metrics = found.metrics
        return cls(
            gateway_id=gateway,
            resource_count=metrics.resource_count,
            provider_count=metrics.provider_count,
            proxy_count=metrics.proxy_count,
            mcp_count=metrics.mcp_count,
            request_rate=metrics.request_rate,
            error_rate=metrics.error_rate,
            average_latency=milliseconds(metrics.average_latency_ms),
            error_message=found.error,
            timestamp=plane.now(),
        )


class DeploymentAnswer(Answer):
    """Something that is on a gateway, or is to be."""

    uuid: UUID | None = Field(description="null: it was not deployed by this control plane.")
    gateway_id: UUID
    environment_id: UUID | None
    rollout_id: UUID | None
    kind: str = Field(examples=["configuration", "llm-provider"])
    resource: str
    revision: str | None
    state: str = Field(description="`pending`, `deployed`, `failed` or `undeployed`.")
    error: str | None
    created_at: Moment | None
    updated_at: Moment | None

    @classmethod
    def of(cls, gateway: UUID, found: Deployed) -> Self:
        """From a deployment."""
        return cls(
            uuid=found.uuid,
            gateway_id=gateway,
            environment_id=found.environment,
            rollout_id=found.rollout,
            kind=found.kind,
            resource=found.resource,
            revision=found.revision,
            state=found.state,
            error=found.error,
            created_at=found.created_at,
            updated_at=found.updated_at,
        )


class DeploymentList(Answer):
    """A page of what is on a gateway."""

    deployments: list[DeploymentAnswer]
    total: int = Field(description="How many there are in all.")


def milliseconds(value: float | None) -> str | None:
    """`45ms`"""
    return None if value is None else f"{value:.0f}ms" if value >= 1 else f"{value:.1f}ms"


router = APIRouter(tags=["observing"])


@router.get("/gateways/{id}/health", responses=documented(404))
async def get_gateway_health(plane: ThePlane, id: UUID, caller: WhoCalls) -> HealthAnswer:
    """How a gateway is: what probes have shown, and what it says by itself."""
    interval = plane.settings.gateway.adapter.calls.health_check.interval
    async with plane.database.reading() as session:
        found = await view(session, await gateways.get(session, caller, id), plane.now(), interval)
    return HealthAnswer.of(id, found)


@router.get("/gateways/{id}/metrics", responses=documented(404))
async def get_gateway_metrics(plane: ThePlane, id: UUID, caller: WhoCalls) -> MetricsAnswer:
    """Current metrics of a gateway."""
    async with plane.database.reading() as session:
        ask = await observing.observed(plane, session, await gateways.get(session, caller, id))
    return MetricsAnswer.of(plane, id, await ask())


@router.get("/gateways/{id}/deployments", responses=documented(404))
async def list_deployments(plane: ThePlane, id: UUID, caller: WhoCalls, page: Paged) -> DeploymentList:
    """Deployments of a gateway by kind and name, including those of other origin, if it reports them."""
    async with plane.database.reading() as session:
        ask = await observing.deployed(plane, session, await gateways.get(session, caller, id))
    found = await ask()
    part = found[page.offset : page.offset + page.limit]
    return DeploymentList(deployments=[DeploymentAnswer.of(id, each) for each in part], total=len(found))
