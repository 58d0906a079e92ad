"""Any HTTP server: JSON by POST, signed where there is a secret.

`X-Gateway-Timestamp` has the Unix time of sending, and `X-Gateway-Signature` is `sha256=` and the HMAC-SHA-256, in
hexadecimal, of that time, a dot and the body.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.monitor.alerts.notices import Notice
from gateway.monitor.alerts.senders.http import Http

VERSION: Final = 1
SHOWN: Final = 100  # alerts
TIMESTAMP: Final = "x-gateway-timestamp"
SIGNATURE: Final = "x-gateway-signature"


class Webhook:
    """One URL."""

    def __init__(self, url: str, secret: bytes | None, ca: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._http = Http(url, ca)
        self._secret = secret
        self._clock = clock

    async def send(self, notice: Notice) -> None:
        """See `Sender`."""
        body, at = orjson.dumps(payload(notice)), str(int(self._clock()))
        headers = {TIMESTAMP: at}
        if self._secret is not None:
            headers[SIGNATURE] = signature(self._secret, at, body)
        await self._http.post(body, headers)

    async def close(self) -> None:
        """See `Sender`."""
        await self._http.close()


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """The value of the header."""
    return "sha256=" + hmac.digest(secret, timestamp.encode() + b"." + body, "sha256").hex()


def payload(notice: Notice) -> dict[str, Any]:
    """The message as JSON; `alerts` are `api-alert` messages."""
    alerts = notice.alerts
    return {
        "version": VERSION,
        "kind": notice.kind,
        "title": notice.title,
        "repeated": notice.repeated,
        "firing": len(notice.firing),
        "resolved": len(notice.resolved),
        "left_out": notice.left_out + max(0, len(alerts) - SHOWN),
        "alerts": [alert.model_dump(exclude_none=True) for alert in alerts[:SHOWN]],
        "summary": {heading: list(lines) for heading, lines in notice.sections},
        "link": notice.link,
    }
