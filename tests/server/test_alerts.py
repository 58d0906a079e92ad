"""Alerts of a gateway as it runs: from requests that fail to a message, and what the commands show."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import httpx2

from tests.cli.support import gateway as cli
from tests.monitor.alerts.receivers import http_receiver
from tests.resilience.support import backend, response
from tests.support import GatewayProcess, eventually, running_gateway

SECRET = "a-part-of-the-url-that-is-secret"


def _command(gateway: GatewayProcess, *arguments: str) -> tuple[int, str]:
    done = cli("alerts", *arguments, "--admin", f"127.0.0.1:{gateway.admin_port}")
    return done.returncode, done.stdout + done.stderr


async def test_an_alert_for_a_failing_route_is_sent_and_not_repeated_by_a_restart(tmp_path: Path) -> None:
    """Within a slice of the monitor; secrets are neither in answers nor in logs; and `gateway alerts` shows all."""
    async with backend(response(500)) as bad, http_receiver() as receiver:
        routes = f"routes: [{{id: orders, path: /*, target: '{bad.address}'}}]"
        middleware = f"""
alerts:
  rules:
    errors: {{when: "error_rate > 5%", over: 1m, by: route, minimum: 5, severity: page}}
    slo: {{objective: 99%, good: "status < 500", routes: [orders], minimum: 5, severity: ticket}}
  send:
    ops: {{slack: "${{SLACK}}", severities: [page]}}
    gone: {{webhook: "http://127.0.0.1:1/{SECRET}"}}
"""
        environment = {"SLACK": f"{receiver.url}/{SECRET}"}
        with running_gateway(tmp_path, routes, middleware, environment=environment) as gateway:
            async with httpx2.AsyncClient(base_url=gateway.url) as client:
                for _ in range(20):
                    await client.get("/x")
            await receiver.wait(1)
            assert receiver.got[0].path == f"/{SECRET}"
            assert receiver.got[0].json["text"] == "[page] errors: 1 firing (route orders)"

            code, shown = await asyncio.to_thread(_command, gateway, "list")
            assert code == 2
            assert "errors  page      firing  route orders" in shown
            code, shown = await asyncio.to_thread(_command, gateway, "test")
            assert (code, "ops: sent" in shown, "gone: not sent: no connection" in shown) == (1, True, True)
            code, shown = await asyncio.to_thread(
                _command, gateway, "silence", "--rule", "errors", "--comment", "we know"
            )
            assert (code, shown.startswith("silenced until ")) == (0, True)
            _, shown = await asyncio.to_thread(_command, gateway, "list", "--json")
            listed: Any = json.loads(shown)
            assert {alert["rule"] for alert in listed["alerts"]} == {"errors", "slo"}
            assert [silence["comment"] for silence in listed["silences"]] == ["we know"]
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{gateway.admin_port}") as client:
                health = (await client.get("/health")).json()
                assert any("alerts do not reach gone (webhook)" in each for each in health["failing"])
                page = (await client.get("/alerts")).text
            assert SECRET not in f"{gateway.log}{health}{page}{shown}"

            came = len(receiver.got)
            gateway.signal(signal.SIGKILL)
            gateway.wait()
            gateway.start()
            await eventually(lambda: "errors" in _command(gateway, "list")[1], message="it has forgotten")
            assert len(receiver.got) == came
