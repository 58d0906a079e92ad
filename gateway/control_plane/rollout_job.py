"""Drives rollouts: in the one of several control planes that holds the lease, once a second while there are any."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_messages import HEARTBEAT_SECONDS
from gateway.control_plane import audit, drift, retention, rolling
from gateway.control_plane.database.connection import DatabaseUnavailable
from gateway.control_plane.database.leases import Held, Lease, LeaseLost
from gateway.control_plane.database.tables import Deployment, Gateway, GatewayInstance, Revision, Rollout
from gateway.control_plane.events import Event
from gateway.control_plane.plane import Plane
from gateway.control_plane.rollouts import ACTIVE, NOTHING, Figures, Standing, step
from gateway.control_plane.wanted import KIND, later

logger = logging.getLogger("gateway.control_plane")

NAME: Final = "rollouts"
TURN_SECONDS: Final = 1.0  # while a rollout is active
IDLE_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 3 * HEARTBEAT_SECONDS
FIRST_SECONDS: Final = 60.0  # of this job, in which no gateway counts as silent: they may be about to reconnect
KNOWN_SECONDS: Final = 3600.0  # after which a process that is silent is forgotten
KEPT_SECONDS: Final = 5.0  # of waiting that may be lost where this process is killed
SWEEP_SECONDS: Final = 3600.0  # between two looks for what is too old to be kept
WHO: Final = "job:rollouts"


@dataclass(slots=True)
class Watch:
    """When each process of a gateway was heard of, by the clock of this machine that never jumps."""

    begun: float = field(default_factory=time.monotonic)
    heard: dict[tuple[UUID, str], tuple[datetime, float]] = field(default_factory=dict)
    unkept: dict[UUID, float] = field(default_factory=dict)  # seconds since a rollout was written

    def is_alive(self, instance: GatewayInstance) -> bool:
        """Whether it has been heard of lately. One that is seen for the first time counts as if it were now, if its
        last heartbeat is not an old one."""
        key, at, now = (instance.gateway_uuid, instance.id), instance.last_heartbeat_at, time.monotonic()
        known = self.heard.get(key)
        if known is None or known[0] != at:
            first = known is None and now - self.begun > FIRST_SECONDS
            age = min(max(0.0, time.time() - at.timestamp()), SILENT_SECONDS + 1) if first else 0.0
            self.heard[key] = known = (at, now - age)
        return now - known[1] < SILENT_SECONDS

    def has_spoken(self, instance: GatewayInstance) -> bool:
        """Whether it has been heard of while this job ran, or shortly before."""
        known = self.heard.get((instance.gateway_uuid, instance.id))
        return known is not None and (known[1] > self.begun or abs(time.time() - known[0].timestamp()) < SILENT_SECONDS)

    def forget_old(self) -> None:
        """Let go of what has not been heard of for long."""
        oldest = time.monotonic() - KNOWN_SECONDS
        self.heard = {key: value for key, value in self.heard.items() if value[1] > oldest}


async def run(plane: Plane) -> None:
    """Step them whenever it is the turn of this control plane, without end."""
    lease = Lease(plane.database, NAME, uuid4().hex)
    await lease.run(partial(_work, plane))


async def _work(plane: Plane, held: Held) -> None:
    watch, woken, last = Watch(), asyncio.Event(), time.monotonic()
    swept = last - SWEEP_SECONDS
    end = plane.events.subscribe(lambda event: woken.set() if event.kind.startswith(("rollout.", "gateway.")) else None)
    try:
        while True:
            woken.clear()
            busy, now = False, time.monotonic()
            try:
                busy = await turn(plane, held, watch, now - last)
                if now - swept > SWEEP_SECONDS:
                    swept = now
                    async with plane.database.transaction() as session:
                        await held.confirm(session)
                        await retention.sweep(session)
            except DatabaseUnavailable:
                logger.debug("rollouts wait for the database")
            last = now
            try:
                async with asyncio.timeout(TURN_SECONDS if busy else IDLE_SECONDS):
                    await woken.wait()
                await asyncio.sleep(0.05)  # for what else comes with it
            except TimeoutError:
                continue
    finally:
        end()


async def turn(plane: Plane, held: Held | None, watch: Watch, elapsed: float) -> bool:
    """One step of each; whether there is one that is not at its end. Raises DatabaseUnavailable and LeaseLost."""
    async with plane.database.reading() as session:
        active = (await session.scalars(select(Rollout.uuid).where(rolling.is_active()))).all()
    watch.forget_old()
    watch.unkept = {each: seconds for each, seconds in watch.unkept.items() if each in active}
    for rollout in active:
        try:
            await _step(plane, held, watch, rollout, elapsed)
        except (DatabaseUnavailable, LeaseLost):
            raise
        except Exception:
            logger.exception("the rollout %s could not be stepped", rollout)
    await _settle(plane, held)
    await drift.adopt_all(plane, held)
    return bool(active)


async def _step(plane: Plane, held: Held | None, watch: Watch, uuid: UUID, elapsed: float) -> None:
    now = plane.now()
    async with plane.database.transaction() as session:
        if held is not None:
            await held.confirm(session)
        row = await session.get(Rollout, uuid, with_for_update=True)
        if row is None or row.state not in ACTIVE:
            return
        before = rolling.machine_of(row)
        gateways = await _standings(session, row, watch)
        approvals = len(await rolling.approvals_of(session, uuid)) if row.state == "pending" else 0
        waited = watch.unkept.get(uuid, 0.0) + elapsed
        after, actions = step(before, gateways, waited, approvals)
        if actions == NOTHING and replace(after, waited=before.waited) == before and waited < KEPT_SECONDS:
            watch.unkept[uuid] = waited
            return
        watch.unkept.pop(uuid, None)
        if actions == NOTHING and after == before:
            return
        await rolling.keep(session, row, after, actions, now)
        changed = after.state != before.state
        if changed:
            await recorded(session, WHO, row)
    if changed or actions != NOTHING:
        notify(plane, row)


async def recorded(session: AsyncSession, who: Any, row: Rollout, action: str | None = None) -> None:
    """Write a change of state into the audit log."""
    details = {"revision": row.digest, "reason": row.reason, "environment": str(row.environment_uuid)}
    named = action or f"rollout.{row.state}"
    await audit.record(session, who, named, f"rollouts/{row.uuid}", details=details, organization=row.organization_uuid)


def notify(plane: Plane, row: Rollout) -> None:
    """Notify subscribers: gateways, pages, alerts."""
    details = {"rollout": str(row.uuid), "state": row.state, "revision": row.digest, "reason": row.reason}
    event = Event(
        "rollout.state", row.organization_uuid, row.updated_at, environment=row.environment_uuid, details=details
    )
    plane.events.publish(event)
    plane.events.publish(
        Event("environment.wanted", row.organization_uuid, row.updated_at, environment=row.environment_uuid)
    )


async def _standings(session: AsyncSession, row: Rollout, watch: Watch) -> Mapping[str, Standing]:
    gateways = (await session.scalars(rolling.members(row.environment_uuid))).all()
    query = select(GatewayInstance).where(GatewayInstance.gateway_uuid.in_([each.uuid for each in gateways]))
    instances: dict[UUID, list[GatewayInstance]] = {}
    for each in await session.scalars(query):
        if watch.is_alive(each):
            instances.setdefault(each.gateway_uuid, []).append(each)
    spoken = [each for several in instances.values() for each in several]
    # The gateways that run what a control plane gave them since the rollout came to them, and this one knows nothing
    # of.
    given = {each.revision for each in spoken if each.source == "control-plane" and each.revision is not None}
    known = select(Revision.digest).where(
        Revision.organization_uuid == row.organization_uuid, Revision.digest.in_(given)
    )
    unknown = given - set((await session.scalars(known)).all())
    ran: Mapping[str, Sequence[str]] = row.progress.get("ran", {})
    estranged = {
        each.gateway_uuid
        for each in spoken
        if each.revision in unknown and each.revision not in ran.get(str(each.gateway_uuid), ())
    }
    return {
        str(each.uuid): replace(
            standing(each, instances.get(each.uuid, ()), row),
            heard=any(map(watch.has_spoken, instances.get(each.uuid, ()))),
            estranged=each.uuid in estranged,
        )
        for each in gateways
    }


def standing(gateway: Gateway, instances: Sequence[GatewayInstance], row: Rollout) -> Standing:
    """How a gateway is, by the heartbeats of its processes that are alive."""
    running = [each for each in instances if each.revision == row.digest]
    before = row.progress.get("refused", {})
    refusals = [
        text
        for each in instances
        if (text := refusal(each, row.digest)) is not None
        and before.get(f"{each.gateway_uuid}/{each.id}") != str(each.report["lastError"].get("at"))
    ]
    return Standing(
        gateway.name,
        alive=bool(instances),
        runs=bool(instances) and len(running) == len(instances),
        refusal=refusals[0] if refusals else None,
        figures=Figures.together(_since(each.report) for each in running),
        recent=Figures.together(_recent(each.report) for each in instances),
    )


def refusal(instance: GatewayInstance, digest: str) -> str | None:
    """Why it did not take this revision, with the place in its files; None: it did not say that."""
    error = instance.report.get("lastError")
    if not isinstance(error, dict) or error.get("revision") != digest or instance.revision == digest:
        return None
    place = ":".join(str(error[key]) for key in ("file", "line", "column") if error.get(key))
    message = str(error.get("message") or "it does not say why")[:500]
    return message if not place or message.startswith(place) else f"{place}: {message}"


def _since(report: Mapping[str, Any]) -> Figures:
    """Of the requests since it runs what it runs."""
    found = report.get("sinceRevision")
    since = found if isinstance(found, dict) else {}
    p95 = _number(since.get("p95Ms"))
    requests, errors = int(_number(since.get("requests")) or 0), int(_number(since.get("errors")) or 0)
    return Figures(requests, min(errors, requests), None if p95 is None else p95 / 1000)


def _recent(report: Mapping[str, Any]) -> Figures:
    """Of the last minute."""
    requests = round((_number(report.get("requestRate")) or 0.0) * 60)
    errors = round(requests * (_number(report.get("errorRate")) or 0.0) / 100)
    p95 = _number(report.get("p95Ms"))
    return Figures(requests, min(errors, requests), None if p95 is None else p95 / 1000)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


async def _settle(plane: Plane, held: Held | None) -> None:
    """Write of deployments that wait what their gateways say by now, also long after the rollout."""
    waiting = (
        select(Deployment, GatewayInstance)
        .join(GatewayInstance, GatewayInstance.gateway_uuid == Deployment.gateway_uuid)
        .where(Deployment.kind == KIND, Deployment.state.in_(("pending", "failed")))
    )
    async with plane.database.reading() as session:
        found = (await session.execute(waiting)).all()
    outcomes: dict[UUID, tuple[str, str, str | None]] = {}
    for deployment, instance in found:
        digest = deployment.revision
        if digest is not None and instance.revision == digest:
            outcomes[deployment.uuid] = digest, "deployed", None
        elif digest is not None and (why := refusal(instance, digest)) is not None and deployment.error != why:
            outcomes.setdefault(deployment.uuid, (digest, "failed", why))
    if not outcomes:
        return
    async with plane.database.transaction() as session:
        if held is not None:
            await held.confirm(session)
        for uuid, (digest, state, error) in outcomes.items():
            row = await session.get(Deployment, uuid, with_for_update=True)
            if row is not None and row.revision == digest and row.state in ("pending", "failed"):
                row.state, row.error, row.updated_at = state, error, later(plane.now(), row.updated_at)
