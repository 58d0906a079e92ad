"""The role monitor: reports failing instances to the agent discovery, watches decisions of the agent auth, and sends
alerts by HTTPS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from gateway.agents.alerting import Alerting
from gateway.agents.anomalies import Anomalies
from gateway.agents.failure_detection import FailureDetector
from gateway.agents.flows import ALERTS, EXTERNAL
from gateway.agents.link import Received
from gateway.agents.node import Node
from gateway.agents.payloads import AccessLog
from gateway.agents.pieces import in_pieces
from gateway.events import ApiAlert, HealthFeedback, RequestReport
from gateway.live import Tasks

TOPIC: Final = "health-feedback"
ROUND_SECONDS: Final = 0.1
MOST_WAITING: Final = 1000


class Monitor:
    """See `RoleWork`."""

    def __init__(self, node: Node, alerting: Alerting) -> None:
        self.tasks = Tasks()
        self._node = node
        self._alerting = alerting
        self._failures = FailureDetector()
        self._anomalies = Anomalies(node.hostname)
        self._waiting: dict[tuple[str, str], dict[str, Any]] = {}  # the last change of each instance

    def begin(self) -> None:
        """See `RoleWork`."""
        side = self._node.side
        side.subscribe(RequestReport, self.handle)
        side.subscribe(HealthFeedback, self._found_by_monitor)
        side.subscribe(ApiAlert, self._alert)
        self.tasks.supervise("publishing feedback to the network", self._run)

    async def take(self, received: Received) -> None:
        """See `RoleWork`."""
        async for message in in_pieces(self._node.news(received)):
            if isinstance(message, AccessLog):
                self._node.notes[f"requests_{message.decision}"] += 1
                alert = self._anomalies.learn(message.client, time.monotonic(), denied=message.decision == "deny")
                if alert is not None:
                    await self._alert(alert)

    def counts(self) -> Mapping[str, int]:
        """See `RoleWork`."""
        alerts = {f"alerts_{what}": number for what, number in self._alerting.counts().items()}
        return {"clients": self._anomalies.clients, **alerts, **self._node.notes}

    async def handle(self, report: RequestReport) -> None:
        now = time.monotonic()
        for service, instance, failed in report.attempts:
            change = self._failures.learn(service, instance, now, failed=failed)
            if change is not None:
                self._say(change.service, change.instance, change.status, change.error_rate)

    async def _found_by_monitor(self, message: HealthFeedback) -> None:
        """A finding of the gateway's own monitor. Those of agents come from here, and are not sent back."""
        if message.by is None:
            status = "failing" if message.status == "failing" else "recovered"
            self._say(message.service, message.instance, status, message.error_rate)

    def _say(self, service: str, instance: str, status: str, error_rate: float | None) -> None:
        if not service or len(self._waiting) >= MOST_WAITING:
            self._node.dropped[TOPIC] += bool(service)
            return
        fields: dict[str, Any] = {"service": service, "instance": instance, "status": status}
        if error_rate is not None:
            fields["error_rate"] = error_rate
        self._waiting[service, instance] = fields

    async def _alert(self, alert: ApiAlert) -> None:
        members = self._node.writer.members(ALERTS, alert.model_dump(exclude_none=True))
        self._alerting.put(alert, members)
        await self._node.send_members(EXTERNAL, ALERTS, members)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            waiting, self._waiting = list(self._waiting.values()), {}
            for fields in waiting:
                await self._node.send("discovery", TOPIC, fields)
