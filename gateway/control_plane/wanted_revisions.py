"""The wanted revision of each connected gateway, and the tasks that wait for a change.

It is kept in memory, so that a heartbeat asks the database nothing. All replicas write to one database: whether
anything there has changed is asked once a second, in one go.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_messages import DriftPolicy, Wanted
from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.tables import Deployment, EnvironmentSettings, Gateway, GatewayEnvironment, Rollout
from gateway.control_plane.wanted import KIND, wants_of

LOOK_SECONDS: Final = 10.0  # after which all is read again, changed or not
AT_ONCE: Final = 500  # gateways in one query


@dataclass(frozen=True, slots=True)
class WantedRevision:
    """The revision that a gateway is to run, and the deployment that brings it there. None: nothing is said."""

    digest: str | None = None
    deployment: str | None = None
    at: datetime | None = None  # when it became wanted

    @property
    def answer(self) -> Wanted:
        """As a gateway is answered."""
        return Wanted(revision=self.digest, deployment_id=self.deployment, wanted_at=self.at)


class WantedRevisions:
    """Of all gateways that have asked. On the loop."""

    def __init__(self) -> None:
        self._known: dict[UUID, WantedRevision] = {}
        self._waiting: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._marker: Any = None
        self._looked = -LOOK_SECONDS

    async def of(self, database: Database, gateway: UUID) -> WantedRevision:
        """The wanted revision of this gateway. Raises DatabaseUnavailable if it is not known yet."""
        known = self._known.get(gateway)
        if known is None:
            async with database.reading() as session:
                known = (await _read(session, [gateway]))[gateway]
            self._known.setdefault(gateway, known)
        return known

    @contextmanager
    def changes(self, gateway: UUID) -> Iterator[asyncio.Event]:
        """An event that is set whenever what is wanted of it has changed, and when it is forgotten."""
        event = asyncio.Event()
        self._waiting[gateway].add(event)
        try:
            yield event
        finally:
            self._waiting[gateway].discard(event)
            if not self._waiting[gateway]:
                del self._waiting[gateway]

    def forget(self, gateway: UUID) -> None:
        """Drop what is kept of a deleted gateway."""
        self._known.pop(gateway, None)
        self._wake(gateway)

    async def refresh(self, database: Database) -> None:
        """Read again what may have changed, and notify those that wait for it. Raises DatabaseUnavailable."""
        async with database.reading() as session:
            marker = await _marker(session)
            if marker == self._marker and time.monotonic() - self._looked < LOOK_SECONDS:
                return
            gateways = list(self._known)
            fresh = await _read(session, gateways)
        self._marker, self._looked = marker, time.monotonic()
        for gateway in gateways:
            if gateway in self._known and self._known[gateway] != fresh[gateway]:
                self._known[gateway] = fresh[gateway]
                self._wake(gateway)

    async def sweep(self, database: Database) -> None:
        """Let go of gateways that any replica has deleted. Raises DatabaseUnavailable."""
        async with database.reading() as session:
            there = set((await session.scalars(select(Gateway.uuid))).all())
        self._known = {gateway: wanted for gateway, wanted in self._known.items() if gateway in there}

    def _wake(self, gateway: UUID) -> None:
        for event in self._waiting.get(gateway, ()):
            event.set()


async def policy_of(session: AsyncSession, gateway: UUID) -> DriftPolicy:
    """The drift policy for a gateway: that of its environment; of several, the
    one whose revision is in force."""
    query = (
        select(EnvironmentSettings.drift_policy)
        .join(GatewayEnvironment, GatewayEnvironment.environment_uuid == EnvironmentSettings.environment_uuid)
        .where(GatewayEnvironment.gateway_uuid == gateway)
        .order_by(EnvironmentSettings.digest.is_(None), EnvironmentSettings.updated_at.desc())
    )
    found = (await session.scalars(query.limit(1))).one_or_none()
    return cast(DriftPolicy, found or "report")


async def _read(session: AsyncSession, gateways: Sequence[UUID]) -> Mapping[UUID, WantedRevision]:
    wanted = dict.fromkeys(gateways, WantedRevision())
    for start in range(0, len(gateways), AT_ONCE):
        some = gateways[start : start + AT_ONCE]
        wants = await wants_of(session, some)
        rows = select(Deployment.gateway_uuid, Deployment.revision, Deployment.uuid)
        found = await session.execute(rows.where(Deployment.kind == KIND, Deployment.gateway_uuid.in_(some)))
        deployments = {(gateway, digest): str(uuid) for gateway, digest, uuid in found}
        wanted |= {
            each: WantedRevision(want.digest, deployments.get((each, want.digest)), want.at)
            for each, want in wants.items()
        }
    return wanted


async def _marker(session: AsyncSession) -> tuple[Any, ...]:
    """A value that differs after every change of wanted revisions."""
    columns = (
        *(func.max(EnvironmentSettings.updated_at), func.count(EnvironmentSettings.environment_uuid)),
        *(func.max(Deployment.updated_at), func.count(Deployment.uuid)),
        *(func.max(GatewayEnvironment.id), func.count(GatewayEnvironment.id)),
        func.max(Rollout.updated_at),
    )
    queries = [select(column).scalar_subquery() for column in columns]
    return tuple((await session.execute(select(*queries))).one())
