"""Discovery says on the bus what it knows of each service: on a change, and all of it when it may have been lost.

Where several processes are discovery, one of them speaks of a service, whichever did first; another goes on when that
one has ended, or was not heard of for `bus.redis.LIFE_SECONDS`. So endpoints do not go up and down where two of them
see them differently. What is said of a service stays when all have ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from gateway.bus.bus import Bus
from gateway.bus.letters import Letter
from gateway.events import ServiceRegistry
from gateway.live import Tasks, on_thread
from gateway.registry.discovery import Discovery
from gateway.registry.instances import written
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import FOREVER, Signal
from gateway.upstream.service import Upstream
from gateway.upstream.steps import in_steps

ROUND_SECONDS: Final = 0.2  # in which changes of a service are said together
INLINE: Final = 200  # instances of which a message is made at once; more of them on a thread
AT_ONCE: Final = 100  # services, before requests get a turn
MIRRORED: Final = "mirror:"  # what the names of endpoints begin with that get copies of requests only
PUBLISHED: Final = (Signal.SOURCE, Signal.HEARTBEAT, Signal.PROBE, Signal.FEEDBACK, Signal.AGENTS)
"""Signals that discovery knows. Results of requests are known to every router itself."""


class _Service:
    """The last message about one service."""

    def __init__(self, name: str, upstream: Upstream, discovery: Discovery | None) -> None:
        self.name = name
        self.upstream = upstream
        self.discovery = discovery
        self.said: tuple[Mapping[str, Any], ...] | None = None
        self.seen = (-1, -1)  # what the upstream had counted of changes
        self.expires = FOREVER  # when a verdict ends by itself; time.perf_counter()

    @property
    def due(self) -> bool:
        """Whether something may have changed, and all of it is known."""
        changes = (self.upstream.replaced, self.upstream.said)
        changed = changes != self.seen or time.perf_counter() >= self.expires
        return changed and (self.discovery is None or self.discovery.known)


class RegistryPublisher:
    """Says it of all services that live."""

    def __init__(
        self, bus: Bus, upstreams: Callable[[], Iterable[Upstream]], discoveries: Callable[[], Iterable[Discovery]]
    ) -> None:
        self.tasks = Tasks()
        self._bus = bus
        self._upstreams = upstreams
        self._discoveries = discoveries
        self._services: dict[str, _Service] = {}
        self._losses = bus.losses

    async def start(self) -> None:
        """Begin."""
        self.tasks.supervise("publishing services on the bus", self._run)

    async def stop(self) -> None:
        """Stop publishing. Retained messages stay."""
        await self.tasks.end()

    def follow(self) -> None:
        """There is a new configuration: say nothing any more of the services that it has not."""
        discoveries = {discovery.upstream: discovery for discovery in self._discoveries()}
        known, self._services = self._services, {}
        # Where all that a service gets is copies, those endpoints are what there is of it.
        for upstream in sorted(self._upstreams(), key=lambda each: each.name.startswith(MIRRORED)):
            name = upstream.name.removeprefix(MIRRORED)
            if name not in self._services:
                former, discovery = known.get(name), discoveries.get(upstream)
                same = former is not None and former.upstream is upstream and former.discovery is discovery
                self._services[name] = former if former and same else _Service(name, upstream, discovery)
        for name in known.keys() - self._services.keys():
            self._bus.retract(ServiceRegistry, name)

    async def _run(self) -> None:
        while True:
            if self._losses != self._bus.losses:
                self._losses = self._bus.losses
                for service in self._services.values():
                    service.said, service.seen = None, (-1, -1)
            for number, service in enumerate(list(self._services.values())):
                if service.due and not self._bus.busy:
                    await self._publish(service)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(ROUND_SECONDS)

    async def _publish(self, service: _Service) -> None:
        upstream = service.upstream
        service.seen, now = (upstream.replaced, upstream.said), time.perf_counter()
        service.expires, instances = FOREVER, []
        for some in in_steps(upstream.endpoints):
            for endpoint in some:
                instances.append(_instance(endpoint, now))
                service.expires = min(service.expires, endpoint.health.changes_at(now))
            await asyncio.sleep(0)
        said = tuple(instances)
        if said == service.said:
            return
        make = partial(self._letter, service.name, said)
        letter = make() if len(said) <= INLINE else await on_thread("publishing", make)
        if letter is not None and self._services.get(service.name) is service:
            service.said = said
            self._bus.send(letter)

    def _letter(self, name: str, instances: tuple[dict[str, Any], ...]) -> Letter | None:
        return self._bus.letter(ServiceRegistry.model_construct(service=name, instances=instances))


def _instance(endpoint: Endpoint, now: float) -> dict[str, Any]:
    """The instance for `service-registry`, and why it is down."""
    said = written(endpoint.member)
    for signal in PUBLISHED:
        verdict = endpoint.health.verdict(signal, now)
        if verdict is not None and not verdict.up:
            return said | {"health": "failing", "signal": signal.value, "reason": verdict.reason[:256]}
    return said | {"health": "passing"}
