"""Alerts leave by HTTPS, whole, and with a signature; a receiver that is away costs nothing else."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.agents import alert_receiver
from gateway.agents.alerting import Alerting
from gateway.agents.payloads import Writer
from gateway.config.models.agents import Agents
from gateway.events import ApiAlert
from gateway.monitor.alerts.senders.webhook import SIGNATURE, TIMESTAMP, signature
from tests.support import eventually
from tests.upstream.test_tls import certificate

ALERT = ApiAlert(alert="errors", state="firing", severity="page", subject="route <a>", summary="many & more")


class Receiver:
    """An HTTPS server that keeps what it gets, and answers these statuses first, then 200."""

    def __init__(self, statuses: list[int]) -> None:
        self.statuses = statuses
        self.got: list[tuple[dict[str, str], bytes]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        self.got.append((fields, await reader.readexactly(int(fields["content-length"]))))
        status = self.statuses.pop(0) if self.statuses else 200
        writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        writer.close()


@asynccontextmanager
async def _receiving(directory: Path, *statuses: int) -> AsyncIterator[tuple[Receiver, str]]:
    certificate(directory, "ca", "", 30, None)
    certificate(directory, "good", "IP:127.0.0.1", 30, "ca")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(directory / "good.pem", directory / "good.key")
    receiver = Receiver(list(statuses))
    server = await asyncio.start_server(receiver, "127.0.0.1", 0, ssl=tls)
    yield receiver, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    server.close()


def _alerting(directory: Path, **senders: Any) -> Alerting:
    return Alerting(Agents.model_validate({"alerts": senders}).alerts, directory)


async def test_a_webhook_gets_the_whole_message_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once more where it was not taken; only those of the severities that it wants."""
    monkeypatch.setattr(alert_receiver, "PAUSE", 0.05)
    async with _receiving(tmp_path, 503) as (receiver, url):
        sending = _alerting(tmp_path, ops={"webhook": url, "secret": "s3cret", "ca": "ca.pem", "severities": ["page"]})
        sending.begin()
        writer = Writer("acme-monitor", lambda: 1782900000.0)
        for alert in (ALERT, ALERT.model_copy(update={"severity": "ticket"})):
            sending.put(alert, writer.members("api-alert", alert.model_dump(exclude_none=True)))
        await eventually(lambda: sending.counts() == {"sent": 1})
        fields, body = receiver.got[1]
        assert receiver.got[0][1] == body
        assert fields[SIGNATURE] == signature(b"s3cret", fields[TIMESTAMP], body)
        said = json.loads(body)
        assert (said["alert"], said["state"], said["v"], said["seq"]) == ("errors", "firing", 1, 1)
        await sending.stop()


async def test_a_receiver_that_is_away_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some attempts, and counted; one whose certificate is not known gets nothing."""
    monkeypatch.setattr(alert_receiver, "PAUSE", 0.01)
    async with _receiving(tmp_path) as (receiver, url):
        sending = _alerting(tmp_path, away={"webhook": "https://127.0.0.1:9/"}, strange={"webhook": url})
        sending.begin()
        sending.put(ALERT, Writer("acme-monitor").members("api-alert", ALERT.model_dump(exclude_none=True)))
        await eventually(lambda: sending.counts() == {"lost": 2})
        assert receiver.got == []
        await sending.stop()


@pytest.mark.parametrize(
    "sender", [{"webhook": "http://127.0.0.1:9/"}, {"smtp": "smtp://mail.test", "to": ["a@b.test"]}]
)
def test_they_leave_by_https_only(sender: dict[str, Any]) -> None:
    """To Slack or a webhook; the configuration of anything else is refused."""
    with pytest.raises(ValidationError):
        Agents.model_validate({"alerts": {"ops": sender}})
