"""How gateways are, for people: from what was written last, and how long ago that is now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_messages import HEARTBEAT_SECONDS
from gateway.control_plane.database.tables import Gateway, GatewayHealth, GatewayInstance

PROBE_SECONDS: Final = 30.0  # between two probes, where the configuration says nothing else
MISSED: Final = 3  # probes or heartbeats, after which what they have said is not fresh any more
HEARTBEAT_FRESH_SECONDS: Final = MISSED * HEARTBEAT_SECONDS


@dataclass(frozen=True, slots=True)
class ProbeView:
    """The result of probes of the gateway."""

    checked_at: datetime
    succeeded_at: datetime | None
    failures: int  # in a row
    response_ms: float | None
    reason: str | None  # of a failure, in a word
    error_message: str | None
    url: str | None
    fresh: bool  # whether it was asked lately

    @classmethod
    def of(cls, row: GatewayHealth, now: datetime, probe_seconds: float) -> Self:
        """From the row of the last probe."""
        return cls(
            checked_at=row.checked_at,
            succeeded_at=row.succeeded_at,
            failures=row.failures,
            response_ms=row.response_ms,
            reason=row.reason,
            error_message=row.error_message,
            url=row.probed_url,
            fresh=is_fresh(row.checked_at, now, MISSED * probe_seconds),
        )

    @property
    def healthy(self) -> bool | None:
        """The result of the last probe. None: the gateway cannot be probed."""
        if self.reason is not None:
            return False
        return True if self.succeeded_at == self.checked_at else None


@dataclass(frozen=True, slots=True)
class HeartbeatView:
    """The last heartbeat of the gateway."""

    last_at: datetime
    instances: int  # processes of it that speak
    fresh: bool  # whether one of them spoke lately

    @classmethod
    def of(cls, spoken: Iterable[datetime], now: datetime) -> Self | None:
        """From the times of the last heartbeats of its processes; None: there are none."""
        moments = sorted(spoken)
        if not moments:
            return None
        fresh = sum(is_fresh(at, now, HEARTBEAT_FRESH_SECONDS) for at in moments)
        return cls(last_at=moments[-1], instances=fresh, fresh=fresh > 0)


@dataclass(frozen=True, slots=True)
class HealthView:
    """Both, and what follows from them."""

    status: str
    last_heartbeat: datetime | None  # where a gateway sends none: the last probe that succeeded
    response_ms: float | None
    error_message: str | None
    checked_at: datetime | None
    probe: ProbeView | None
    heartbeat: HeartbeatView | None


async def view(
    session: AsyncSession, gateway: Gateway, now: datetime, probe_seconds: float = PROBE_SECONDS
) -> HealthView:
    """How one gateway is. `probe_seconds`: between two probes."""
    return (await views(session, [gateway], now, probe_seconds))[gateway.uuid]


async def views(
    session: AsyncSession, gateways: Iterable[Gateway], now: datetime, probe_seconds: float = PROBE_SECONDS
) -> Mapping[UUID, HealthView]:
    """How each of them is, in two queries."""
    by_id = {gateway.uuid: gateway for gateway in gateways}
    probed = await session.scalars(select(GatewayHealth).where(GatewayHealth.gateway_uuid.in_(by_id)))
    probes = {row.gateway_uuid: ProbeView.of(row, now, probe_seconds) for row in probed}
    spoken: dict[UUID, list[datetime]] = {}
    instances = select(GatewayInstance.gateway_uuid, GatewayInstance.last_heartbeat_at)
    for uuid, at in await session.execute(instances.where(GatewayInstance.gateway_uuid.in_(by_id))):
        spoken.setdefault(uuid, []).append(at)
    return {
        uuid: combined(gateway.status, probes.get(uuid), HeartbeatView.of(spoken.get(uuid, ()), now))
        for uuid, gateway in by_id.items()
    }


def combined(status: str, probe: ProbeView | None, heartbeat: HeartbeatView | None) -> HealthView:
    """The status that follows from both. Without probes, a gateway without heartbeats is in error at once."""
    error = None if probe is None else probe.error_message
    silent = heartbeat is not None and not heartbeat.fresh and (probe is None or probe.healthy is None)
    if silent:
        assert heartbeat is not None
        error = f"no heartbeat since {heartbeat.last_at:%Y-%m-%dT%H:%M:%SZ}"
        status = "ERROR" if status == "ACTIVE" else status
    elif probe is not None and not probe.fresh and error is None:
        error = f"not probed since {probe.checked_at:%Y-%m-%dT%H:%M:%SZ}; the health job does not run, or is late"
    return HealthView(
        status=status,
        last_heartbeat=heartbeat.last_at if heartbeat is not None else None if probe is None else probe.succeeded_at,
        response_ms=None if probe is None else probe.response_ms,
        error_message=error,
        checked_at=None if probe is None else probe.checked_at,
        probe=probe,
        heartbeat=heartbeat,
    )


def is_fresh(at: datetime, now: datetime, seconds: float) -> bool:
    """Whether it was within the last seconds. What seems to come yet was written by a clock that was wrong."""
    return 0 <= (now - at).total_seconds() + _SKEW_SECONDS <= seconds + _SKEW_SECONDS


_SKEW_SECONDS: Final = 2.0  # by which the clocks of two control planes may differ
