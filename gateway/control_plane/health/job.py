"""Probes all gateways, again and again: one control plane among those that share a database does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import func, select

from gateway.control_plane.adapters.protocol import Adapter
from gateway.control_plane.credentials import CredentialKeys, gateway_spec
from gateway.control_plane.database.connection import Database, DatabaseUnavailable
from gateway.control_plane.database.leases import LEASE_SECONDS, Held, Lease, LeaseLost
from gateway.control_plane.database.tables import Gateway, GatewayHealth, GatewayInstance
from gateway.control_plane.events import Event, Events
from gateway.control_plane.health.probes import Probes, Subject
from gateway.control_plane.health.recording import Outcome, Transition, record
from gateway.control_plane.health.samples import sweep
from gateway.control_plane.metrics import Metrics
from gateway.control_plane.plane import Plane

logger = logging.getLogger("gateway.control_plane")

WORK: Final = "health"
REFRESH_SECONDS: Final = 5.0  # between two looks at which gateways there are
LONGEST_TICK: Final = 1.0  # between two looks at which are due
WRITE_SECONDS: Final = 1.0  # between two transactions, each with all that came meanwhile
MOST_WRITTEN: Final = 100  # in one transaction: others wait for it, and each may change its status
SWEEP_SECONDS: Final = 600.0
_PROMPTS: Final = ("gateway.created", "gateway.changed")
_SHORTEST_LEASE: Final = 2.0


async def run(plane: Plane) -> None:
    """Probe whenever it is the turn of this control plane, without end."""
    check = plane.settings.gateway.adapter.calls.health_check
    lease = Lease(plane.database, WORK, uuid4().hex, min(LEASE_SECONDS, max(_SHORTEST_LEASE, check.interval)))
    plane.metrics.follow_lease(WORK, lambda: lease.held)
    job = HealthJob(
        plane.database,
        plane.adapter,
        plane.keys,
        plane.events,
        plane.metrics,
        plane.now,
        check.interval,
        check.timeout,
    )
    await lease.run(job.run)


class HealthJob:
    """The work of the one that does it; `run` once for each turn."""

    def __init__(
        self,
        database: Database,
        adapter: Adapter,
        keys: CredentialKeys,
        events: Events,
        metrics: Metrics,
        now: Callable[[], datetime],
        interval: float,
        timeout: float,
    ) -> None:
        self._database = database
        self._keys = keys
        self._events = events
        self._metrics = metrics
        self._now = now
        self._interval = interval
        self._make_probes = partial(Probes, adapter, metrics, interval, timeout, now)

    async def run(self, held: Held) -> None:
        """Probe until cancelled, or until the lease is lost."""
        probes = self._make_probes()

        def heard(event: Event) -> None:
            if event.kind in _PROMPTS and event.gateway is not None:
                probes.soon(event.gateway)

        end = self._events.subscribe(heard)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._probing(probes))
                group.create_task(self._writing(held, probes))
                group.create_task(self._sweeping(held))
        except* LeaseLost:
            logger.warning("another control plane probes the gateways now")
        finally:
            end()
            await probes.stop()

    async def _probing(self, probes: Probes) -> None:
        loop = asyncio.get_running_loop()
        refresh = 0.0
        while True:
            try:
                if loop.time() >= refresh:
                    async with self._database.reading() as session:
                        probes.watch(list(await session.scalars(select(Gateway.uuid))))
                    refresh = loop.time() + min(REFRESH_SECONDS, self._interval)
                if due := probes.due():
                    for uuid, subject in await self._subjects(due):
                        probes.begin(uuid, subject)
            except DatabaseUnavailable as error:
                logger.warning("gateways are not probed: %s", error)
            await asyncio.sleep(min(LONGEST_TICK, self._interval / 10))

    async def _subjects(self, gateways: Iterable[UUID]) -> list[tuple[UUID, Subject]]:
        """Those of them that are still there, as they are now."""
        heard = (
            select(func.max(GatewayInstance.last_heartbeat_at))
            .where(GatewayInstance.gateway_uuid == Gateway.uuid)
            .scalar_subquery()
        )
        found = select(Gateway, GatewayHealth.probed_url, heard).outerjoin(
            GatewayHealth, GatewayHealth.gateway_uuid == Gateway.uuid
        )
        async with self._database.reading() as session:
            rows = (await session.execute(found.where(Gateway.uuid.in_(gateways)))).all()
        return [
            (row.uuid, Subject(partial(gateway_spec, row, self._keys, url), row.adapter_config, last))
            for row, url, last in rows
        ]

    async def _writing(self, held: Held, probes: Probes) -> None:
        while True:
            await asyncio.sleep(min(WRITE_SECONDS, self._interval / 10))
            if probes.outcomes:
                outcomes = dict(islice(probes.outcomes.items(), MOST_WRITTEN))
                try:
                    transitions = await self._write(held, list(outcomes.values()))
                except DatabaseUnavailable as error:  # the outcomes are kept until it is back
                    logger.warning("results of probes are not written: %s", error)
                    continue
                except LeaseLost:
                    raise
                except Exception:  # what one adapter said must not keep all others from being written
                    logger.exception("what probes have shown cannot be written together")
                    transitions = await self._write_apart(held, list(outcomes.values()))
                for uuid, outcome in outcomes.items():
                    if probes.outcomes.get(uuid) is outcome:
                        del probes.outcomes[uuid]
                self._notify(transitions)

    async def _write(self, held: Held, outcomes: list[Outcome]) -> list[Transition]:
        async with self._database.transaction() as session:
            await held.confirm(session)
            return await record(session, outcomes)

    async def _write_apart(self, held: Held, outcomes: list[Outcome]) -> list[Transition]:
        """Each for itself; one that cannot be written is dropped."""
        transitions: list[Transition] = []
        for outcome in outcomes:
            try:
                transitions += await self._write(held, [outcome])
            except LeaseLost:
                raise
            except Exception:
                logger.exception("the result of the probe of gateway %s is dropped", outcome.gateway)
        return transitions

    def _notify(self, transitions: Iterable[Transition]) -> None:
        for each in transitions:
            self._metrics.transitions.labels(each.after).inc()
            level = logging.WARNING if each.after == "ERROR" else logging.INFO
            why = f": {each.message}" if each.message else ""
            logger.log(level, "gateway %s is %s now, and was %s%s", each.name, each.after, each.before, why)
            self._events.publish(
                Event("gateway.status", each.organization, self._now(), gateway=each.gateway, details=each.details)
            )

    async def _sweeping(self, held: Held) -> None:
        while True:
            try:
                await sweep(self._database, held, self._now())
            except DatabaseUnavailable as error:
                logger.warning("old samples are not swept: %s", error)
            await asyncio.sleep(SWEEP_SECONDS)
