"""Alerts about gateways that fail or drift, and rollouts that were rolled back, by the senders of the monitor.

The current state is read from the database, so that a control plane that takes over continues with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane.database.connection import DatabaseUnavailable
from gateway.control_plane.database.leases import Held, Lease
from gateway.control_plane.database.tables import Environment, Gateway, GatewayHealth, GatewayInstance, Rollout
from gateway.control_plane.plane import Plane
from gateway.monitor.alerts.runner import Alerting, Settings
from gateway.monitor.alerts.sight import Figures, Finding, Subject
from gateway.monitor.alerts.summary import Day

logger = logging.getLogger("gateway.control_plane")

WORK: Final = "alerts"
LOOK_SECONDS: Final = 10.0
DRIFT: Final = timedelta(seconds=60)
HEARD: Final = timedelta(seconds=60)  # ago, at most: what is silent for longer drifts no more
ROLLOUT_SHOWN: Final = timedelta(hours=1)  # for which a rollout that failed is news
MOST: Final = 500  # findings of each kind
_STATE_FILE: Final = "control-plane-alerts.sqlite"
_FAILED: Final = ("rolled_back", "failed")


async def run(plane: Plane) -> None:
    """Look and send whenever it is the turn of this control plane, without end."""
    if not plane.settings.alerts.send:
        return
    lease = Lease(plane.database, WORK, uuid4().hex)
    plane.metrics.follow_lease(WORK, lambda: lease.held)
    await lease.run(partial(_work, plane))


async def _work(plane: Plane, held: Held) -> None:
    source = _Source()
    alerting = Alerting(source)
    alerting.configure(
        Settings(plane.settings.alerts.as_alerts(), base=plane.directory, file=plane.state / _STATE_FILE)
    )
    wanted = asyncio.Event()
    end = plane.events.subscribe(lambda event: wanted.set())
    try:
        source.found = await _known(plane)
        alerting.begin()
        while True:
            wanted.clear()
            source.found = await _known(plane, source.found)
            alerting.look_soon()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await wanted.wait()
            except TimeoutError:
                pass
    finally:
        end()
        await alerting.stop()


async def _known(plane: Plane, former: tuple[Finding, ...] = ()) -> tuple[Finding, ...]:
    """The current findings; the former ones while they cannot be read."""
    try:
        async with plane.database.reading() as session:
            return await findings(session, plane.now())
    except DatabaseUnavailable as error:
        logger.warning("the state of alerts cannot be read: %s; the former state stays", error)
        return former


async def findings(session: AsyncSession, now: datetime) -> tuple[Finding, ...]:
    """The current state of everything that alerts report."""
    failing = (
        select(Gateway.name, GatewayHealth.error_message)
        .outerjoin(GatewayHealth, GatewayHealth.gateway_uuid == Gateway.uuid)
        .where(Gateway.status == "ERROR")
    )
    drifting = (
        select(Gateway.name, GatewayInstance.id, GatewayInstance.drifted_since)
        .join(GatewayInstance, GatewayInstance.gateway_uuid == Gateway.uuid)
        .where(GatewayInstance.drifted_since < now - DRIFT, GatewayInstance.last_heartbeat_at > now - HEARD)
    )
    newest = (
        select(Rollout.environment_uuid, func.max(Rollout.created_at).label("at"))
        .group_by(Rollout.environment_uuid)
        .subquery()
    )
    rollouts = (
        select(Environment.name, Rollout.state, Rollout.digest, Rollout.reason)
        .join(newest, (newest.c.environment_uuid == Rollout.environment_uuid) & (newest.c.at == Rollout.created_at))
        .join(Environment, Environment.uuid == Rollout.environment_uuid)
        .where(Rollout.state.in_(_FAILED), Rollout.updated_at > now - ROLLOUT_SHOWN)
    )
    return (
        *[
            Finding("gateway_error", Subject("gateway", name), error or "it sends no heartbeats")
            for name, error in await session.execute(failing.limit(MOST))
        ],
        *[
            Finding("gateway_drift", Subject("gateway", name), f"{instance} runs another revision since {_at(since)}")
            for name, instance, since in await session.execute(drifting.limit(MOST))
            if since is not None
        ],
        *[
            Finding("rollout_failed", Subject("environment", name), f"{digest[:12]} {_words(state)}: {reason}")
            for name, state, digest, reason in await session.execute(rollouts.limit(MOST))
        ],
    )


def _words(state: str) -> str:
    return "was rolled back" if state == "rolled_back" else "failed"


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


class _Source:
    """A control plane, as rules see it: it has findings, and no figures of traffic."""

    since = 0.0

    def __init__(self) -> None:
        self.found: tuple[Finding, ...] = ()

    async def refresh(self, now: float) -> None:
        """See `Source`."""

    def subjects(self, kind: str) -> Iterable[str]:
        """See `Source`."""
        return ()

    def figures(self, subject: Subject, seconds: float, now: float) -> Figures:
        """See `Source`: no rule asks."""
        raise NotImplementedError

    def counts(self, subject: Subject, seconds: float, now: float) -> tuple[int, int]:
        """See `Source`."""
        return 0, 0

    def findings(self, builtins: Iterable[str], now: float) -> Iterator[Finding | None]:
        """See `Source`."""
        wanted = frozenset(builtins)
        return (each for each in self.found if each.builtin in wanted)

    async def day(self, now: float) -> Day | None:
        """See `Source`."""
        return None
