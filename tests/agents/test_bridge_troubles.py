"""Bridges that are killed or hang, a Redis that goes away, another configuration: no request fails, and all heals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2

from gateway.agents.flows import peers_of, senders_of
from gateway.agents.link import LinkSettings
from gateway.agents.pilot_link import PilotLink
from gateway.agents.standing import status_path
from gateway.roles import Role
from tests.agents.fake_network import FakeNetwork
from tests.lifecycle.support import admin_url
from tests.redis_server import RedisServer
from tests.support import GatewayProcess, eventually, running_gateway

KEY = "planted_key_of_acme_4eC39H"
AUTH = f"""\
schemes: {{keys: {{api_key: {{header: X-API-Key}}}}}}
consumers: [{{name: acme-corp, keys: ["sha256:{sha256(KEY.encode()).hexdigest()}"]}}]
"""
ROUTES = """\
services:
  users: {{endpoints: ["127.0.0.1:{port}"]}}
  user-api: {{discovery: {{agents: acme, first_answer: 0.2s}}}}
routes:
- {{path: /users/*, target: users, auth: [keys]}}
- {{path: /api/*, target: user-api}}
"""


@dataclass
class Requests:
    """Some clients that go on all the time."""

    url: str
    answered: int = 0
    failed: list[Any] = field(default_factory=list)

    async def client(self) -> None:
        """One of them."""
        async with httpx2.AsyncClient(timeout=20) as client:
            while True:
                try:
                    status = (await client.get(self.url, headers={"x-api-key": KEY})).status_code
                except httpx2.HTTPError as error:
                    self.failed.append(repr(error))
                else:
                    self.answered += 1
                    self.failed += [status] if status != 200 else []
                await asyncio.sleep(0.01)


@dataclass
class Setting:
    """A gateway, the daemons of two roles, and an agent discovery that is no bridge of ours."""

    gateway: GatewayProcess
    discovery: PilotLink
    bridge: Process | None = None
    said: int = 0

    async def start(self) -> Process:
        """A bridge of the router and of auth."""
        command = [sys.executable, "-m", "gateway.cli", "agents", "serve", "--role", "router", "--role", "auth"]
        command += ["--config", str(self.gateway.directory), "--admin", f"127.0.0.1:{self.gateway.admin_port}"]
        with (self.gateway.directory.parent / "bridge.log").open("ab") as log:
            self.bridge = await asyncio.create_subprocess_exec(*command, "--wait", "20", stderr=log)
        return self.bridge

    async def heals(self) -> None:
        """What discovery says now reaches the gateway."""
        self.said += 1
        instances = [{"host": "10.0.1.5", "port": 8000 + self.said, "health": "passing"}]
        said = json.dumps({"service": "user-api", "instances": instances}).encode()
        async with asyncio.timeout(90):
            while f"10.0.1.5:{8000 + self.said}" not in await self.shown("/services/user-api"):
                await self.discovery.publish("router", "service-registry", said)
                await asyncio.sleep(0.3)

    async def shown(self, path: str) -> str:
        """What the admin API says."""
        async with httpx2.AsyncClient(timeout=30) as client:
            return (await client.get(admin_url(self.gateway, path))).text

    async def health_says(self, text: str, *, not_any_more: bool = False) -> None:
        """Wait until /health has that, or has it no more."""
        for _ in range(600):
            if (text in await self.shown("/health")) is not not_any_more:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(await self.shown("/health"))

    async def status_says(self, text: str) -> None:
        """Wait until the bridge of the router has written that down."""
        path = status_path(self.gateway.directory / "state" / "agents", "router")
        await eventually(lambda: path.exists() and text in path.read_text(), 40, text)


@contextlib.asynccontextmanager
async def _setting(network: FakeNetwork, directory: Path, middleware: str) -> AsyncIterator[tuple[Setting, Requests]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    nodes = {role: await network.join(f"acme-{role}") for role in ("discovery", "router", "auth")}
    for one, other in (("discovery", "router"), ("router", "auth")):
        network.trust(nodes[one], nodes[other])
    sockets = {role: node.socket.rename(directory / f"{role}.sock") for role, node in nodes.items()}
    role: Role = "discovery"
    peers, senders = peers_of(role, "acme"), senders_of(role, "acme")
    link = LinkSettings(role, "acme-discovery", str(sockets[role]), peers, senders, str(directory / "pins"))
    own = directory / "gateway"
    own.mkdir()
    backend = await asyncio.start_server(answer, "127.0.0.1", 0)
    routes = ROUTES.format(port=backend.sockets[0].getsockname()[1])
    middleware += f"agents: {{prefix: acme, socket: '{directory}/{{role}}.sock', networks: [10.0.0.0/8]}}\n"
    with running_gateway(own, routes, middleware, AUTH) as gateway:
        async with PilotLink(link) as discovery:
            setting, requests = Setting(gateway, discovery), Requests(f"{gateway.url}/users/1")
            clients = [asyncio.create_task(requests.client()) for _ in range(3)]
            try:
                await setting.start()
                await setting.heals()
                yield setting, requests
            finally:
                for client in clients:
                    client.cancel()
                await asyncio.gather(*clients, return_exceptions=True)
                if setting.bridge is not None and setting.bridge.returncode is None:
                    setting.bridge.kill()
                    await setting.bridge.wait()
                backend.close()


async def test_bridges_that_hang_and_are_killed(network: FakeNetwork, tmp_path: Path, own_redis: RedisServer) -> None:
    """And a Redis that is away for a while: the bridge goes on by itself, or is started again, and no request fails."""
    redis = f"redis: {{url: '{own_redis.url}', timeout: 0.5s}}\nbus: redis\n"
    async with _setting(network, tmp_path, redis) as (setting, requests):
        assert setting.bridge is not None
        setting.bridge.send_signal(signal.SIGSTOP)
        before = requests.answered
        await eventually(lambda: requests.answered >= before + 100, 20)
        setting.bridge.send_signal(signal.SIGCONT)
        await setting.heals()
        setting.bridge.kill()
        await setting.bridge.wait()
        await setting.start()
        await setting.heals()
        own_redis.kill()
        await setting.status_says("Redis does not answer (bus: redis)")
        own_redis.start()
        await setting.heals()
        await setting.status_says('"problems": []')
        assert requests.failed == []


async def test_another_group_agents_is_said_until_the_bridge_starts_again(network: FakeNetwork, tmp_path: Path) -> None:
    """The bridge goes by the networks that it began with; a gateway with others says so, and no request fails."""
    async with _setting(network, tmp_path, "") as (setting, requests):
        path = setting.gateway.directory / "middleware.yaml"
        path.write_text(path.read_text().replace("10.0.0.0/8", "10.0.1.0/24"))
        changed = "the group agents of middleware.yaml has changed; start the bridge again"
        await setting.health_says(changed)
        assert setting.bridge is not None
        setting.bridge.terminate()
        assert await setting.bridge.wait() == 0
        await setting.start()
        await setting.heals()
        await setting.health_says(changed, not_any_more=True)
        assert requests.failed == []
