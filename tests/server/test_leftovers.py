"""What a request that fails leaves in memory: nothing that would stay until garbage is collected."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import httpx2
import pytest

from tests.server.backend import Backend
from tests.server.client import connected
from tests.support import GatewayProcess, eventually, running_gateway

ROUTES = """
- {{id: leftovers, path: /leftovers, target: "127.0.0.1:{port}"}}
- {{id: plain, path: /plain/*, target: "127.0.0.1:{port}", max_body: 300KB, timeout: {{response_header: 1s}}}}
- {{id: patient, path: /patient/*, target: "127.0.0.1:{port}", mirror: {{target: "127.0.0.1:9"}}, cache: {{}}}}
- {{id: down, path: /down/*, target: "127.0.0.1:9", retry: {{attempts: 3}}, breaker: {{minimum: 1, window: 10s}}}}
- {{id: fallback, path: /fallback/*, target: "127.0.0.1:9", fallback: {{status: 503}}}}
- {{id: raises, path: /raises/*, target: "127.0.0.1:{port}"}}
- {{id: shadow, path: /shadow/*, target: "127.0.0.1:{port}"}}
- {{id: around, path: /around/*, target: "127.0.0.1:{port}"}}
- {{id: around-down, path: /around-down/*, target: "127.0.0.1:9"}}
- {{id: app, path: /app/*, target: "asgi:tests.server.failing:app"}}
- {{id: mcp, path: /mcp, auth: [], target: mcp.down}}
- {{id: around-mcp, path: /around-mcp, auth: [], target: mcp.down, rewrite: "/mcp"}}
- {{id: mcp-hangs, path: /mcp-hangs, auth: [], target: mcp.hangs}}
- {{id: mcp-several, path: /mcp-several, auth: [], target: mcp.several}}
- {{id: models, path: /v1/*, auth: [], target: models}}
- {{id: around-models, path: /around-models/*, auth: [], target: models, rewrite: "/$1"}}
"""
POLICIES = """
policies:
  leftovers: {class: "tests.server.failing:Leftovers", routes: [leftovers]}
  raises: {class: "tests.server.failing:Raises", routes: [raises]}
  shadow: {class: "tests.server.failing:Raises", routes: [shadow], mode: shadow}
  around: {class: "tests.server.failing:Around", routes: [around*]}
"""
MODELS = """
providers:
  one: {{protocol: openai, base_url: "http://127.0.0.1:9/v1", keys: [key], models: [down]}}
  two: {{protocol: openai, base_url: "http://127.0.0.1:9/v1", keys: [key], models: [down]}}
  hangs: {{protocol: openai, base_url: "http://127.0.0.1:{port}/e/hang/", keys: [key], models: [hangs]}}
  cut: {{protocol: openai, base_url: "http://127.0.0.1:{port}/e/cut/length/", keys: [key], models: [cut]}}
mcp:
  down: {{path: /mcp, servers: [{{name: a, url: "http://127.0.0.1:9/mcp", allow: ["*"]}}]}}
  hangs: {{path: /mcp-hangs, servers: [{{name: a, url: "http://127.0.0.1:{port}/e/hang/", allow: ["*"]}}]}}
  several:
    path: /mcp-several
    secret: 0123456789abcdef
    servers:
    - {{name: a, url: "http://127.0.0.1:9/mcp", allow: ["*"]}}
    - {{name: b, url: "http://127.0.0.1:9/mcp", allow: ["*"]}}
"""

LARGE = "x" * 200_000
LINES = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t", "arguments": {"a": LARGE}}}
BEGIN = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18", "a": LARGE}}


def chat(model: str, **more: Any) -> str:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": LARGE}], **more})


ANSWERED = [
    ("/nothing", LARGE),
    ("/plain/echo", LARGE + LARGE),
    ("/plain/hang", LARGE),
    ("/plain/cut/length", LARGE),
    ("/plain/cut/chunked", LARGE),
    ("/patient/cut/length", ""),
    ("/patient/cut/chunked", LARGE),
    ("/patient/echo", "to the mirror"),
    ("/down/x", LARGE),
    ("/down/x", ""),
    ("/fallback/x", LARGE),
    *(
        (f"/{route}/echo?{how}", LARGE)
        for route in ("raises", "shadow")
        for how in ("own", "refusal", "behind", "group")
    ),
    ("/raises/echo?cancelled", LARGE),
    *((f"/around-down/echo?{how}", LARGE) for how in ("other", "instead", "task", "copy", "")),
    ("/around/cut/length?half", LARGE),
    ("/around/cut/chunked?half", LARGE),
    ("/app/x?before", LARGE),
    ("/app/x?after", LARGE),
    ("/mcp", json.dumps(CALL)),
    ("/mcp", json.dumps([CALL, CALL])),
    ("/mcp", LARGE),
    ("/mcp", ""),
    ("/around-mcp?copy", json.dumps(CALL)),
    ("/mcp-several", json.dumps(BEGIN)),
    ("/mcp-several", json.dumps(CALL)),
    *(
        (f"{base}/v1/chat/completions?copy", chat(model))
        for base in ("", "/around-models")
        for model in ("down", "cut", "no")
    ),
    ("/v1/chat/completions", chat("cut", stream=True)),
    ("/v1/chat/completions", LARGE),
]
LEFT = [
    ("/patient/hang", LARGE),
    ("/patient/hang", ""),
    ("/patient/events", LARGE),
    ("/patient/whole/300000000", ""),
    ("/around/hang?task", LARGE),
    ("/around/hang?instead", LARGE),
    ("/app/x", LARGE),
    ("/mcp-hangs", json.dumps(CALL)),
    ("/v1/chat/completions", chat("hangs")),
    ("/around-models/v1/chat/completions?copy", chat("hangs")),
]
HALF = [
    "/plain/echo",
    "/patient/echo",
    "/raises/echo",
    "/shadow/echo",
    "/around/echo?read",
    "/app/x",
    "/mcp",
    "/v1/chat/completions",
]
WEBSOCKETS = [
    "/plain/echo",
    "/down/x",
    "/patient/hang",
    "/raises/echo?own",
    "/around-down/x?instead",
    "/app/x",
    "/mcp",
    "/v1/realtime?model=down",
]


def names(cases: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{number}:{path}" for number, (path, _) in enumerate(cases)]


@pytest.fixture(scope="module")
def gateway(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    directory = tmp_path_factory.mktemp("leftovers")
    (directory / "config").mkdir()
    (directory / "config" / "models.yaml").write_text(MODELS.format(port=backend.port))
    with running_gateway(directory, ROUTES.format(port=backend.port), POLICIES) as gateway:
        yield gateway


async def left_by(gateway: GatewayProcess, sent: AsyncIterator[None]) -> list[str]:
    """What is left of a request once it is over, as the access log says."""
    await leftovers(gateway)  # of what was there before
    before = over(gateway)
    async for _ in sent:
        pass
    await eventually(lambda: over(gateway) > before)
    return await leftovers(gateway)


def over(gateway: GatewayProcess) -> int:
    """How many requests are over, beside those for what is left."""
    return sum('"/leftovers"' not in line for line in gateway.access_log.splitlines())


async def leftovers(gateway: GatewayProcess) -> list[str]:
    """Garbage that has not been collected yet."""
    async with httpx2.AsyncClient() as client:
        found: list[str] = (await client.get(f"{gateway.url}/leftovers", timeout=60)).json()
        return found


async def asked(gateway: GatewayProcess, path: str, body: str, seconds: float) -> AsyncIterator[None]:
    """A request whose client leaves after this time."""
    method = "POST" if body else "GET"
    with contextlib.suppress(httpx2.HTTPError):
        async with httpx2.AsyncClient(timeout=seconds) as client:
            await client.request(method, f"{gateway.url}{path}", content=body, headers=LINES)
    yield


async def begun(gateway: GatewayProcess, data: bytes) -> AsyncIterator[None]:
    """The begin of a request whose client leaves when something has come of it, or nothing."""
    async with connected(gateway.port) as client:
        await client.send(data)
        with contextlib.suppress(TimeoutError, asyncio.IncompleteReadError):
            await client.answer(seconds=0.2)
        client.reset()
    yield


@pytest.mark.parametrize(("path", "body"), ANSWERED, ids=names(ANSWERED))
async def test_a_request_that_fails(gateway: GatewayProcess, path: str, body: str) -> None:
    """Whatever refuses a request, or breaks its answer off, its body is freed with it."""
    assert await left_by(gateway, asked(gateway, path, body, 60)) == []


@pytest.mark.parametrize(("path", "body"), LEFT, ids=names(LEFT))
async def test_a_client_that_leaves(gateway: GatewayProcess, path: str, body: str) -> None:
    """A client that does not wait for its answer, or for all of it, leaves nothing behind."""
    assert await left_by(gateway, asked(gateway, path, body, 0.5)) == []


@pytest.mark.parametrize("path", HALF)
async def test_a_client_that_leaves_in_its_body(gateway: GatewayProcess, path: str) -> None:
    """A client that goes away before its body is whole leaves none of it behind."""
    lines = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 250000\r\n\r\n"
    assert await left_by(gateway, begun(gateway, lines.encode() + LARGE.encode())) == []


@pytest.mark.parametrize("path", WEBSOCKETS)
async def test_a_websocket(gateway: GatewayProcess, path: str) -> None:
    """A WebSocket that is refused, or whose client leaves, leaves nothing behind."""
    lines = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    assert await left_by(gateway, begun(gateway, head.encode())) == []
