"""Alerts on their way out: by HTTPS, to Slack or a webhook, never over the network of agents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.config.models.alert_senders import AlertSender
from gateway.events import ApiAlert
from gateway.live import Tasks

if TYPE_CHECKING:
    from gateway.agents.alert_receiver import Receiver


class Alerting:
    """All receivers."""

    def __init__(self, configs: Mapping[str, AlertSender], base: Path) -> None:
        self.tasks = Tasks()
        self._receivers: dict[str, Receiver] = {}
        if configs:
            from gateway.agents.alert_receiver import Receiver  # noqa: PLC0415  with a client of HTTP

            self._receivers = {name: Receiver(name, config, base) for name, config in configs.items()}

    def begin(self) -> None:
        """Begin to send."""
        for name, receiver in self._receivers.items():
            self.tasks.supervise(f"alerts to {name}", receiver.run)

    async def stop(self) -> None:
        """Send nothing more."""
        await self.tasks.end()
        for receiver in self._receivers.values():
            await receiver.close()

    def put(self, alert: ApiAlert, members: Mapping[str, Any]) -> None:
        """Send it to all who want it."""
        for receiver in self._receivers.values():
            receiver.put(alert, members)

    def counts(self) -> Mapping[str, int]:
        """Alerts that were sent and lost, over all receivers."""
        return sum((receiver.counts for receiver in self._receivers.values()), Counter[str]())
