"""Bridges of a gateway on real daemons: what a real `pilotctl` sees and sends, and what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.agents.bridged import KEY, ROLES, setting_of
from tests.agents.world import World
from tests.lifecycle.support import admin_url

pytestmark = [pytest.mark.agents, pytest.mark.timeout(180)]

SEED = '{"service":"user-api","instances":[{"host":"10.0.1.5","port":8080,"health":"passing"}]}'


async def _event(subscriber: asyncio.subprocess.Process, topic: str, within: float = 20.0) -> Any:
    """The next event of a topic that `pilotctl subscribe` prints."""
    assert subscriber.stdout is not None
    async with asyncio.timeout(within):
        while True:
            event = json.loads(await subscriber.stdout.readline())
            if event.get("topic") == topic:
                return json.loads(event["data"])


async def test_all_five_topics_as_pilotctl_sees_them(world: World, tmp_path: Path) -> None:
    """The members of the setup, and five of ours; and the key of a client is in nothing that was sent or written."""
    async with setting_of(world, tmp_path) as setting:
        watcher = await world.join("acme-watch", "-no-eventstream")
        for node in setting.nodes.values():
            await watcher.handshake(node)
        await setting.serve(*ROLES)
        subscribers = {role: await watcher.open("subscribe", f"acme-{role}", "*") for role in ROLES}
        await asyncio.sleep(1.0)  # until they have dialled
        setting.backends[0].ill = True
        for number in range(12):
            await setting.get(f"/users/{number}?secret=1")
        for number in range(25):
            await setting.get(f"/users/{number}", "another key that is none")
        ours = {"v", "id", "ts", "seq", "epoch"}
        asked = await _event(subscribers["router"], "auth-request")
        assert asked.keys() == {"request_id", "path", "credential"} | ours
        logged = await _event(subscribers["auth"], "access-log")
        assert logged.keys() == {"request_id", "client", "decision", "latency_ms"} | ours
        assert (logged["client"], logged["decision"]) == ("acme-corp", "allow")
        feedback = await _event(subscribers["monitor"], "health-feedback")
        assert feedback.keys() == {"service", "instance", "status", "error_rate"} | ours
        assert (feedback["service"], feedback["status"]) == ("users", "failing")
        said = await _event(subscribers["discovery"], "service-registry")
        assert said.keys() == {"service", "instances"} | ours
        assert said["service"] == "users"
        assert {each["health"] for each in said["instances"]} <= {"passing", "critical"}
        alert = await _event(subscribers["monitor"], "api-alert")
        assert (alert["alert"], alert["state"], alert["v"]) == ("refusals", "firing", 1)
        for subscriber in subscribers.values():
            subscriber.kill()
            await subscriber.wait()
        written = [path for root in (world.directory, tmp_path) for path in root.rglob("*") if path.is_file()]
        planted = [path for path in written if KEY.encode() in path.read_bytes()]
        assert planted == [setting.gateway.directory / "auth.yaml"]


async def test_pilotctl_changes_the_routes_of_the_gateway(world: World, tmp_path: Path) -> None:
    """Within a second; explain names the source; without the agent the set stays, stale; an empty one is held back."""
    async with setting_of(world, tmp_path, "stale_after: 3s, ") as setting:
        await setting.serve("router")
        discovery = setting.nodes["discovery"]
        await discovery.publish("acme-router", "service-registry", SEED)
        has = "10.0.1.5:8080"
        shown = await setting.shows("/services/user-api", lambda service: has in json.dumps(service), within=1.0)
        assert shown["source"] == "the agent acme-discovery"
        answer = await setting.admin("/explain?url=/api/x")
        assert (answer["source"], answer["endpoints"]) == ("the agent acme-discovery", [has])
        await discovery.publish("acme-router", "service-registry", '{"service":"user-api","instances":[]}')
        await setting.shows("/health", lambda health: "has no instances any more" in json.dumps(health["failing"]))
        discovery.kill()
        stale = await setting.shows("/services/user-api", lambda service: service["stale"])
        assert [each["endpoint"] for each in stale["endpoints"]] == [has]


async def test_feedback_over_the_network_ejects_a_backend(world: World, tmp_path: Path) -> None:
    """Named by explain; it comes back by a word of the monitor; the last endpoint that must be left stays in."""
    async with setting_of(world, tmp_path) as setting:
        await setting.serve("discovery", "monitor")
        setting.backends[0].ill = True
        for _ in range(20):
            for number in range(12):
                await setting.get(f"/users/{number}")
            if "acme-monitor says failing" in json.dumps(await setting.admin("/services/users")):
                break
            await asyncio.sleep(0.5)
        answer = await setting.admin("/explain?url=/users/1")
        assert "acme-monitor says failing" in json.dumps(answer)
        setting.bridges["monitor"].terminate()
        setting.bridges.pop("monitor").wait(20)
        setting.backends[0].ill = False
        monitor = setting.nodes["monitor"]
        for status, left in (("recovered", 2), ("failing", 1)):
            vote = {"service": "users", "instance": f"127.0.0.1:{setting.ports[0]}", "status": status}
            await monitor.publish("acme-discovery", "health-feedback", json.dumps(vote))
            await setting.shows("/services/users", lambda service, left=left: service["in"] == left)
        vote = {"service": "users", "instance": f"127.0.0.1:{setting.ports[1]}", "status": "failing"}
        await monitor.publish("acme-discovery", "health-feedback", json.dumps(vote))
        refused = "gateway_agents_feedback_refused_total 1.0"
        for _ in range(200):
            if refused in (await setting.client.get(admin_url(setting.gateway, "/metrics"))).text:
                break
            await asyncio.sleep(0.05)
        assert (await setting.admin("/services/users"))["in"] == 1
        assert await setting.get("/users/1") == 200


async def test_feedback_by_inbox(world: World, tmp_path: Path) -> None:
    """Acknowledged, signed, and to the same effect."""
    async with setting_of(world, tmp_path, "delivery: {health-feedback: inbox}, ") as setting:
        await setting.serve("discovery", "monitor")
        setting.backends[1].ill = True
        for _ in range(20):
            for number in range(12):
                await setting.get(f"/users/{number}")
            if "acme-monitor says failing" in json.dumps(await setting.admin("/services/users")):
                break
            await asyncio.sleep(1.0)
        assert (await setting.admin("/services/users"))["in"] == 1
        agents = await setting.admin("/agents")
        assert agents["acme-discovery"]["refused"] == {}


async def test_restarts_in_any_order_heal(world: World, tmp_path: Path) -> None:
    """Rendezvous, daemon and bridge die, and are started again; a recorded message that comes again is no news."""
    async with setting_of(world, tmp_path) as setting:
        await setting.serve("router", "auth")
        router = setting.nodes["router"]

        async def flows(number: int) -> None:
            """A service comes in, and is used."""
            instances = [{"host": "10.0.1.5", "port": 8000 + number, "health": "passing"}]
            said = json.dumps({"service": "user-api", "instances": instances, "epoch": 1, "seq": number})
            has = f"10.0.1.5:{8000 + number}"
            for _ in range(20):
                with contextlib.suppress(Exception):
                    await setting.nodes["discovery"].publish("acme-router", "service-registry", said)
                with contextlib.suppress(AssertionError):
                    await setting.shows("/services/user-api", lambda shown: has in json.dumps(shown), within=2.0)
                    return
            raise AssertionError(f"message {number} does not arrive")

        await flows(1)
        router.kill()
        await router.start()
        await flows(2)
        world.kill_rendezvous()
        await world.start_rendezvous()
        await flows(3)
        setting.bridges["router"].kill()
        setting.bridges["router"].wait()
        await setting.serve("router")
        await flows(4)
        old = {"service": "user-api", "instances": [{"host": "10.0.1.5", "port": 8001}], "epoch": 1, "seq": 1}
        await setting.nodes["discovery"].publish("acme-router", "service-registry", json.dumps(old))
        await asyncio.sleep(1.0)
        assert "10.0.1.5:8004" in json.dumps(await setting.admin("/services/user-api"))


async def test_the_commands_on_real_daemons(world: World, tmp_path: Path) -> None:
    """Handshakes by command, of two sides; verify says what is missing, and repin takes another key."""
    nodes = {role: await world.join(f"acme-{role}", "-no-eventstream") for role in ("router", "auth", "discovery")}
    (tmp_path / "middleware.yaml").write_text(
        f'agents: {{prefix: acme, socket: "{world.directory}/acme-{{role}}/pilot.sock"}}'
    )

    async def run(*arguments: str, text: str = "") -> tuple[int, str]:
        command = [sys.executable, "-m", "gateway.cli", "agents", *arguments, "--config", str(tmp_path)]
        done = await asyncio.to_thread(
            subprocess.run, command, input=text, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr

    code, printed = await run("verify", "--role", "router")
    assert (code, "there is no trust" in printed) == (1, True), printed
    code, printed = await run("handshake", "--role", "router", "--wait", "2")
    assert (code, printed.count("asked")) == (1, 2)
    key = (await nodes["router"].ctl("info")).get("public_key", "")
    code, printed = await run("handshake", "--role", "auth", "--wait", "4", "--yes")
    assert "its key was not confirmed" in printed
    code, printed = await run("handshake", "--role", "auth", "--wait", "8", text="y\n")
    assert f"Is its key {key}" in printed
    assert "acme-router: trusted" in printed
    code, printed = await run("handshake", "--role", "discovery", "--wait", "8", text="y\n")
    assert "acme-router: trusted" in printed
    code, printed = await run("verify", "--role", "router")
    assert code == 0, printed
    pins = json.loads((tmp_path / "state" / "agents" / "pins.json").read_text())
    assert pins.keys() == {"acme-router"}
    code, printed = await run("repin", "acme-auth", "--role", "router", "--key", "A" * 43 + "=")
    assert (code, "and not that one" in printed) == (1, True)
    code, printed = await run("repin", "acme-auth", "--role", "router", text="y\n")
    assert (code, "acme-auth is believed with the key" in printed) == (0, True)
