"""The role router: requests that showed a credential go to the agent auth; services of the agent discovery come in."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from gateway.agents.link import Received
from gateway.agents.node import Node
from gateway.agents.payloads import ServiceRegistry
from gateway.events import AgentRegistry, RequestReport
from gateway.live import Tasks

TOPIC: Final = "auth-request"
ROUND_SECONDS: Final = 0.2  # in which requests are said together
MOST_WAITING: Final = 1000
MOST_SERVICES: Final = 1000
MOST_INSTANCES: Final = 50_000  # of all of them


class Router:
    """See `RoleWork`."""

    def __init__(self, node: Node) -> None:
        self.tasks = Tasks()
        self._node = node
        self._requests: deque[dict[str, Any]] = deque()
        self._services: dict[str, tuple[AgentRegistry, float]] = {}
        self._losses = node.side.losses

    def begin(self) -> None:
        """See `RoleWork`."""
        self._node.side.subscribe(RequestReport, self.handle)
        self.tasks.supervise("publishing requests to the network", self._run)

    async def take(self, received: Received) -> None:
        """See `RoleWork`."""
        for message in self._node.news(received):
            if not isinstance(message, ServiceRegistry):
                continue
            known = {name: len(said.instances) for name, (said, _) in self._services.items() if name != message.service}
            if len(known) >= MOST_SERVICES or sum(known.values()) + len(message.instances) > MOST_INSTANCES:
                self._node.notes["services_left_out"] += 1
                continue
            registry = AgentRegistry(
                prefix=self._node.prefix,
                service=message.service,
                by=received.hostname,
                instances=tuple(each.model_dump(exclude_none=True) for each in message.instances),
            )
            self._services[message.service] = registry, time.monotonic()
            self._node.side.publish(registry)

    def counts(self) -> Mapping[str, int]:
        """See `RoleWork`."""
        return {"services": len(self._services), **self._node.notes}

    async def handle(self, report: RequestReport) -> None:
        if report.credential is None:
            return
        fields: dict[str, Any] = {"request_id": report.request_id, "path": report.path}
        if self._node.settings.send_credentials and report.api_key is not None:
            fields["api_key"] = report.api_key
        else:
            fields["credential"] = {"type": report.credential, "fingerprint": report.fingerprint}
        if len(self._requests) >= MOST_WAITING:
            self._requests.popleft()
            self._node.dropped[TOPIC] += 1
        self._requests.append(fields)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            requests, self._requests = list(self._requests), deque()
            await self._node.send_all("auth", TOPIC, requests)
            if self._losses != self._node.side.losses:
                self._losses = self._node.side.losses
                # The gateway may have forgotten what it was sent; `age` says how old it is.
                now = time.monotonic()
                for registry, heard in self._services.values():
                    self._node.side.publish(registry.model_copy(update={"age": round(now - heard, 3)}))
