"""What `gateway status` says that fails, and how long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from gateway.admin.failing_backends import Configured, failing_backends
from gateway.http import Decision, Exchange, Identity, Outcome
from gateway.monitor.recent_requests import RecentRequests
from tests.auth.support import key_hash
from tests.cli.support import gateway as cli
from tests.lifecycle.support import backend, get, health, reload
from tests.support import eventually, free_port, read_head, running_gateway, scripted_backend

KEY = "gw_a-key-that-is-long-enough-to-be-one"
AUTH = f"schemes: {{keys: {{api_key: }}}}\nconsumers: [{{name: app, keys: ['{key_hash(KEY)}']}}]\ndefault: keys\n"
MODELS = "providers: {one: {protocol: openai, base_url: 'http://127.0.0.1:%d/v1', keys: [%s], models: [small]}}\n"


def test_a_reload_that_removes_what_failed_ends_that(tmp_path: Path) -> None:
    """A target, an address of a service: nothing is said of it any more; what stays is named."""
    ports = [free_port() for _ in range(4)]
    before = (
        f"services: {{kept: {{endpoints: ['127.0.0.1:{ports[0]}']}}, moved: {{endpoints: ['127.0.0.1:{ports[1]}']}}}}\n"
        "routes:\n- {path: /kept, target: kept}\n- {path: /moved, target: moved}\n"
        f"- {{path: /inline, target: '127.0.0.1:{ports[2]}'}}\n"
    )
    with running_gateway(tmp_path, before) as gateway:
        for path in ("/kept", "/moved", "/inline"):
            assert get(gateway, path).status_code == 502
        assert len(health(gateway)["failing"]) == 3
        after = before.replace(f":{ports[1]}'", f":{ports[3]}'").replace(f":{ports[2]}'", f":{ports[3]}'")
        gateway.write(routes=after)
        assert reload(gateway).is_success
        (failing,) = health(gateway)["failing"]
    assert failing.startswith("kept, ")


def test_maintenance_is_said_and_is_no_problem(tmp_path: Path) -> None:
    """In /health and by `gateway status`: of how many routes, and that some clients are served."""
    routes = "".join(f"- {{path: /{name}, id: {name}, target: 'asgi:tests.lifecycle.apps:one'}}\n" for name in "abc")
    on = "maintenance: {enabled: true, exempt_routes: [c], exempt_networks: [192.0.2.0/24]}\n"
    with running_gateway(tmp_path, f"routes:\n{routes}", on) as gateway:
        said = health(gateway)["maintenance"]
        status = cli("status", "--admin", f"127.0.0.1:{gateway.admin_port}")
        assert said.startswith("2 of 3 routes answer 503, as maintenance is on in middleware.yaml; clients of exempt_")
        assert (f"maintenance: {said}" in status.stdout, status.returncode) == (True, 0)
        gateway.write(routes=f"routes:\n{routes}", middleware="")
        assert reload(gateway).is_success
        assert health(gateway)["maintenance"] is None


async def test_a_full_pool_of_connections_is_named(tmp_path: Path) -> None:
    """With the route and the limit, also while other requests of the route are served."""
    async with backend() as answering, httpx2.AsyncClient(timeout=60) as client:
        routes = (
            "services: {few: {endpoints: ['127.0.0.1:%d'], connections: {max: 1, pending: 0}}}\n"
            "routes: [{path: /slow, id: slow, target: few}]\n"
        )
        with running_gateway(tmp_path, routes % answering.port) as gateway:
            first = asyncio.create_task(client.get(f"{gateway.url}/slow"))
            await eventually(lambda: answering.slow == 1)
            for _ in range(2):
                assert (await client.get(f"{gateway.url}/slow")).status_code == 503
            answering.release.set()
            assert (await first).status_code == 200
            (failing,) = (await asyncio.to_thread(health, gateway))["failing"]
    assert failing.startswith("route slow: 2 requests refused of the last ones, ")
    allowed = "as many as connections.max and connections.pending allow; "
    assert f"has 1 connection and 0 requests waiting for one, {allowed}" in failing
    assert "raise that" in failing


async def _with_a_key(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A provider that takes one key only."""
    while head := await read_head(reader):
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
        body, status = (b'{"choices":[]}', b"200 OK") if b"sk-right" in head else (b"{}", b"401 No")
        line = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        writer.write(line % (status, len(body)) + body)


async def test_another_key_of_a_provider_ends_that_the_former_is_refused(tmp_path: Path) -> None:
    """With the reload that brings it: nothing is sent with the former one any more."""
    chat = {"model": "small", "messages": [{"role": "user", "content": "Say hi"}]}
    headers = {"authorization": f"Bearer {KEY}"}
    async with scripted_backend(_with_a_key) as port:
        routes = "routes: [{path: /a, target: 'asgi:tests.lifecycle.apps:one'}]\n"
        (tmp_path / "config").mkdir()
        models = tmp_path / "config" / "models.yaml"
        models.write_text(MODELS % (port, "sk-wrong"))
        with running_gateway(tmp_path, routes, auth=AUTH) as gateway:
            async with httpx2.AsyncClient(timeout=60, headers=headers) as client:
                url = f"{gateway.url}/v1/chat/completions"
                assert (await client.post(url, json=chat)).status_code == 502
                said = await asyncio.to_thread(health, gateway)
                assert "refuses its key" in str(said["failing"])
                models.write_text(MODELS % (port, "sk-right"))
                assert (await asyncio.to_thread(reload, gateway)).is_success
                assert (await asyncio.to_thread(health, gateway))["failing"] == []
                assert (await client.post(url, json=chat)).status_code == 200
                assert (await asyncio.to_thread(health, gateway))["failing"] == []


@pytest.mark.parametrize(("then", "loaded_at"), [(True, 0.0), (False, 150.0)])
def test_a_credential_that_is_accepted_ends_that_one_has_expired(
    monkeypatch: pytest.MonkeyPatch, then: bool, loaded_at: float
) -> None:
    """As does a reload, which may have replaced it."""
    monkeypatch.setattr("time.time", lambda: 160.0)
    recent = RecentRequests()
    exchange = Exchange("id", "GET", "/", b"", [], {}, "http", "", "10.0.0.1", False, "10.0.0.1")
    exchange.claimed_consumer = "app"
    exchange.decisions = (Decision("authentication:keys", "deny", "the API key has expired"),)
    recent.report(exchange, Outcome(140.0, 0.0, 401))
    (said,) = failing_backends(recent, Configured([], 0.0))
    assert said.startswith("consumer app, 20 s ago: the API key has expired")
    if then:
        exchange = Exchange("id", "GET", "/", b"", [], {}, "http", "", "10.0.0.1", False, "10.0.0.1")
        exchange.identity = Identity("app", "keys")
        recent.report(exchange, Outcome(145.0, 0.0, 200))
    assert list(failing_backends(recent, Configured([], loaded_at))) == []
