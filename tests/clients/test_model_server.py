"""A real model behind the server of llama.cpp: what the SDKs get through the gateway, and what it cost."""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clients.calls import FUNCTION, TOOL, Call
from tests.clients.conftest import PROGRAMS
from tests.clients.support import MODELS, Sdks, comparable
from tests.clients.world import KEY, World, world

pytestmark = [pytest.mark.models, pytest.mark.timeout(240)]

CONFIGURATION = """
providers:
  messages: {protocol: anthropic, base_url: "<server>", keys: [b], models: [smollm2]}
  chat: {protocol: openai, base_url: "<server>/v1", keys: [a], models: [smollm2]}
"""
TRANSLATED = """
providers:
  chat: {protocol: openai, base_url: "<server>/v1", keys: [a], models: [smollm2], translate: [messages]}
"""
SAID: Mapping[str, Any] = {"model": "smollm2", "messages": [{"role": "user", "content": "Say hi"}]}
ASKED: Mapping[str, Any] = {**SAID, "max_tokens": 12}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
INPUT: Mapping[str, Any] = {"model": "smollm2", "input": "Say hi", "max_output_tokens": 12}
# The SDK of JavaScript has another name for count_tokens, and is compared with the demo provider.
CALLS: Mapping[str, Call] = {
    "chat": Call("openai", "chat.completions.create", ASKED),
    "chat, streamed": Call("openai", "chat.completions.create", {**ASKED, **USAGE}),
    "chat with tools": Call("openai", "chat.completions.create", {**ASKED, "tools": [FUNCTION]}),
    "responses": Call("openai", "responses.create", INPUT),
    "responses, streamed": Call("openai", "responses.create", {**INPUT, "stream": True}),
    "messages": Call("anthropic", "messages.create", ASKED),
    "messages, streamed": Call("anthropic", "messages.create", {**ASKED, "stream": True}),
    "messages with tools": Call("anthropic", "messages.create", {**ASKED, "tools": [TOOL]}),
    "count_tokens": Call("anthropic", "messages.count_tokens", SAID),
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of the server."""
    command = [str(MODELS / "bin" / "python"), str(PROGRAMS / "model_server.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()
        process.kill()


@pytest.fixture
def gateway(tmp_path: Path, server: str) -> Iterator[World]:
    with world(tmp_path, CONFIGURATION.replace("<server>", server)) as made:
        yield made


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("language", ["python", "node"])
def test_answers_as_the_server_does(
    gateway: World, server: str, languages: Mapping[str, Sdks], language: str, name: str
) -> None:
    """What the SDK makes of it is what it makes of the server's own answer."""
    if (language, name) == ("node", "count_tokens"):
        pytest.skip("it has another name there")
    sdks = languages[language]
    through, direct = sdks.make(CALLS[name], gateway.url, key=KEY), sdks.make(CALLS[name], server)
    assert comparable(through.whole) == comparable(direct.whole)


def measured(server: str) -> tuple[int, int]:
    """How many tokens the server has read and written, as its metrics say."""
    text = httpx2.get(f"{server}/metrics", trust_env=False).text
    return tuple(
        int(float(found[1]))
        for name in ("prompt_tokens_total", "tokens_predicted_total")
        if (found := re.search(rf"^llamacpp:{name} (\S+)$", text, re.MULTILINE))
    )  # type: ignore[return-value]


async def counted(gateway: World) -> tuple[int, int]:
    """The same, as the gateway counted them."""
    async with httpx2.AsyncClient(trust_env=False, headers=gateway.gateway.admin_token) as client:
        answer = await client.get(f"http://127.0.0.1:{gateway.gateway.admin_port}/models/usage")
    rows = answer.json()["usage"]
    return sum(row["input_tokens"] for row in rows), sum(row["output_tokens"] for row in rows)


async def test_counts_what_the_server_measures(gateway: World, server: str) -> None:
    """Forty answers, whole and streamed, in three protocols: the sum is that of the server's own metrics."""
    draw, room = random.Random(3), asyncio.Semaphore(2)
    paths = {"/v1/chat/completions": SAID, "/v1/messages": SAID, "/v1/responses": {"model": "smollm2", "input": "Hi"}}
    before = measured(server)

    async def ask(client: httpx2.AsyncClient) -> None:
        path = draw.choice(list(paths))
        limit = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
        body = {**paths[path], limit: draw.randrange(1, 12), "stream": draw.random() < 0.7}
        async with room:
            (await client.post(path, json=body)).raise_for_status()

    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, trust_env=False, timeout=60) as client:
        await asyncio.gather(*(ask(client) for _ in range(40)))
    after = measured(server)
    assert await counted(gateway) == (after[0] - before[0], after[1] - before[1])


def test_speaks_another_protocol_with_it(tmp_path: Path, server: str, python_sdks: Sdks) -> None:
    """Translated to chat/completions, the SDK of Anthropic gets the same words as the server's own Messages."""
    with world(tmp_path, TRANSLATED.replace("<server>", server)) as made:
        through = python_sdks.make(CALLS["messages"], made.url, key=KEY).only
    direct = python_sdks.make(CALLS["messages"], server).only
    assert [block["text"] for block in through["content"]] == [block["text"] for block in direct["content"]]
    assert (through["stop_reason"], through["usage"]["output_tokens"]) == ("max_tokens", 12)
