"""Tokens of a thousand mixed requests: what the gateway counted is what the providers say that they served."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.demo_models.app import Tally
from tests.clients.world import KEY, World, world

MODELS = """
providers:
  one: {protocol: openai, base_url: "http://<openai>/v1", keys: [a], models: [whole, "small+*"]}
  two: {protocol: anthropic, base_url: "http://<anthropic>", keys: [b], models: [whole, "small+*"]}
  three: {protocol: gemini, base_url: "http://<gemini>", keys: [c], models: [whole, "small+*"]}
"""
QUESTION = "count to a hundred, and say each number " * 50
SAID = [{"role": "user", "content": QUESTION}]
HEADERS = {"authorization": f"Bearer {KEY}"}
SHAPES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": SAID}),
    "chat with usage": ("/v1/chat/completions", {"messages": SAID, "stream_options": {"include_usage": True}}),
    "responses": ("/v1/responses", {"input": QUESTION}),
    "messages": ("/v1/messages", {"messages": SAID, "max_tokens": 4096}),
    "gemini": ("", {"contents": [{"parts": [{"text": QUESTION}]}]}),
}
VARIANTS = ("", "+cached-3", "+think", "+usage-every", "+usage-with-choices", "+split-11", "+split-1")


pytestmark = pytest.mark.timeout(300)  # a thousand requests, also on a busy machine


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, MODELS, "openai", "anthropic", "gemini") as made:
        yield made


def request(shape: str, model: str, *, stream: bool) -> tuple[str, Mapping[str, Any]]:
    """Path and body."""
    path, body = SHAPES[shape]
    if shape == "gemini":
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{method}", body
    more = {"stream": True} if stream else {}
    return path, {"model": model, **{name: body[name] for name in body if stream or name != "stream_options"}, **more}


async def counted(world: World) -> Mapping[str, int]:
    """What the gateway says that all models took."""
    async with httpx2.AsyncClient(trust_env=False, headers=world.gateway.admin_token) as client:
        answer = await client.get(f"http://127.0.0.1:{world.gateway.admin_port}/models/usage")
    rows = answer.json()["usage"]
    names = {"requests": "requests", "input": "input_tokens", "output": "output_tokens"}
    return {name: sum(row[named] for row in rows) for name, named in names.items()}


def served(tallies: list[Tally]) -> Mapping[str, int]:
    """What the providers say."""
    return {name: sum(getattr(each, name) for each in tallies) for name in ("requests", "input", "output")}


async def test_counts_every_token_of_what_is_whole(gateway: World) -> None:
    """700 answers, whole and streamed, in every shape and split anywhere: not one token too many or too few."""
    draw, room = random.Random(7), asyncio.Semaphore(16)

    async def ask(client: httpx2.AsyncClient) -> None:
        model = f"small+words-{draw.randrange(1, 60)}{draw.choice(VARIANTS)}"
        path, body = request(draw.choice(list(SHAPES)), model, stream=draw.random() < 0.8)
        async with room:
            answer = await client.post(path, json=body)
        assert answer.status_code == 200, answer.text

    async with httpx2.AsyncClient(base_url=gateway.url, headers=HEADERS, trust_env=False, timeout=30) as client:
        await asyncio.gather(*(ask(client) for _ in range(700)))
    await all_is_counted(gateway)


async def all_is_counted(gateway: World) -> Mapping[str, int]:
    """What was counted, once it is what the providers say: both note an answer when its last byte is under way."""
    for _ in range(200):
        theirs = served([each.completed for each in gateway.providers.values()])
        if await counted(gateway) == theirs:
            break
        await asyncio.sleep(0.05)
    mine = await counted(gateway)
    assert mine == served([each.completed for each in gateway.providers.values()])
    return mine


async def test_counts_what_came_of_what_is_cancelled(gateway: World) -> None:
    """300 streams that the client leaves in the middle: within 2% of what the providers delivered."""
    draw, room = random.Random(8), asyncio.Semaphore(16)

    async def end(client: httpx2.AsyncClient, shape: str) -> None:
        path, body = request(shape, "small+words-250+slow-2", stream=True)
        async with room:
            (await client.post(path, json=body)).raise_for_status()

    async def leave(client: httpx2.AsyncClient) -> None:
        path, body = request(draw.choice(list(SHAPES)), "small+words-250+slow-2", stream=True)
        after = draw.randrange(50, 200)
        async with room, client.stream("POST", path, json=body) as answer:
            assert answer.status_code == 200
            seen = 0
            async for piece in answer.aiter_raw():
                seen += piece.count(b"data:")
                if seen >= after:
                    break

    async with httpx2.AsyncClient(base_url=gateway.url, headers=HEADERS, trust_env=False, timeout=30) as client:
        await asyncio.gather(*(end(client, shape) for shape in SHAPES for _ in range(10)))  # it learns
        before = await all_is_counted(gateway)
        await asyncio.gather(*(leave(client) for _ in range(300)))
    tallies = [each.unfinished for each in gateway.providers.values()]
    mine: Mapping[str, int] = {}
    for _ in range(200):
        now, theirs = await counted(gateway), served(tallies)
        mine = {name: now[name] - before[name] for name in now}
        if mine["requests"] == theirs["requests"] == 300:
            break
        await asyncio.sleep(0.05)
    theirs = served(tallies)
    assert mine["input"] == pytest.approx(theirs["input"], rel=0.02)
    assert mine["output"] == pytest.approx(theirs["output"], rel=0.02)
