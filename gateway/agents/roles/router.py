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
SAID_SECOND: Final = 10_000  # instances: a gateway that is told of more has less time for requests


class Router:
    """See `RoleWork`."""

    def __init__(self, node: Node) -> None:
        self.tasks = Tasks()
        self._node = node
        self._requests: deque[dict[str, Any]] = deque()
        self._services: dict[str, tuple[AgentRegistry, float]] = {}
        self._unsaid: dict[str, None] = {}  # services of which the gateway does not know the last word
        self._said_until = float("-inf")  # when what was said is used up, at SAID_SECOND
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
            now = time.monotonic()
            self._services[message.service] = registry, now
            self._unsaid[message.service] = None
            self._say_services(now)

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
                self._unsaid |= dict.fromkeys(self._services)  # the gateway may have forgotten what it was sent
            self._say_services(time.monotonic())

    def _say_services(self, now: float) -> None:
        """As many as a gateway takes; of a service that changes again before, only the last word."""
        while self._unsaid and self._said_until <= now:
            service = next(iter(self._unsaid))
            del self._unsaid[service]
            registry, heard = self._services[service]
            self._said_until = max(self._said_until, now - 1) + len(registry.instances) / SAID_SECOND
            self._node.side.publish(registry.model_copy(update={"age": round(now - heard, 3)}))
