"""/gateways/status: which gateways are heard of, and what they run. Freshness is judged when it is asked."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Final, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import select

from gateway.control_messages import HEARTBEAT_SECONDS
from gateway.control_plane.callers import WhoCalls
from gateway.control_plane.channel import has_drifted
from gateway.control_plane.database.tables import Gateway, GatewayInstance
from gateway.control_plane.gateways import seen_by
from gateway.control_plane.paging import Paged, page_of
from gateway.control_plane.plane import Plane, ThePlane
from gateway.control_plane.problems import documented
from gateway.control_plane.schemas import Answer, Moment
from gateway.control_plane.wanted import takes_revisions, wanted_of

FRESH: Final = timedelta(seconds=3 * HEARTBEAT_SECONDS)
"""How old the last heartbeat of a gateway may be that counts as connected."""


class InstanceStatus(Answer):
    """One process of a gateway."""

    id: str
    connected: bool
    last_heartbeat: Moment
    revision: str | None
    source: str | None
    drifted_since: Moment | None
    version: str
    uptime_seconds: float
    last_error: dict[str, object] | None
    endpoints_up: int
    endpoints_total: int
    request_rate: float | None
    error_rate: float | None = Field(description="Per cent.")
    p95_ms: float | None
    token_spend: float | None

    @classmethod
    def of(cls, row: GatewayInstance, *, connected: bool) -> Self:
        """From its last heartbeat."""
        report = row.report
        return cls(
            id=row.id,
            connected=connected,
            last_heartbeat=row.last_heartbeat_at,
            revision=row.revision,
            source=row.source,
            drifted_since=row.drifted_since,
            version=report.get("version", ""),
            uptime_seconds=report.get("uptimeSeconds", 0),
            last_error=report.get("lastError"),
            endpoints_up=report.get("endpointsUp", 0),
            endpoints_total=report.get("endpointsTotal", 0),
            request_rate=report.get("requestRate"),
            error_rate=report.get("errorRate"),
            p95_ms=report.get("p95Ms"),
            token_spend=report.get("tokenSpend"),
        )


class GatewayStatus(Answer):
    """A gateway, according to its heartbeats."""

    uuid: UUID
    name: str
    status: str
    connected: bool = Field(description="Whether one of its processes was heard of within 45 seconds.")
    last_heartbeat: Moment | None
    wanted_revision: str | None
    drift: bool = Field(description="Whether it has run another revision than wanted for more than a minute.")
    instances: list[InstanceStatus]

    @classmethod
    def of(cls, plane: Plane, gateway: Gateway, rows: list[GatewayInstance], wanted: str | None) -> Self:
        """From its instances, by their heartbeats."""
        now = plane.now()
        fresh = [row for row in rows if now - row.last_heartbeat_at < FRESH]
        return cls(
            uuid=gateway.uuid,
            name=gateway.name,
            status=gateway.status,
            connected=bool(fresh),
            last_heartbeat=max((row.last_heartbeat_at for row in rows), default=None),
            wanted_revision=wanted,
            drift=wanted is not None
            and any(row.revision != wanted and has_drifted(row.drifted_since, now) for row in fresh),
            instances=[InstanceStatus.of(row, connected=row in fresh) for row in rows],
        )


class GatewayStatusList(Answer):
    """A page of gateways."""

    gateways: list[GatewayStatus]
    total: int = Field(description="How many there are in all.")


router = APIRouter(tags=["gateways"])


@router.get("/gateways/status", responses=documented())
async def get_gateways_status(plane: ThePlane, caller: WhoCalls, page: Paged) -> GatewayStatusList:
    """Which gateways are connected, and what they run."""
    await plane.channel.heartbeats.flush(plane.database)
    async with plane.database.reading() as session:
        gateways, total = await page_of(session, seen_by(caller), page)
        ids = [gateway.uuid for gateway in gateways]
        wanted = await wanted_of(session, ids)
        query = select(GatewayInstance).where(GatewayInstance.gateway_uuid.in_(ids)).order_by(GatewayInstance.id)
        instances: defaultdict[UUID, list[GatewayInstance]] = defaultdict(list)
        for row in (await session.scalars(query)).all():
            instances[row.gateway_uuid].append(row)
    shown = [
        GatewayStatus.of(plane, each, instances[each.uuid], wanted.get(each.uuid) if takes_revisions(each) else None)
        for each in gateways
    ]
    return GatewayStatusList(gateways=shown, total=total)
