"""The bridge as a whole: a gateway process, and daemons that speak what the real ones speak, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.agents.configured import Configured
from gateway.agents.flows import peers_of, senders_of
from gateway.agents.link import LinkSettings
from gateway.agents.pilot_link import PilotLink
from gateway.agents.serve import Bridge, ServeOptions, StartError
from gateway.config.secrets import KnownSecrets
from gateway.roles import Role
from tests.agents.fake_network import FakeNetwork, FakeNode
from tests.lifecycle.support import admin_url
from tests.support import GatewayProcess, eventually, running_gateway

KEY = "planted_key_of_acme_4eC39H"
ROUTES = """\
services:
  users: {endpoints: ["127.0.0.1:1", "127.0.0.1:2"]}
  quiet: {endpoints: ["127.0.0.1:1", "127.0.0.1:2"]}
  user-api: {discovery: {agents: acme, first_answer: 0.2s}}
routes:
- {path: /users/*, target: users, auth: [keys]}
- {path: /quiet, target: quiet}
- {path: /api/*, target: user-api}
"""
MIDDLEWARE = """\
agents: {{prefix: acme, socket: "{socket}", networks: [10.0.0.0/8, 127.0.0.0/8]}}
"""
AUTH = f"""\
schemes: {{keys: {{api_key: {{header: X-API-Key}}}}}}
consumers: [{{name: acme-corp, keys: ["sha256:{sha256(KEY.encode()).hexdigest()}"]}}]
"""
SEED = b'{"service":"user-api","instances":[{"host":"10.0.1.5","port":8080,"health":"passing"}]}'
ROLES: tuple[Role, ...] = ("discovery", "router", "auth", "monitor")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    directory = tmp_path_factory.mktemp("bridge")
    middleware = MIDDLEWARE.format(socket=directory / "{role}.sock")
    with running_gateway(directory, ROUTES, middleware, AUTH) as it:
        yield it


@contextlib.asynccontextmanager
async def _network(gateway: GatewayProcess) -> AsyncIterator[dict[Role, FakeNode]]:
    """A node for each role, with trust where a handshake is needed."""
    async with FakeNetwork(gateway.directory.parent) as network:
        nodes: dict[Role, FakeNode] = {}
        for role in ROLES:
            nodes[role] = await network.join(f"acme-{role}")
            place = gateway.directory.parent / f"{role}.sock"
            place.unlink(missing_ok=True)
            nodes[role].socket.rename(place)
            nodes[role].socket = place
        for role in ROLES:
            for peer in peers_of(role, "acme"):
                network.trust(nodes[role], nodes[peer])  # type: ignore[index]
        yield nodes


def _options(gateway: GatewayProcess, *roles: Role) -> ServeOptions:
    admin = f"127.0.0.1:{gateway.admin_port}"
    return ServeOptions(gateway.directory, roles, None, None, admin, 10.0, KnownSecrets(), {})


@contextlib.asynccontextmanager
async def _served(gateway: GatewayProcess, *roles: Role) -> AsyncIterator[None]:
    """The bridges of these roles."""
    options, ended = _options(gateway, *roles), asyncio.Event()
    bridge = Bridge(options, Configured(options.directory, {}, options.secrets))
    running = asyncio.create_task(bridge.run(ended))
    await eventually(lambda: bridge.began or running.done(), 60)
    yield
    ended.set()
    await running


def _played(node: FakeNode, role: Role) -> PilotLink:
    """An agent that is no bridge of ours."""
    pins = str(node.socket.with_suffix(".pins"))
    peers, senders = peers_of(role, "acme"), senders_of(role, "acme")
    return PilotLink(LinkSettings(role, node.hostname, str(node.socket), peers, senders, pins))


async def _shown(gateway: GatewayProcess, path: str) -> Any:
    async with httpx2.AsyncClient(timeout=30) as client:
        return (await client.get(admin_url(gateway, path))).json()


async def _until_holds(gateway: GatewayProcess, path: str, holds: Callable[[Any], bool]) -> None:
    """Wait until it holds of what the admin API shows, which each bridge tells in its own time."""
    for _ in range(1000):
        if holds(shown := await _shown(gateway, path)):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(shown)


async def _until(gateway: GatewayProcess, path: str, text: str) -> None:
    """Wait until the admin API shows it."""
    await _until_holds(gateway, path, lambda shown: text in json.dumps(shown))


async def test_all_five_flows(gateway: GatewayProcess) -> None:
    """Services go out, instances of an agent come in and are used; requests are reported, verified and logged; what
    fails is taken out by a vote; and the key is in nothing that is sent or written."""
    async with _network(gateway) as nodes, _played(nodes["discovery"], "discovery") as discovery:
        async with _served(gateway, "router", "auth", "monitor"):
            await discovery.ready(30)
            await discovery.publish("router", "service-registry", SEED)
            await _until(gateway, "/services/user-api", "10.0.1.5:8080")
            assert (await _shown(gateway, "/services/user-api"))["source"] == "the agent acme-discovery"
            async with httpx2.AsyncClient() as client:
                for number in range(12):
                    await client.get(f"{gateway.url}/users/{number}?a=b", headers={"x-api-key": KEY})
            async with asyncio.timeout(60):
                feedback = await anext(discovery.messages())
            said = json.loads(feedback.payload)
            assert (feedback.hostname, feedback.topic) == ("acme-monitor", "health-feedback")
            assert (said["service"], said["status"], said["v"]) == ("users", "failing", 1)
            await _until(gateway, "/agents", '"access-log": 12')
            await _until_holds(gateway, "/agents", lambda all: all["acme-auth"]["received"].get("auth-request", 0) >= 1)
            await _until_holds(gateway, "/agents", lambda all: all["acme-router"]["problems"] == [])
        await _until_holds(gateway, "/agents", lambda all: all["acme-auth"]["state"] == "ended")
    state = gateway.directory / "state" / "agents"
    written = b"".join(path.read_bytes() for path in state.iterdir() if path.is_file())
    assert KEY.encode() not in written
    assert KEY not in gateway.log


async def test_a_vote_over_the_network_takes_an_instance_out(gateway: GatewayProcess) -> None:
    """And another one brings it back; explain and status name the agent."""
    async with (
        _network(gateway) as nodes,
        _played(nodes["monitor"], "monitor") as monitor,
        _served(gateway, "discovery"),
    ):
        await monitor.ready(30)
        vote = {"service": "quiet", "instance": "127.0.0.1:1", "status": "failing", "error_rate": 0.42}
        await monitor.publish("discovery", "health-feedback", json.dumps(vote).encode())
        await _until(gateway, "/services/quiet", "acme-monitor says failing, 42% errors")
        await monitor.publish("discovery", "health-feedback", json.dumps(vote | {"status": "recovered"}).encode())
        await _until_holds(gateway, "/services/quiet", lambda service: service["state"] == "up")


async def test_what_does_not_count_is_counted_and_audited(gateway: GatewayProcess) -> None:
    """By reason, in the gateway's health and metrics, and in a chain that `gateway audit verify` accepts."""
    async with (
        _network(gateway) as nodes,
        _played(nodes["discovery"], "discovery") as discovery,
        _served(gateway, "router"),
    ):
        await discovery.ready(30)
        outside = SEED.replace(b"10.0.1.5", b"192.0.2.1")
        await discovery.publish("router", "service-registry", outside)
        await discovery.publish("router", "access-log", b"{}")
        await _until(gateway, "/agents", '"network": 1')
        await _until(gateway, "/agents", '"role": 1')
    log = gateway.directory / "state" / "agents" / "refused-router.log"
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert {record.get("reason") for record in records} >= {"network", "role"}
    command = [sys.executable, "-m", "gateway.cli", "audit", "verify", str(log)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_two_bridges_of_a_role_are_one_too_many(gateway: GatewayProcess) -> None:
    """The second says which process the first is; the first goes on, and one that has ended is no send_problem."""
    async with _network(gateway):
        options = replace(_options(gateway, "router"), wait=0.3)
        second = Bridge(options, Configured(options.directory, {}, options.secrets))
        async with _served(gateway, "router"):
            with pytest.raises(StartError, match=f"a bridge of the role router runs already.*process {os.getpid()}"):
                await second.run(asyncio.Event())
            await _until(gateway, "/agents", '"state": "connected"')
        async with _served(gateway, "router"):
            await _until(gateway, "/agents", '"state": "connected"')


async def test_without_a_daemon_it_says_what_is_missing(gateway: GatewayProcess, tmp_path: Path) -> None:
    """After the time that it may wait; and at once where several roles have one socket, or the prefix is missing."""
    options = ServeOptions(
        gateway.directory, ("router",), None, str(tmp_path / "no.sock"), "x:1", 2, KnownSecrets(), {}
    )
    bridge = Bridge(options, Configured(options.directory, {}, options.secrets))
    with pytest.raises(StartError, match=r"no daemon at .*no\.sock"):
        await bridge.run(asyncio.Event())
    two = ServeOptions(gateway.directory, ("router", "auth"), None, "/run/one.sock", "x:1", 1, KnownSecrets(), {})
    with pytest.raises(StartError, match="2 roles need a daemon each"):
        Bridge(two, Configured(two.directory, {}, two.secrets))
    (tmp_path / "routes.yaml").write_text("routes: [{path: /, respond: 204}]")
    hooks = "{prefix: acme, socket: '/run/{role}', webhook: '127.0.0.1:9010', webhook_secret: x}"
    (tmp_path / "middleware.yaml").write_text(f"agents: {hooks}")
    hooked = ServeOptions(tmp_path, ("router", "auth"), None, None, "x:1", 1, KnownSecrets(), {})
    with pytest.raises(StartError, match=r"the webhooks of 2 daemons need an address each.*\{router: 127.0.0.1:9010\}"):
        Bridge(hooked, Configured(tmp_path, {}, hooked.secrets))
    (tmp_path / "middleware.yaml").unlink()
    bare = ServeOptions(tmp_path, ("router",), None, None, "x:1", 1, KnownSecrets(), {})
    with pytest.raises(StartError, match="the prefix of the agents is not known"):
        Bridge(bare, Configured(tmp_path, {}, bare.secrets))
