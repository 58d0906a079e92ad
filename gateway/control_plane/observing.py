"""Metrics and deployments of gateways: by request to them, and from their heartbeats."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane.adapters.protocol import AdapterError, GatewaySpec, Metrics
from gateway.control_plane.credentials import gateway_spec
from gateway.control_plane.database.tables import Deployment, Gateway, GatewayHealth, GatewayInstance
from gateway.control_plane.health.view import HEARTBEAT_FRESH_SECONDS
from gateway.control_plane.plane import Plane

MOST_LISTED: Final = 10_000  # resources of one gateway

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Observed:
    """Metrics of a gateway; `error`: why something is unknown."""

    metrics: Metrics
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Deployed:
    """One deployment on a gateway, existing or wanted. Without `uuid`: not made by this control plane."""

    kind: str
    resource: str
    revision: str | None
    state: str
    error: str | None
    uuid: UUID | None = None
    environment: UUID | None = None
    rollout: UUID | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def of(cls, deployment: Deployment) -> Self:
        """From a deployment of this control plane."""
        return cls(
            kind=deployment.kind,
            resource=deployment.resource,
            revision=deployment.revision,
            state=deployment.state,
            error=deployment.error,
            uuid=deployment.uuid,
            environment=deployment.environment_uuid,
            rollout=deployment.rollout_uuid,
            created_at=deployment.created_at,
            updated_at=deployment.updated_at,
        )


async def observed(plane: Plane, session: AsyncSession, gateway: Gateway) -> Callable[[], Awaitable[Observed]]:
    """How to find out what a gateway counts: to be called when the transaction is over, because it takes time."""
    spoken = _of_heartbeats(await _fresh(session, gateway, plane.now()))
    url = await _probed_url(session, gateway)

    async def ask() -> Observed:
        found, error = await _asked(plane, gateway, url, plane.adapter.metrics)
        if found is None:
            return Observed(spoken or Metrics(), None if spoken is not None else error)
        filled = _filled(found, spoken)
        return Observed(filled, found.unknown if filled.request_rate is None else None)

    return ask


async def deployed(plane: Plane, session: AsyncSession, gateway: Gateway) -> Callable[[], Awaitable[list[Deployed]]]:
    """The same of what is on it, by kind and name."""
    query = select(Deployment).where(Deployment.gateway_uuid == gateway.uuid).order_by(Deployment.created_at)
    known = [Deployed.of(each) for each in await session.scalars(query.limit(MOST_LISTED))]
    url = await _probed_url(session, gateway)

    async def ask() -> list[Deployed]:
        found, _ = await _asked(plane, gateway, url, plane.adapter.deployed)
        names = {(each.kind, each.resource) for each in known}
        others = (each for each in list(found or ())[:MOST_LISTED] if (each.kind, each.name) not in names)
        together = [*known, *(Deployed(each.kind, each.name, each.revision, each.state, each.error) for each in others)]
        return sorted(together, key=lambda each: (each.kind, each.resource))

    return ask


async def _asked(
    plane: Plane, gateway: Gateway, url: str | None, call: Callable[[GatewaySpec], Awaitable[T]]
) -> tuple[T | None, str | None]:
    """The gateway's answer within the time limit of a health check, or an error."""
    seconds = plane.settings.gateway.adapter.calls.health_check.timeout
    try:
        async with asyncio.timeout(seconds):
            return await call(gateway_spec(gateway, plane.keys, url)), None
    except AdapterError as error:
        return None, str(error)
    except TimeoutError:
        return None, f"the gateway has not answered within {seconds:g} s"


async def _probed_url(session: AsyncSession, gateway: Gateway) -> str | None:
    query = select(GatewayHealth.probed_url).where(GatewayHealth.gateway_uuid == gateway.uuid)
    return (await session.execute(query)).scalar_one_or_none()


async def _fresh(session: AsyncSession, gateway: Gateway, now: datetime) -> Sequence[Mapping[str, Any]]:
    """The reports of its processes that have spoken lately."""
    since = now - timedelta(seconds=HEARTBEAT_FRESH_SECONDS)
    query = select(GatewayInstance.report).where(
        GatewayInstance.gateway_uuid == gateway.uuid, GatewayInstance.last_heartbeat_at >= since
    )
    return (await session.scalars(query)).all()


def _of_heartbeats(reports: Sequence[Mapping[str, Any]]) -> Metrics | None:
    """Metrics of all processes together; shares and times are weighted by requests. None: there are no heartbeats."""
    if not reports:
        return None
    rated = [(rate, report) for report in reports if (rate := _number(report, "requestRate")) is not None]
    total = sum((rate for rate, _ in rated), 0.0)
    return Metrics(
        request_rate=round(total, 3) if rated else None,
        error_rate=_weighted(rated, "errorRate"),
        average_latency_ms=_weighted(rated, "p50Ms"),
    )


def _weighted(rated: Sequence[tuple[float, Mapping[str, Any]]], name: str) -> float | None:
    counted = [(rate, value) for rate, report in rated if (value := _number(report, name)) is not None and rate > 0]
    weight = sum((rate for rate, _ in counted), 0.0)
    return round(sum((rate * value for rate, value in counted), 0.0) / weight, 3) if weight else None


def _number(report: Mapping[str, Any], name: str) -> float | None:
    value = report.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _filled(found: Metrics, spoken: Metrics | None) -> Metrics:
    """The gateway's answer, completed by its heartbeats."""
    if spoken is None:
        return found
    return replace(
        found,
        request_rate=spoken.request_rate if found.request_rate is None else found.request_rate,
        error_rate=spoken.error_rate if found.error_rate is None else found.error_rate,
        average_latency_ms=(
            spoken.average_latency_ms if found.average_latency_ms is None else found.average_latency_ms
        ),
    )
