"""/overview: gateways beside environments, with health, revision, drift and rollout."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from gateway.control_plane.callers import WhoCalls
from gateway.control_plane.database.tables import GatewayInstance, Rollout
from gateway.control_plane.overview import EnvironmentView, GatewayView, overview
from gateway.control_plane.plane import ThePlane
from gateway.control_plane.problems import documented
from gateway.control_plane.rollouts import ACTIVE
from gateway.control_plane.schemas import Answer, Moment


class OverviewRollout(Answer):
    """The rollout of an environment that is active, or was the last."""

    uuid: UUID
    state: str
    phase: str | None
    canaries: int = Field(description="How many gateways take it first.")
    assigned: int = Field(description="How many are to run it by now.")
    revision: str
    previous: str | None
    reason: str | None
    created_by: str
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, rollout: Rollout) -> Self:
        """From a rollout."""
        progress = rollout.progress
        return cls(
            uuid=rollout.uuid,
            state=rollout.state,
            phase=progress.get("phase") if rollout.state in ACTIVE else None,
            canaries=len(progress.get("canaries", ())),
            assigned=len(progress.get("assigned", ())),
            revision=rollout.digest,
            previous=rollout.previous,
            reason=rollout.reason,
            created_by=rollout.created_by,
            created_at=rollout.created_at,
            updated_at=rollout.updated_at,
        )


class OverviewEnvironment(Answer):
    """An environment."""

    uuid: UUID
    name: str
    display_name: str
    revision: str | None = Field(description="Digest of the revision in force.")
    drift_policy: str
    rollout: OverviewRollout | None

    @classmethod
    def of(cls, view: EnvironmentView) -> Self:
        """From an environment with its settings and rollout."""
        environment, settings = view.environment, view.settings
        return cls(
            uuid=environment.uuid,
            name=environment.name,
            display_name=environment.display_name,
            revision=settings.digest if settings is not None else None,
            drift_policy=settings.drift_policy if settings is not None else "report",
            rollout=OverviewRollout.of(view.rollout) if view.rollout is not None else None,
        )


class OverviewInstance(Answer):
    """One process of a gateway, as it speaks of itself."""

    id: str
    fresh: bool
    last_heartbeat: Moment
    revision: str | None
    source: str | None
    drifted: bool
    report: dict[str, Any] = Field(description="Its last heartbeat.")

    @classmethod
    def of(cls, view: GatewayView, instance: GatewayInstance, now: datetime) -> Self:
        """From an instance of a gateway."""
        return cls(
            id=instance.id,
            fresh=view.is_fresh(instance, now),
            last_heartbeat=instance.last_heartbeat_at,
            revision=instance.revision,
            source=instance.source,
            drifted=view.drifted(instance, now),
            report=instance.report,
        )


class OverviewGateway(Answer):
    """A gateway."""

    uuid: UUID
    name: str
    display_name: str
    type: str
    status: str
    endpoint: str | None
    region: str | None
    environments: list[UUID]
    wanted: str | None = Field(description="Digest of its wanted revision; null: none.")
    heartbeat_fresh: bool | None = Field(description="Whether any instance is heard of; null: none ever was.")
    checked_at: Moment | None = Field(description="When it was probed last.")
    response_ms: float | None
    failures: int = Field(description="Probes that failed in a row.")
    error_message: str | None
    instances: list[OverviewInstance]

    @classmethod
    def of(cls, view: GatewayView, now: datetime) -> Self:
        """From a gateway with its health and instances."""
        gateway, health = view.gateway, view.health
        return cls(
            uuid=gateway.uuid,
            name=gateway.name,
            display_name=gateway.display_name,
            type=gateway.gateway_type,
            status=gateway.status,
            endpoint=gateway.endpoint,
            region=gateway.region,
            environments=list(view.environments),
            wanted=view.wanted,
            heartbeat_fresh=view.fresh(now),
            checked_at=health.checked_at if health is not None else None,
            response_ms=health.response_ms if health is not None else None,
            failures=health.failures if health is not None else 0,
            error_message=health.error_message if health is not None else None,
            instances=[OverviewInstance.of(view, instance, now) for instance in view.instances],
        )


class OverviewAnswer(Answer):
    """All that the caller may see."""

    at: Moment
    environments: list[OverviewEnvironment]
    gateways: list[OverviewGateway]
    total: int = Field(description="How many gateways there are; no more than 5000 are shown.")


router = APIRouter(tags=["overview"])


@router.get("/overview", responses=documented())
async def show_overview(plane: ThePlane, caller: WhoCalls) -> OverviewAnswer:
    """Gateways beside environments: health, what is wanted and what runs, drift, the last rollout."""
    caller.require_somewhere("viewer")
    now = plane.now()
    async with plane.database.reading() as session:
        found = await overview(session, caller, now)
    return OverviewAnswer(
        at=now,
        environments=[OverviewEnvironment.of(view) for view in found.environments],
        gateways=[OverviewGateway.of(view, now) for view in found.gateways],
        total=found.total,
    )
