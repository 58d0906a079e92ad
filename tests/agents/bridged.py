"""A gateway with two backends, real daemons of four roles, and bridges on them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.agents.world import Node, World
from tests.lifecycle.support import admin_url
from tests.support import GatewayProcess, running_gateway, scripted_backend

KEY = "planted_key_of_acme_4eC39H"
ROLES = ("discovery", "router", "auth", "monitor")
PAIRS = (("discovery", "router"), ("router", "auth"), ("auth", "monitor"), ("monitor", "discovery"))
AUTH = f"""\
schemes: {{keys: {{api_key: {{header: X-API-Key}}}}}}
consumers: [{{name: acme-corp, keys: [{{key: {KEY}}}]}}]
"""


class Backend:
    """Answers 200, or 500 while it is ill."""

    def __init__(self) -> None:
        self.ill = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                status = b"500 Ill" if self.ill else b"200 OK"
                writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\nok")


@dataclass(slots=True)
class Setting:
    """A gateway with two backends, four daemons, and the bridges that were started."""

    world: World
    gateway: GatewayProcess
    nodes: dict[str, Node]
    backends: list[Backend]
    ports: list[int]
    client: httpx2.AsyncClient = field(default_factory=lambda: httpx2.AsyncClient(timeout=30))
    bridges: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def log(self, role: str) -> Path:
        return self.gateway.directory.parent / f"bridge-{role}.log"

    async def serve(self, *roles: str) -> None:
        """Start the bridges of these roles, and wait until they are on the network."""
        for role in roles:
            command = [sys.executable, "-m", "gateway.cli", "agents", "serve", "--role", role, "--wait", "30"]
            command += ["--config", str(self.gateway.directory), "--admin", f"127.0.0.1:{self.gateway.admin_port}"]
            self.bridges[role] = _started(command, self.log(role))
        for role in roles:
            await self.shows("/agents", lambda all, role=role: works(all.get(f"acme-{role}")), 120)

    async def get(self, path: str, key: str = KEY) -> int:
        return (await self.client.get(self.gateway.url + path, headers={"x-api-key": key})).status_code

    async def admin(self, path: str) -> Any:
        return (await self.client.get(admin_url(self.gateway, path))).json()

    async def shows(self, path: str, holds: Any, within: float = 30.0) -> Any:
        """Wait until what the admin API shows is so."""
        end = time.monotonic() + within
        while not holds(shown := await self.admin(path)):
            assert time.monotonic() < end, f"{path} shows {json.dumps(shown)[:3000]}"
            await asyncio.sleep(0.05)
        return shown

    def end(self) -> None:
        for process in self.bridges.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.bridges.values():
            process.wait(20)


@contextlib.asynccontextmanager
async def setting_of(world: World, tmp_path: Path, more: str = "") -> AsyncIterator[Setting]:
    nodes = {role: await world.join(f"acme-{role}", "-no-eventstream") for role in ROLES}
    for one, other in PAIRS:
        await nodes[one].handshake(nodes[other])
    backends = [Backend(), Backend()]
    async with scripted_backend(backends[0]) as first, scripted_backend(backends[1]) as second:
        routes = (
            f'services:\n  users: {{endpoints: ["127.0.0.1:{first}", "127.0.0.1:{second}"], outliers: off, '
            "balance: round_robin}\n  user-api: {discovery: {agents: acme, first_answer: 0.2s, hold_empty: 1h}}\n"
            "routes:\n- {path: /users/*, target: users, auth: [keys]}\n- {path: /api/*, target: user-api}\n"
        )
        middleware = (
            f'agents: {{prefix: acme, socket: "{world.directory}/acme-{{role}}/pilot.sock", {more}'
            f'pilotctl: "{world.directory}/acme-{{role}}/pilotctl", networks: [10.0.0.0/8, 127.0.0.0/8]}}\n'
        )
        started = running_gateway(tmp_path, routes, middleware, AUTH)
        gateway = await asyncio.to_thread(started.__enter__)
        setting = Setting(world, gateway, nodes, backends, [first, second])
        try:
            yield setting
        finally:
            setting.end()
            await setting.client.aclose()
            await asyncio.to_thread(started.__exit__, None, None, None)


def works(agent: Any) -> bool:
    """Whether it is on the network, and is told of requests."""
    asked = "the admin API was not asked yet"
    return bool(agent) and agent["state"] == "connected" and asked not in str(agent["problems"])


def _started(command: list[str], path: Path) -> subprocess.Popen[bytes]:
    with path.open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)
