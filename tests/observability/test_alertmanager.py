"""The Alertmanager of Prometheus, as Debian has it: it takes what the gateway sends, and shows it as an alert."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.config.values.instants import format_instant
from gateway.monitor.alerts.notices import Notice
from gateway.monitor.alerts.senders.alertmanager import Alertmanager
from tests.monitor.alerts.support import message
from tests.support import free_port

pytestmark = pytest.mark.observability

CONFIGURATION = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


@asynccontextmanager
async def alertmanager(directory: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """One that runs. Skips the test where there is none, and fails it in CI."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None and os.environ.get("CI") == "true":
        pytest.fail("there is no Alertmanager; install Debian's prometheus-alertmanager")
    if program is None:
        pytest.skip("there is no Alertmanager on this machine (prometheus-alertmanager)")
    (directory / "alertmanager.yml").write_text(CONFIGURATION)
    port = free_port()
    arguments = [
        f"--config.file={directory / 'alertmanager.yml'}",
        f"--storage.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(program, *arguments, stdout=quiet, stderr=quiet)
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await _ready(client)
            yield client
    finally:
        process.terminate()
        await process.wait()


async def _ready(client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                if (await client.get("/-/ready")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.05)


async def _alerts(client: httpx2.AsyncClient, count: int) -> list[Any]:
    async with asyncio.timeout(30):
        while True:
            found: list[Any] = (await client.get("/api/v2/alerts")).json()
            if len(found) == count:
                return found
            await asyncio.sleep(0.05)


async def test_it_shows_what_fires_until_it_is_over(tmp_path: Path) -> None:
    """With its labels, its times, what it says and what to do; a second time is the same alert; an end ends it."""
    since = format_instant(time.time() - 60)
    firing = message("errors", "route orders", runbook="https://runbooks.example/errors").model_copy(
        update={"since": since, "link": "https://gateway.example/#alerts"}
    )
    async with alertmanager(tmp_path) as client:
        sender = Alertmanager(f"{client.base_url}")
        for _ in range(2):
            await sender.send(Notice("state", "", (firing,)))
        (shown,) = await _alerts(client, 1)
        assert shown["labels"] == {"alertname": "errors", "severity": "page", "job": "gateway", "route": "orders"}
        assert shown["annotations"] == {
            "summary": firing.summary,
            "runbook_url": "https://runbooks.example/errors",
        }
        assert shown["startsAt"].startswith(since.removesuffix("Z"))
        assert shown["generatorURL"] == "https://gateway.example/#alerts"
        assert shown["status"]["state"] in ("active", "unprocessed")
        over = firing.model_copy(update={"state": "resolved", "until": format_instant(time.time() - 1)})
        await sender.send(Notice("state", "", (), (over,)))
        assert await _alerts(client, 0) == []
        await sender.close()


async def test_it_takes_a_thousand_alerts_and_a_test(tmp_path: Path) -> None:
    """In several calls; names may have anything in them."""
    names = ["orders", 'a"b\\c', "ö€😀", "x" * 300, "with spaces in it"]
    names += [f"route-{number}" for number in range(995)]
    since = format_instant(time.time())
    alerts = tuple(message("errors", f"route {name}").model_copy(update={"since": since}) for name in names)
    async with alertmanager(tmp_path) as client:
        sender = Alertmanager(f"{client.base_url}")
        await sender.send(Notice("state", "", alerts))
        shown = await _alerts(client, 1000)
        assert {each["labels"]["route"] for each in shown} == set(names)
        await sender.send(Notice("test", "Test"))
        assert len(await _alerts(client, 1001)) == 1001
        await sender.close()
