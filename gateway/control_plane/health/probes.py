"""Schedules probes of gateways: spread over the interval, with a bound on concurrent ones."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.control_plane.adapters.protocol import Adapter, AdapterError, GatewaySpec, Health
from gateway.control_plane.health.recording import Outcome
from gateway.control_plane.health.view import HEARTBEAT_FRESH_SECONDS, is_fresh
from gateway.control_plane.metrics import Metrics

logger = logging.getLogger("gateway.control_plane")

AT_ONCE: Final = 20
FAILING_AT_ONCE: Final = AT_ONCE // 2  # of those that failed before, so that they do not keep others waiting
JITTER: Final = 0.1  # of the interval
GRACE_SECONDS: Final = 1.0  # over its own time limit, after which an adapter that does not end is cancelled


@dataclass(frozen=True, slots=True)
class Subject:
    """A gateway that is to be probed now."""

    spec: Callable[[], GatewaySpec]  # raises AdapterError where its credentials cannot be opened
    config: Mapping[str, object] | None
    last_heartbeat: datetime | None


class _Watched:
    __slots__ = ("due", "failing", "heard", "heard_at", "under_way")

    def __init__(self, due: float) -> None:
        self.due = due  # loop time
        self.under_way = False
        self.failing = False
        self.heard: datetime | None = None  # the last heartbeat that was seen
        self.heard_at = 0.0  # when that was, by the loop's clock, which does not jump


class Probes:
    """The gateways that are probed, and when. What comes of probes is in `outcomes`, the last one of each gateway."""

    def __init__(
        self, adapter: Adapter, metrics: Metrics, interval: float, timeout: float, now: Callable[[], datetime]
    ) -> None:
        self.outcomes: dict[UUID, Outcome] = {}
        self._adapter = adapter
        self._metrics = metrics
        self._interval = interval
        self._timeout = timeout
        self._now = now
        self._watched: dict[UUID, _Watched] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._failing_slots = asyncio.Semaphore(FAILING_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def watch(self, gateways: Iterable[UUID]) -> None:
        """These, and no others, from now on. New ones have their first turn somewhere in the interval."""
        now = asyncio.get_running_loop().time()
        former, self._watched = self._watched, {}
        for uuid in gateways:
            self._watched[uuid] = former.get(uuid) or _Watched(now + random.uniform(0, self._interval))

    def soon(self, gateway: UUID) -> None:
        """Probe this one at once, because something is known to have changed."""
        now = asyncio.get_running_loop().time()
        self._watched.setdefault(gateway, _Watched(now)).due = now

    def due(self) -> list[UUID]:
        """Those whose turn it is, and that are not being probed still."""
        now = asyncio.get_running_loop().time()
        waiting = [(each.due, uuid) for uuid, each in self._watched.items() if each.due <= now]
        self._metrics.lag.labels("health").set(max((now - due for due, _ in waiting), default=0.0))
        return [uuid for _, uuid in sorted(waiting) if not self._watched[uuid].under_way]

    def begin(self, gateway: UUID, subject: Subject) -> None:
        """Probe one of those that are due, as soon as there is a slot."""
        watched = self._watched.get(gateway)
        if watched is None or watched.under_way:
            return
        watched.under_way = True
        task = asyncio.create_task(self._probe(gateway, watched, subject), name=f"the probe of gateway {gateway}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End those that are under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _probe(self, gateway: UUID, watched: _Watched, subject: Subject) -> None:
        try:
            async with AsyncExitStack() as slots:
                if watched.failing:
                    await slots.enter_async_context(self._failing_slots)
                await slots.enter_async_context(self._slots)
                watched.due = self._next(watched.due)
                began = time.monotonic()
                with self._metrics.probes_in_flight.track_inprogress():
                    health = await self._ask(subject)
                self._metrics.probe_seconds.observe(time.monotonic() - began)
            if health.healthy is False:
                self._metrics.probe_failures.labels(health.reason or "answer").inc()
            watched.failing = health.healthy is False
            alive = self._alive(watched, subject.last_heartbeat)
            self.outcomes[gateway] = Outcome(gateway, subject.config, self._now(), health, alive)
        finally:
            watched.under_way = False

    async def _ask(self, subject: Subject) -> Health:
        """One probe. A custom adapter may raise, or never return."""
        try:
            async with asyncio.timeout(self._timeout + GRACE_SECONDS):
                return await self._adapter.check_health(subject.spec())
        except AdapterError as error:
            return Health(False, reason=error.reason, message=str(error))
        except TimeoutError:
            return Health(False, reason="timeout", message=f"no answer within {self._timeout:g} s")
        except Exception as error:
            logger.exception("the adapter failed at the probe of a gateway")
            return Health(False, reason="answer", message=f"the adapter failed: {type(error).__name__}; see the log")

    def _next(self, due: float) -> float:
        now = asyncio.get_running_loop().time()
        following = due + self._interval * random.uniform(1 - JITTER, 1 + JITTER)
        return following if following > now else now + self._interval * random.uniform(1 - JITTER, 1 + JITTER)

    def _alive(self, watched: _Watched, last: datetime | None) -> bool:
        """Whether heartbeats arrive. Only the first check uses the time that is written in them."""
        now = asyncio.get_running_loop().time()
        if last is None:
            return False
        if watched.heard is None:
            watched.heard = last
            fresh = is_fresh(last, self._now(), HEARTBEAT_FRESH_SECONDS)
            watched.heard_at = now if fresh else now - HEARTBEAT_FRESH_SECONDS - 1
        elif last != watched.heard:
            watched.heard, watched.heard_at = last, now
        return now - watched.heard_at <= HEARTBEAT_FRESH_SECONDS
