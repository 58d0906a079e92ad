"""States of services, by what becomes of their requests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2

from tests.cli.support import gateway as cli
from tests.lifecycle.support import admin_url, get
from tests.support import GatewayProcess, eventually, read_head, running_gateway, scripted_backend


def _service(gateway: GatewayProcess, name: str) -> Any:
    return httpx2.get(admin_url(gateway, f"/services/{name}"), timeout=30).json()


def _status(gateway: GatewayProcess) -> tuple[int, str]:
    """The exit code of `gateway status`, and what it says."""
    done = cli("status", "--admin", f"127.0.0.1:{gateway.admin_port}")
    return done.returncode, done.stdout


async def _of_thirty_two_thirty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while head := await read_head(reader):
        status = b"500 No" if b"/bad" in head.split()[1] else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\nok")


async def test_a_service_that_answers_most_requests_is_degraded(tmp_path: Path) -> None:
    """Its only endpoint fails two of thirty-two; one that answers nothing is down; both are exit code 2."""
    async with scripted_backend(_of_thirty_two_thirty) as port:
        routes = (
            f"services:\n  part: {{endpoints: ['127.0.0.1:{port}']}}\n  none: {{endpoints: ['localhost:{port}']}}\n"
            "routes:\n- {path: /part/*, target: part}\n- {path: /none/*, target: none}\n"
        )
        with running_gateway(tmp_path, routes) as gateway:
            assert (await asyncio.to_thread(_status, gateway))[0] == 0  # what was looked at is shown for a second

            def ask() -> None:
                for path in ("/part/good", "/part/bad"):
                    for _ in range(30 if path == "/part/good" else 2):
                        get(gateway, path)
                get(gateway, "/none/bad")

            await asyncio.to_thread(ask)
            part = await asyncio.to_thread(_service, gateway, "part")
            none = await asyncio.to_thread(_service, gateway, "none")
            await eventually(lambda: _status(gateway)[0] == 2)
            said = _status(gateway)[1]
    assert (part["state"], none["state"]) == ("degraded", "down")
    assert f"part is degraded: 127.0.0.1:{port}: 2 of" in said
    assert f"none is down: localhost:{port}: 1 of" in said
