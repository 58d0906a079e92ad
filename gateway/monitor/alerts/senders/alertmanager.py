"""Alertmanager of Prometheus, by its API v2: all that fires, again and again, as Prometheus itself does it.

Alertmanager takes for over what it does not hear of until `endsAt`; what is over here is sent with the time of that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import orjson

from gateway.events import ApiAlert
from gateway.monitor.alerts.notices import Notice
from gateway.monitor.alerts.senders.http import Http
from gateway.monitor.alerts.senders.sender import RESEND_SECONDS

LASTS_SECONDS: Final = 4 * RESEND_SECONDS  # for which it believes that
AT_ONCE: Final = 100  # alerts of one call
PATH: Final = "/api/v2/alerts"


class Alertmanager:
    """One server."""

    def __init__(
        self,
        url: str,
        ca: Path | None = None,
        credentials: tuple[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self._http = Http(urlunsplit((parts.scheme, host, parts.path.rstrip("/") + PATH, "", "")), ca, credentials)
        self._clock = clock

    async def send(self, notice: Notice) -> None:
        """See `Sender`."""
        alerts, now = notice.alerts, self._clock()
        if notice.kind == "test":
            # An alert that is over in a minute.
            ends = datetime.fromtimestamp(now + RESEND_SECONDS, UTC).isoformat(timespec="seconds")
            labels = {"alertname": "gateway_test", "severity": "none", "job": "gateway"}
            await self._http.post(
                orjson.dumps([{"labels": labels, "annotations": {"summary": notice.title}, "endsAt": ends}])
            )
        for start in range(0, len(alerts), AT_ONCE):
            batch = [alert_of(alert, now) for alert in alerts[start : start + AT_ONCE]]
            await self._http.post(orjson.dumps(batch))

    async def close(self) -> None:
        """See `Sender`."""
        await self._http.close()


def alert_of(alert: ApiAlert, now: float) -> dict[str, Any]:
    """One alert, as Alertmanager has it. Its labels identify it. `now` is Unix time."""
    kind, _, name = alert.subject.partition(" ")
    made: dict[str, Any] = {
        "labels": {
            "alertname": alert.alert,
            "severity": alert.severity,
            "job": "gateway",
            **({kind: name} if name and alert.subject != "all requests" else {}),
        },
        "annotations": {"summary": alert.summary, **({"runbook_url": alert.runbook} if alert.runbook else {})},
        "endsAt": alert.until or datetime.fromtimestamp(now + LASTS_SECONDS, UTC).isoformat(timespec="seconds"),
    }
    if alert.since:
        made["startsAt"] = alert.since
    if alert.link:
        made["generatorURL"] = alert.link
    return made
