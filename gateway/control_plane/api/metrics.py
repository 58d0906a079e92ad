"""/metrics: what the control plane counts, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import func, select

from gateway.control_plane.database.connection import DatabaseUnavailable
from gateway.control_plane.database.tables import Gateway
from gateway.control_plane.plane import ThePlane

router = APIRouter()


@router.get("/metrics")
async def metrics(plane: ThePlane) -> Response:
    """All of them; without those of the database where it is away."""
    try:
        async with plane.database.reading() as session:
            counted = select(Gateway.gateway_type, Gateway.status, func.count())
            rows = (await session.execute(counted.group_by(Gateway.gateway_type, Gateway.status))).all()
    except DatabaseUnavailable:
        plane.metrics.database_up.set(0)
    else:
        plane.metrics.database_up.set(1)
        plane.metrics.set_gateways({(kind, status): count for kind, status, count in rows})
    return Response(generate_latest(plane.metrics.registry), media_type=CONTENT_TYPE_LATEST)
