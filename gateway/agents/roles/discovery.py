"""The role discovery: services of the gateway go to the router's agent; what a monitor says comes back as a vote."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from gateway.agents.link import Received
from gateway.agents.node import Node
from gateway.agents.payloads import MOST, HealthFeedback
from gateway.events import HealthFeedback as GatewayFeedback
from gateway.events import ServiceRegistry
from gateway.live import Tasks
from gateway.registry.feedback import FEEDBACK_SECONDS
from gateway.registry.instances import FAILING, parse_instance
from gateway.registry.instances import written as as_written

TOPIC: Final = "service-registry"
ROUND_SECONDS: Final = 0.2  # in which changes are said together
REPEAT_SECONDS: Final = 30.0
MOST_SERVICES: Final = 1000
MOST_BYTES: Final = 64 * 1024**2  # of their instances
AT_ONCE: Final = 8  # messages of a round: a peer takes no more than 50 in a second


class Discovery:
    """See `RoleWork`. `wanted` says whether a service is one of the configuration that is not an agent's itself."""

    def __init__(self, node: Node, wanted: Callable[[str], bool]) -> None:
        self.tasks = Tasks()
        self._node = node
        self._wanted = wanted
        self._known: dict[str, bytes] = {}  # instances, as JSON
        self._bytes = 0
        self._changed: dict[str, None] = {}

    def begin(self) -> None:
        """See `RoleWork`."""
        self._node.side.subscribe(ServiceRegistry, self.handle)
        self.tasks.supervise("publishing services to the network", self._run)

    async def take(self, received: Received) -> None:
        """See `RoleWork`."""
        for message in self._node.news(received):
            if not isinstance(message, HealthFeedback):
                continue
            if message.ts is not None and time.time() - message.ts > FEEDBACK_SECONDS:
                self._node.notes["feedback_too_late"] += 1
                continue
            self._node.side.publish(
                GatewayFeedback(
                    service=message.service,
                    instance=message.instance,
                    status="failing" if message.status == "failing" else "passing",
                    error_rate=message.error_rate,
                    by=received.hostname,
                )
            )

    def counts(self) -> Mapping[str, int]:
        """See `RoleWork`."""
        return {"services": len(self._known), **self._node.notes}

    async def handle(self, message: ServiceRegistry) -> None:
        instances = orjson.dumps([_instance(each) for each in message.instances])
        former = len(self._known.get(message.service, b""))
        full = message.service not in self._known and len(self._known) >= MOST_SERVICES
        if full or len(instances) > MOST or self._bytes - former + len(instances) > MOST_BYTES:
            self._node.dropped[TOPIC] += 1
            return
        self._bytes += len(instances) - former
        self._known[message.service] = instances
        self._changed[message.service] = None

    async def _run(self) -> None:
        due = time.monotonic() + REPEAT_SECONDS
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            if time.monotonic() >= due:
                due = time.monotonic() + REPEAT_SECONDS
                self._known = {name: said for name, said in self._known.items() if self._wanted(name)}
                self._bytes = sum(map(len, self._known.values()))
                self._changed |= dict.fromkeys(self._known)
            names, self._changed = list(self._changed), {}
            for number, name in enumerate(names):
                if name in self._known and self._wanted(name):
                    fields = {"service": name, "instances": orjson.Fragment(self._known[name])}
                    await self._node.send("router", TOPIC, fields)
                if number % AT_ONCE == AT_ONCE - 1:
                    await asyncio.sleep(ROUND_SECONDS)


def _instance(instance: Any) -> dict[str, Any]:
    """As agents write it: what is known of it inside the gateway, and why, stays there."""
    if isinstance(instance, str):
        return {**as_written(parse_instance(instance)), "health": "passing"}
    kept = {key: instance[key] for key in ("host", "port", "weight", "zone", "priority") if key in instance}
    failing = str(instance.get("health", "")).lower() in FAILING
    return {**kept, "health": "critical" if failing else "passing"}
