"""One receiver of alerts: Slack or a webhook, by HTTPS."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.config.models.alert_senders import AlertSender
from gateway.events import ApiAlert
from gateway.monitor.alerts.senders.http import Http
from gateway.monitor.alerts.senders.sender import NotSent
from gateway.monitor.alerts.senders.slack import escaped
from gateway.monitor.alerts.senders.webhook import SIGNATURE, TIMESTAMP, signature

logger = logging.getLogger("gateway.agents")

MOST_WAITING: Final = 100  # alerts of one receiver
ATTEMPTS: Final = 5
PAUSE: Final = 2.0  # seconds before the second attempt; doubled each time


class Receiver:
    """What one is sent, and what waits for it."""

    def __init__(self, name: str, config: AlertSender, base: Path) -> None:
        self.counts = Counter[str]()
        self._name = name
        self._config = config
        self._http = Http(config.url, None if config.ca is None else base / config.ca)
        self._waiting: deque[tuple[ApiAlert, Mapping[str, Any]]] = deque(maxlen=MOST_WAITING)
        self._news = asyncio.Event()

    def put(self, alert: ApiAlert, members: Mapping[str, Any]) -> None:
        """Send it, if it is of a severity that is wanted here. `members`: the whole message."""
        if self._config.takes(alert.severity):
            self.counts["lost"] += len(self._waiting) == MOST_WAITING
            self._waiting.append((alert, members))
            self._news.set()

    async def run(self) -> None:
        """Send what waits, one after the other, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                await self._deliver(*self._waiting.popleft())

    async def close(self) -> None:
        """Close the connection."""
        await self._http.close()

    async def _deliver(self, alert: ApiAlert, members: Mapping[str, Any]) -> None:
        for attempt in range(ATTEMPTS):
            try:
                await self._send(alert, members)
            except NotSent as error:
                logger.warning("the alert %s does not reach %s: %s", alert.alert, self._name, error)
                if error.hopeless or attempt == ATTEMPTS - 1:
                    break
                await asyncio.sleep(max(min(error.wait, 60.0), PAUSE * 2**attempt * random.uniform(0.8, 1.2)))
            else:
                self.counts["sent"] += 1
                return
        self.counts["lost"] += 1

    async def _send(self, alert: ApiAlert, members: Mapping[str, Any]) -> None:
        """Raises NotSent."""
        if self._config.kind == "slack":
            sign = ":red_circle:" if alert.state == "firing" else ":large_green_circle:"
            text = f"{sign} *{escaped(alert.alert)}* {alert.state}: {escaped(alert.subject)}\n{escaped(alert.summary)}"
            await self._http.post(orjson.dumps({"text": text[:3000]}))
            return
        body = orjson.dumps(members)
        at = str(int(float(members["ts"])))
        headers = {TIMESTAMP: at}
        if self._config.secret is not None:
            headers[SIGNATURE] = signature(self._config.secret.get_secret_value().encode(), at, body)
        await self._http.post(body, headers)
