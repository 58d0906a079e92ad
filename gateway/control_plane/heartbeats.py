"""Writes heartbeats of gateways to the database in batches, so that many gateways cost little.

What has changed in it (the revision, where it is from, an error) is written at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_messages import Heartbeat
from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.tables import Gateway, GatewayInstance, GatewayToken
from gateway.control_plane.tokens import GatewayCaller

MOST_INSTANCES: Final = 100  # of one gateway
USED_EVERY: Final = timedelta(minutes=1)  # how exact the last use of a token is
KEPT: Final = timedelta(days=1)  # instances that are not heard of any more

Key = tuple[UUID, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """The state of one instance, without its full report."""

    at: datetime
    revision: str | None
    source: str | None
    error: object
    wanted: str | None
    drifted_since: datetime | None


class Heartbeats:
    """Those that came to this process. On the loop."""

    def __init__(self) -> None:
        self._seen: defaultdict[UUID, dict[str, Seen]] = defaultdict(dict)
        self._pending: dict[Key, dict[str, Any]] = {}
        self._used: dict[str, datetime] = {}  # tokens, when their use was noted last
        self._using: dict[str, datetime] = {}  # that is to be written

    async def take(
        self, database: Database, caller: GatewayCaller, heartbeat: Heartbeat, wanted: str | None, now: datetime
    ) -> Seen:
        """Keep what an instance says. Raises DatabaseUnavailable where it is news that cannot be written."""
        instances, name = self._seen[caller.gateway], heartbeat.instance_id
        former = instances.get(name)
        if former is None:
            former = await _stored(database, (caller.gateway, name), wanted)
        seen = _seen(heartbeat, wanted, former, now)
        instances.pop(name, None)
        instances[name] = seen  # the last that was heard of is the last in order
        if len(instances) > MOST_INSTANCES:
            del instances[next(iter(instances))]
        self._pending[caller.gateway, name] = {
            "gateway_uuid": caller.gateway,
            "id": name,
            "last_heartbeat_at": now,
            "revision": seen.revision,
            "source": seen.source,
            "drifted_since": seen.drifted_since,
            "report": heartbeat.wire(),
        }
        if now - self._used.get(caller.token, now - KEPT) >= USED_EVERY:
            self._used[caller.token] = self._using[caller.token] = now
        if former is None or _news(former) != _news(seen):
            await self.flush(database)
        return seen

    def forget(self, gateway: UUID) -> None:
        """Drop what is kept of a deleted gateway."""
        for name in self._seen.pop(gateway, {}):
            self._pending.pop((gateway, name), None)

    async def leave(self, database: Database, gateway: UUID, name: str) -> None:
        """An instance has ended in good order: it is neither missed nor waited for. Raises DatabaseUnavailable."""
        self._seen[gateway].pop(name, None)
        self._pending.pop((gateway, name), None)
        of_it = GatewayInstance.gateway_uuid == gateway, GatewayInstance.id == name
        async with database.transaction() as session:
            await session.execute(delete(GatewayInstance).where(*of_it))

    async def flush(self, database: Database) -> None:
        """Write what waits. Raises DatabaseUnavailable; it then waits on."""
        pending, self._pending = self._pending, {}
        using, self._using = self._using, {}
        if not pending and not using:
            return
        try:
            await _write(database, list(pending.values()), using)
        except BaseException:
            self._pending = pending | self._pending
            self._using = using | self._using
            raise

    async def sweep(self, database: Database, now: datetime) -> None:
        """Drop instances without heartbeats, but for the last of each gateway."""
        for gateway, instances in list(self._seen.items()):
            for name in [name for name, seen in instances.items() if now - seen.at > KEPT]:
                del instances[name]
            if not instances:
                del self._seen[gateway]
        self._used = {token: at for token, at in self._used.items() if now - at < KEPT}
        async with database.transaction() as session:
            await session.execute(delete(GatewayInstance).where(GatewayInstance.last_heartbeat_at < now - KEPT))
            crowded = select(GatewayInstance.gateway_uuid).group_by(GatewayInstance.gateway_uuid)
            many = await session.scalars(crowded.having(func.count() > MOST_INSTANCES))
            for gateway in many.all():
                ids = select(GatewayInstance.id).where(GatewayInstance.gateway_uuid == gateway)
                last = (
                    await session.scalars(ids.order_by(GatewayInstance.last_heartbeat_at.desc()).limit(MOST_INSTANCES))
                ).all()
                await session.execute(
                    delete(GatewayInstance).where(
                        GatewayInstance.gateway_uuid == gateway, GatewayInstance.id.not_in(last)
                    )
                )


def _seen(heartbeat: Heartbeat, wanted: str | None, former: Seen | None, now: datetime) -> Seen:
    """The state after a heartbeat. Drift begins when it was first seen to run another revision than this one."""
    since = None
    if wanted is not None and heartbeat.revision != wanted:
        since = former.drifted_since if former is not None and former.wanted == wanted else None
        since = since or now
    error = heartbeat.last_error
    shown = None if error is None else (error.revision, error.message, error.at)
    return Seen(now, heartbeat.revision, heartbeat.source, shown, wanted, since)


def _news(seen: Seen) -> tuple[object, ...]:
    return seen.revision, seen.source, seen.error, seen.drifted_since


async def _stored(database: Database, key: Key, wanted: str | None) -> Seen | None:
    """The state that another process has written. Its wanted revision is assumed to be the current one."""
    async with database.reading() as session:
        row = await session.get(GatewayInstance, key)
    if row is None:
        return None
    return Seen(row.last_heartbeat_at, row.revision, row.source, None, wanted, row.drifted_since)


async def _write(database: Database, rows: Sequence[Mapping[str, Any]], using: Mapping[str, datetime]) -> None:
    try:
        async with database.transaction() as session:
            await _write_in(session, database, rows, using)
    except IntegrityError:  # a gateway was deleted meanwhile
        async with database.transaction() as session:
            there = set((await session.scalars(select(Gateway.uuid))).all())
            await _write_in(session, database, [row for row in rows if row["gateway_uuid"] in there], using)


async def _write_in(
    session: AsyncSession, database: Database, rows: Sequence[Mapping[str, Any]], using: Mapping[str, datetime]
) -> None:
    if rows:
        insert: Any = (sqlite if database.is_sqlite else postgresql).insert(GatewayInstance)
        changed = {name: insert.excluded[name] for name in rows[0] if name not in ("gateway_uuid", "id")}
        in_order = sorted(rows, key=lambda row: (str(row["gateway_uuid"]), row["id"]))  # so that no two wait in a ring
        await session.execute(
            insert.on_conflict_do_update(index_elements=["gateway_uuid", "id"], set_=changed), in_order
        )
    for token, at in sorted(using.items()):
        await session.execute(update(GatewayToken).where(GatewayToken.id == token).values(last_used_at=at))
