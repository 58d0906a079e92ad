"""States of services, by what becomes of their requests."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.admin.service_states import ServiceStates
from gateway.balancing.table import BALANCERS
from gateway.deadlines import Deadlines
from gateway.live import Owner
from gateway.monitor.recent_requests import RecentRequests
from gateway.upstream.member import Address, Member
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.transport import Connector, Resolver
from tests.cli.support import gateway as cli
from tests.lifecycle.support import admin_url, get
from tests.support import GatewayProcess, eventually, read_head, running_gateway, scripted_backend, until


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


def test_a_service_whose_name_is_unknown_is_down(tmp_path: Path) -> None:
    """Before anybody has asked it, as the warning at the start says, and with the cause."""
    routes = (
        "services: {named: {endpoints: ['nosuch.invalid:80']}}\n"
        "routes:\n- {path: /named/*, target: named}\n- {path: /inline/*, target: 'other.invalid:80'}\n"
    )
    with running_gateway(tmp_path, routes) as gateway:
        until(lambda: gateway.log.count("does not resolve here") == 2)
        code, said = _status(gateway)
        assert code == 2
        assert "named is down: nosuch.invalid:80: nosuch.invalid does not resolve here: " in said
        assert "other.invalid:80 is down: other.invalid:80: other.invalid does not resolve here: " in said
        assert get(gateway, "/named/1").status_code == 502
        named = _service(gateway, "named")
    assert named["state"] == "down"
    assert named["endpoints"][0]["failing"].startswith("nosuch.invalid does not resolve here: ")


async def test_a_name_that_resolves_by_now_is_not_down() -> None:
    """Also where no request came since."""
    resolver, owner = Resolver({}), Owner()
    connector = Connector(Deadlines(asyncio.get_running_loop()), resolver)
    members = [Member(Address(host, 1)) for host in ("localhost", "nosuch.invalid")]
    settings, plan = Settings(BALANCERS["round_robin"]), owner.plan()
    for member in members:
        host = member.address.host
        plan.need(host, partial(Upstream, host, connector, settings, [member]), ("routes.yaml", ()))
        resolver.missed(host, f"{host} does not resolve here: try again later")
    await owner.adopt(plan)
    states = await ServiceStates(owner, RecentRequests()).now()
    assert {upstream.name: each.state for upstream, each in states.items()} == {
        "localhost": "up",
        "nosuch.invalid": "down",
    }
    await owner.stop()


async def test_a_name_that_a_request_has_found_is_known() -> None:
    """As is one that no request finds; what was found once is not taken for unknown."""
    resolver = Resolver({})
    with pytest.raises(OSError, match="Name or service"):
        await resolver.addresses("nosuch.invalid")
    assert [*resolver.unresolved] == ["nosuch.invalid"]
    resolver.missed("localhost", "localhost does not resolve here: try again later")
    await resolver.addresses("localhost")
    resolver.missed("localhost", "localhost does not resolve here: try again later")
    assert [*resolver.unresolved] == ["nosuch.invalid"]
