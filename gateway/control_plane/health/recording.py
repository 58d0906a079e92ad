"""Writes what probes have shown: the last one of each gateway, samples, and what follows for the status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Insert, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane import audit
from gateway.control_plane.adapters.protocol import Health
from gateway.control_plane.database.tables import Gateway, GatewayHealth, HealthSample, Table
from gateway.control_plane.health.transitions import Seen, after

JOB = "job:health"
MOST_MESSAGE = 1000  # characters
MOST_REASON = 32
MOST_REGION = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one probe."""

    gateway: UUID
    config: Mapping[str, Any] | None  # the adapter_config that it was made with
    at: datetime
    health: Health
    alive: bool | None  # where nothing can be probed: whether heartbeats come

    @property
    def healthy(self) -> bool | None:
        """Whether the gateway is healthy: by the probe, or else by its heartbeats."""
        return self.alive if self.health.healthy is None else self.health.healthy

    @property
    def why(self) -> tuple[str | None, str | None]:
        """The reason in a word, and a message."""
        if self.health.healthy is None and self.alive is False:
            return "silent", "no heartbeat came"
        return _text(self.health.reason, MOST_REASON), _text(self.health.message, MOST_MESSAGE)

    def row(self, before: _Former, failures: int) -> dict[str, Any]:
        """The row of the last probe."""
        health, (reason, message) = self.health, self.why
        return {
            "gateway_uuid": self.gateway,
            "checked_at": self.at,
            "succeeded_at": self.at if health.healthy else before.succeeded_at,
            "failures": failures,
            "response_ms": health.response_ms,
            "error_message": message if health.healthy is False else None,
            "reason": reason if health.healthy is False else None,
            "probed_url": _text(health.url, MOST_MESSAGE) if health.healthy else before.url,
        }

    def sample(self) -> dict[str, Any]:
        """The row of a sample."""
        return {
            "gateway_uuid": self.gateway,
            "checked_at": self.at,
            "healthy": self.healthy is not False,
            "response_ms": self.health.response_ms,
            "reason": self.why[0],
        }

    def found(self) -> dict[str, Any]:
        """Properties of the gateway that the probe has found."""
        health = self.health
        known = {"endpoint": _text(health.endpoint, MOST_MESSAGE), "region": _text(health.region, MOST_REGION)}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Transition:
    """A gateway whose status has changed."""

    gateway: UUID
    organization: UUID
    name: str
    before: str
    after: str
    reason: str | None
    message: str | None

    @property
    def details(self) -> dict[str, Any]:
        """The change of status for the audit log and for events."""
        return {
            "name": self.name,
            "from": self.before,
            "to": self.after,
            "reason": self.reason,
            "message": self.message,
        }


async def record(session: AsyncSession, outcomes: Sequence[Outcome]) -> list[Transition]:
    """Write them. Results about a gateway that was deleted or changed meanwhile are dropped."""
    by_id = {outcome.gateway: outcome for outcome in outcomes}
    columns = (Gateway.uuid, Gateway.organization_uuid, Gateway.name, Gateway.status, Gateway.adapter_config)
    found = select(*columns).where(Gateway.uuid.in_(by_id)).order_by(Gateway.uuid).with_for_update(key_share=True)
    gateways = [row for row in await session.execute(found) if row.adapter_config == by_id[row.uuid].config]
    former = await _former(session, [row.uuid for row in gateways])
    transitions, written = [], []
    for row in gateways:
        outcome = by_id[row.uuid]
        before = former.get(row.uuid, _NEVER)
        then = after(Seen(row.status, before.failures), outcome.healthy, outcome.health.status)
        written.append(outcome.row(before, then.failures))
        changes = outcome.found() | ({"status": then.status} if then.status != row.status else {})
        if changes:
            await session.execute(update(Gateway).where(Gateway.uuid == row.uuid).values(**changes))
        if then.status != row.status:
            reason, message = outcome.why
            transitions.append(
                Transition(row.uuid, row.organization_uuid, row.name, row.status, then.status, reason, message)
            )
    if written:
        await session.execute(_UPSERTS[session.get_bind().dialect.name], written)
        await session.execute(_INSERT_SAMPLES, [by_id[row.uuid].sample() for row in gateways])
    for each in sorted(transitions, key=lambda each: each.organization):
        subject = f"gateways/{each.gateway}"
        await audit.record(
            session, JOB, "gateway.status", subject, details=each.details, organization=each.organization
        )
    return transitions


@dataclass(frozen=True, slots=True)
class _Former:
    failures: int
    succeeded_at: datetime | None
    url: str | None


_NEVER = _Former(0, None, None)


async def _former(session: AsyncSession, gateways: Sequence[UUID]) -> Mapping[UUID, _Former]:
    columns = (GatewayHealth.gateway_uuid, GatewayHealth.failures, GatewayHealth.succeeded_at, GatewayHealth.probed_url)
    found = await session.execute(select(*columns).where(GatewayHealth.gateway_uuid.in_(gateways)))
    return {row.gateway_uuid: _Former(row.failures, row.succeeded_at, row.probed_url) for row in found}


def _text(said: object, most: int) -> str | None:
    """A text of a gateway or adapter in a form for databases: without NUL and surrogates, and bounded."""
    return None if said is None else "".join(char if char.isprintable() else " " for char in str(said)[:most])


# Of tables, not of their classes, which takes a third of the time: there are thousands in a minute.
_HEALTH: Final = Table.metadata.tables[GatewayHealth.__tablename__]
_INSERT_SAMPLES: Final = insert(Table.metadata.tables[HealthSample.__tablename__])


def _upsert_of(dialect: ModuleType) -> Insert:
    statement = dialect.insert(_HEALTH)
    values = {column.name: statement.excluded[column.name] for column in _HEALTH.columns if not column.primary_key}
    upsert: Insert = statement.on_conflict_do_update(index_elements=["gateway_uuid"], set_=values)
    return upsert


_UPSERTS: Final = {"sqlite": _upsert_of(sqlite), "postgresql": _upsert_of(postgresql)}
