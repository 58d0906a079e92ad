"""Bodies that are read whole before they are sent on: a bound on all of them together."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.server.backend import Backend
from tests.server.client import Answer, connected
from tests.support import GatewayProcess, eventually, running_gateway

ROUTES = """
- {id: models, path: /v1/*, auth: [], target: models}
- {id: mcp, path: /mcp, auth: [], target: mcp}
"""
LIMITS = "limits: {bodies_in_memory: 1MiB}\n"
MODELS = """
providers:
  hangs: {{protocol: openai, base_url: "http://127.0.0.1:{port}/e/hang/", keys: [key], models: [hangs]}}
  down: {{protocol: openai, base_url: "http://127.0.0.1:9/v1", keys: [key], models: [down]}}
mcp:
  hangs: {{servers: [{{name: a, url: "http://127.0.0.1:{port}/e/hang/", allow: ["*"]}}]}}
"""
CHAT, MCP, SPEECH = "/v1/chat/completions", "/mcp", "/v1/audio/transcriptions"
TEXT = "x" * 200_000  # which is held three times


def chat(model: str, text: str = TEXT) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()


CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t", "arguments": {"a": TEXT}}}
FORM = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + TEXT.encode()
WHOLE = {CHAT: chat("hangs"), MCP: json.dumps(CALL).encode()}


@pytest.fixture
def gateway(backend: Backend, tmp_path: Path) -> Iterator[GatewayProcess]:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "models.yaml").write_text(MODELS.format(port=backend.port))
    with running_gateway(tmp_path, ROUTES, LIMITS) as gateway:
        yield gateway


def head(path: str, length: int, *lines: str) -> bytes:
    kind = "multipart/form-data; boundary=B" if path == SPEECH else "application/json"
    more = "".join(f"{line}\r\n" for line in lines)
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n{more}Content-Length: {length}\r\n\r\n".encode()


async def answer(gateway: GatewayProcess, path: str, body: bytes, *lines: str) -> Answer:
    async with connected(gateway.port) as client:
        await client.send(head(path, len(body), *lines) + body)
        return await client.answer()


@asynccontextmanager
async def held(
    gateway: GatewayProcess, path: str, body: bytes, *, times: int = 1, rest: int = 0
) -> AsyncIterator[None]:
    """Requests that are under way; `rest`: bytes of each that have not come."""
    async with AsyncExitStack() as opened:
        for _ in range(times):
            client = await opened.enter_async_context(connected(gateway.port))
            await client.send(head(path, len(body) + rest) + body)
        await taken(gateway, lambda size: size >= times * len(body))
        yield


def metrics(gateway: GatewayProcess) -> str:
    return httpx2.get(f"http://127.0.0.1:{gateway.admin_port}/metrics").text


async def taken(gateway: GatewayProcess, fits: Callable[[float], bool]) -> None:
    """Wait until what bodies take is so much, as a metric says."""

    def size() -> float:
        (line,) = (line for line in metrics(gateway).splitlines() if line.startswith("gateway_held_bodies_bytes "))
        return float(line.split()[1])

    await eventually(lambda: fits(size()))


@pytest.mark.parametrize("other", WHOLE)
@pytest.mark.parametrize("path", WHOLE)
async def test_requests_that_wait_for_their_answers(gateway: GatewayProcess, path: str, other: str) -> None:
    """Where they have taken all that bodies may take, another one is told to come later, whatever it is for, and is
    taken once they are gone."""
    async with held(gateway, path, WHOLE[path]):
        refused = await answer(gateway, other, WHOLE[other])
        assert (refused.status, refused.headers[b"retry-after"]) == (503, b"5")
        small = await answer(gateway, CHAT, chat("down", "hi"))
        assert small.status == 502
    await taken(gateway, lambda size: size == 0)
    assert (await answer(gateway, CHAT, chat("down"))).status == 502
    await taken(gateway, lambda size: size == 0)


@pytest.mark.parametrize(("path", "body"), [(CHAT, TEXT.encode()), (MCP, TEXT.encode()), (SPEECH, FORM)])
async def test_bodies_that_do_not_end(gateway: GatewayProcess, path: str, body: bytes) -> None:
    """What has come of them counts, until their clients have left."""
    async with held(gateway, path, body, times=4, rest=1000):
        refused = await answer(gateway, CHAT, chat("down"))
        assert refused.status == 503
    await taken(gateway, lambda size: size == 0)
    assert (await answer(gateway, CHAT, chat("down"))).status == 502


async def test_operators_see_it(gateway: GatewayProcess) -> None:
    """The log, the state and a metric name the setting; clients read that they may try again."""
    async with held(gateway, CHAT, chat("hangs")):
        refused = [await answer(gateway, CHAT, chat("down")) for _ in range(3)]
    error = json.loads(refused[0].body)["error"]
    assert error["code"] == "overloaded"
    assert "try again in a moment" in error["message"]
    lines = [line for line in gateway.log.splitlines() if "limits.bodies_in_memory" in line]
    assert len(lines) == 1
    assert "of the 1 MiB" in lines[0]
    said = httpx2.get(f"http://127.0.0.1:{gateway.admin_port}/health").text
    assert "limits.bodies_in_memory" in said
    numbers = metrics(gateway)
    assert "gateway_held_bodies_refused_total 3.0" in numbers
    assert "gateway_held_bodies_limit_bytes 1048576.0" in numbers


@pytest.mark.parametrize("path", WHOLE)
async def test_one_that_never_fits(gateway: GatewayProcess, path: str) -> None:
    """A body that is more than all together may take is refused as too large: to send it again is no use."""
    assert (await answer(gateway, path, WHOLE[path] + b" " * 300_000)).status == 413


@pytest.mark.parametrize(("path", "plain"), [(CHAT, chat("down", "x" * 2**21)), (MCP, b" " * 2**21)])
async def test_bodies_made_to_be_large(gateway: GatewayProcess, path: str, plain: bytes) -> None:
    """Of a body that is over a MiB and over 100 times larger than it is compressed, no more is decompressed."""
    refused = await answer(gateway, path, gzip.compress(plain), "Content-Encoding: gzip")
    assert refused.status == 413
    assert b"more than 100 times larger" in refused.body


async def test_compressed_bodies_count_as_they_are_decompressed(gateway: GatewayProcess) -> None:
    """A small body on the wire that is a large one is held as such."""
    body = gzip.compress(chat("hangs", "x" * 300_000))
    async with connected(gateway.port) as client:
        await client.send(head(CHAT, len(body), "Content-Encoding: gzip") + body)
        await taken(gateway, lambda size: size > 900_000)
        assert (await answer(gateway, CHAT, chat("down"))).status == 503


async def test_another_bound(gateway: GatewayProcess) -> None:
    """It is changed by a reload, and what is held already counts."""
    async with held(gateway, CHAT, chat("hangs")):
        assert (await answer(gateway, CHAT, chat("down"))).status == 503
        gateway.write(middleware="limits: {bodies_in_memory: 4MiB}\n")
        await taken(gateway, lambda _: "_limit_bytes 4194304.0" in metrics(gateway))
        assert (await answer(gateway, CHAT, chat("down"))).status == 502
