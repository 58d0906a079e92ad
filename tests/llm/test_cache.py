"""Answers that are used again: for whom, of which requests, whole and as streams, and what they cost."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.demo_models import DemoModels, serving
from tests.support import scripted_backend

from .support import Gateway, answering, chat, gateway

MODELS = """
providers: {one: {protocol: openai, base_url: "http://127.0.0.1:%d/v1", keys: [key-of-one]}}
modelRouting: {default: fast, profiles: {fast: {cache: %s}}}
budgets: {all: {key: [profile], limits: [{tokens: 100000, window: day}]}}
prices: {unknown: free}
"""
KEYS = {name: hashlib.sha256(f"key-of-{name}-0123456789".encode()).hexdigest() for name in ("ann", "bob", "eve")}
AUTH = f"""
default: [keys]
schemes: {{keys: {{api_key: {{}}}}}}
consumers:
  - {{name: ann, tenant: acme, keys: ["sha256:{KEYS["ann"]}"]}}
  - {{name: bob, tenant: acme, keys: ["sha256:{KEYS["bob"]}"]}}
  - {{name: eve, tenant: evil, keys: ["sha256:{KEYS["eve"]}"]}}
"""
WORDS = """
import re
from gateway.llm.guardrails import Redact

class Words:
    def on_text(self, text):
        return Redact.matches(re.finditer("Say", text.text))
"""
OPEN = "routes: [{id: models, path: /*, target: models, auth: []}]\n"
CLOSED = "routes: [{id: models, path: /*, target: models}]\n"


@asynccontextmanager
async def caching(cache: str = "{}", *, auth: bool = False) -> AsyncIterator[tuple[Gateway, DemoModels]]:
    provider = DemoModels()
    async with serving(provider) as port:
        routes, callers = (CLOSED, AUTH) if auth else (OPEN, "")
        async with gateway(MODELS % (port, cache), routes=routes, auth=callers) as made:
            yield made, provider


@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_request_is_answered_again_at_no_cost(stream: bool) -> None:
    """Byte for byte, as a stream where one is asked for, with a header that says so."""
    async with caching() as (made, provider):
        first = await made.ask("/v1/chat/completions", chat(stream=stream))
        again = await made.ask("/v1/chat/completions", chat(stream=stream))
        assert (first.headers["x-gateway-cache"], again.headers["x-gateway-cache"]) == ("miss", "hit")
        assert (first.exchange.cache, again.exchange.cache) == ("miss", "hit")
        assert again.body == first.body
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["x-gateway-model-backend"] == first.headers["x-gateway-model-backend"]
        assert int(again.headers["age"]) >= 0
        assert len(provider.received) == 1
        assert first.noted.committed_tokens > 0
        assert (again.noted.committed_tokens, again.noted.reserved_tokens, again.noted.cost_micros) == (0, 0, 0)
        assert again.noted.finished
        assert made.snapshot.money is not None
        (used,) = made.snapshot.money.usage.by(["model"]).values()
        assert (used.requests, used.cache_hits, used.output_tokens) == (2, 1, first.noted.output_tokens)


async def test_order_and_spaces_make_no_other_request() -> None:
    """Everything else does."""
    async with caching() as (made, provider):
        await made.ask("/v1/chat/completions", b'{"model":"small","messages":[{"role":"user","content":"a"}]}')
        body = b'{ "messages":[{"content":"a","role":"user"}], "model":"small"}'
        assert (await made.ask("/v1/chat/completions", body)).headers["x-gateway-cache"] == "hit"
        for other in (chat("large"), chat(temperature=1), chat(messages=[{"role": "user", "content": "A"}])):
            assert (await made.ask("/v1/chat/completions", other)).headers["x-gateway-cache"] == "miss"
        assert len(provider.received) == 4


@pytest.mark.parametrize(
    "others",
    [
        {"tools": [{"type": "function", "function": {"name": "x", "parameters": {"type": "object"}}}]},
        {"store": True},
        {"functions": [{"name": "x", "parameters": {"type": "object"}}]},
    ],
)
async def test_what_has_tools_or_is_stored_is_asked_again(others: Mapping[str, Any]) -> None:
    """There is no header either."""
    async with caching() as (made, provider):
        for _ in range(2):
            answered = await made.ask("/v1/chat/completions", chat(**others))
            assert "x-gateway-cache" not in answered.headers
        assert len(provider.received) == 2


async def test_a_response_is_kept_only_where_the_provider_stores_none() -> None:
    """Which it does where the request says nothing of it."""
    async with caching() as (made, provider):
        cases: tuple[tuple[dict[str, Any], int], ...] = (({}, 2), ({"store": True}, 4), ({"store": False}, 5))
        for others, number in cases:
            for _ in range(2):
                await made.ask("/v1/responses", {"model": "small", "input": "hi", **others})
            assert len(provider.received) == number


async def test_a_name_that_is_there_twice_is_not_kept() -> None:
    """It is unknown which one the provider reads."""
    body = b'{"model":"small","messages":[{"role":"user","content":"a"}],"messages":[{"role":"user","content":"b"}]}'
    async with caching() as (made, provider):
        await made.ask("/v1/chat/completions", body)
        await made.ask("/v1/chat/completions", body)
        assert len(provider.received) == 2


@pytest.mark.parametrize(("shared", "hits"), [("consumer", []), ("tenant", ["bob"])])
async def test_no_one_gets_what_another_was_answered(shared: str, hits: list[str]) -> None:
    """Unless those of a tenant share; another tenant never does."""
    async with caching(f"{{shared_by: {shared}}}", auth=True) as (made, _):
        found = []
        for name in ("ann", "bob", "eve", "ann"):
            headers = [("authorization", f"Bearer key-of-{name}-0123456789")]
            answered = await made.ask("/v1/chat/completions", chat(), headers=headers)
            assert answered.status == 200
            found.append((name, answered.headers["x-gateway-cache"]))
        assert [name for name, said in found if said == "hit"] == [*hits, "ann"]


@pytest.mark.parametrize("fault", ["cut-after", "end-after", "error-after", "error-200", "fail-400"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_not_whole_is_not_kept(fault: str, stream: bool) -> None:
    """Neither a part of a stream nor an error."""
    async with caching() as (made, provider):
        provider.fault = fault
        first = await made.ask("/v1/chat/completions", chat(stream=stream))
        provider.fault = ""
        answered = await made.ask("/v1/chat/completions", chat(stream=stream))
        whole = not stream and fault in ("end-after", "error-after") and first.status == 200
        assert whole or answered.headers.get("x-gateway-cache", "miss") == "miss"


async def test_a_stream_whose_client_goes_away_is_not_kept() -> None:
    """It has not come as a whole."""
    async with caching() as (made, provider):
        provider.fault = "slow-20"
        exchange, response = await made.open("/v1/chat/completions", chat(stream=True))
        assert not isinstance(response.body, bytes)
        await response.body.read()
        response.body.close()
        exchange.close()
        provider.fault = ""
        answered = await made.ask("/v1/chat/completions", chat(stream=True))
        assert answered.headers["x-gateway-cache"] == "miss"


async def test_an_answer_ends_with_its_time() -> None:
    """And a client may ask for a fresh one before."""
    async with caching("1s") as (made, provider):
        await made.ask("/v1/chat/completions", chat())
        fresh = [("cache-control", "no-cache")]
        assert (await made.ask("/v1/chat/completions", chat(), headers=fresh)).headers["x-gateway-cache"] == "miss"
        await asyncio.sleep(1.05)
        assert (await made.ask("/v1/chat/completions", chat())).headers["x-gateway-cache"] == "miss"
        assert len(provider.received) == 3


async def test_what_is_too_long_passes_and_is_not_kept() -> None:
    """By `max_size`."""
    async with caching("{max_size: 1KiB}") as (made, provider):
        for _ in range(2):
            await made.ask("/v1/chat/completions", chat("small+words-500", stream=True))
        assert len(provider.received) == 2


@pytest.mark.parametrize("body", [b'{"detail":"try later"}', b'{"choices":[]}', b'{"choices":[{"message"', b"null"])
async def test_what_is_no_answer_is_not_used_again(body: bytes) -> None:
    """Though it comes with 200, as from a proxy that knows no better."""
    async with scripted_backend(answering(body)) as port, gateway(MODELS % (port, "{}")) as made:
        for _ in range(2):
            assert (await made.ask("/v1/chat/completions", chat())).headers["x-gateway-cache"] == "miss"


@pytest.mark.parametrize("usage", [False, True])
async def test_a_whole_answer_is_replayed_as_a_stream(usage: bool) -> None:
    """With the same text, and the usage where that is asked for."""
    async with caching() as (made, provider):
        first = await made.ask("/v1/chat/completions", chat())
        options: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}
        again = await made.ask("/v1/chat/completions", chat(stream=True, **options))
        assert again.headers["x-gateway-cache"] == "hit"
        assert again.headers["content-type"].startswith("text/event-stream")
        assert again.body.endswith(b"data: [DONE]\n\n")
        chunks = [json.loads(line[6:]) for line in again.body.decode().splitlines() if line.startswith("data: {")]
        said = "".join(each["choices"][0]["delta"].get("content", "") for each in chunks if each["choices"])
        assert said == first.json["choices"][0]["message"]["content"]
        assert (chunks[-1].get("usage") == first.json["usage"]) is usage
        assert len(provider.received) == 1


async def test_a_message_is_replayed_as_a_stream() -> None:
    """With the events of that protocol."""
    provider = DemoModels()
    async with serving(provider) as port:
        models = MODELS.replace("openai", "anthropic").replace("/v1", "") % (port, "{}")
        async with gateway(models, routes=OPEN) as made:
            body = {"model": "small", "max_tokens": 99, "messages": [{"role": "user", "content": "Say hi"}]}
            first = await made.ask("/v1/messages", body)
            again = await made.ask("/v1/messages", {**body, "stream": True})
            assert again.headers["x-gateway-cache"] == "hit"
            events = [json.loads(line[6:]) for line in again.body.decode().splitlines() if line.startswith("data: ")]
            assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]
            said = "".join(each["delta"].get("text", "") for each in events if each["type"] == "content_block_delta")
            assert said == first.json["content"][0]["text"]


async def test_a_replayed_answer_has_all_that_the_whole_one_had() -> None:
    """The probabilities of its tokens, and what a server writes beside its text."""
    tokens: dict[str, Any] = {
        "content": [{"token": "hi", "logprob": -0.5, "bytes": None, "top_logprobs": []}],
        "refusal": None,
    }
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    more = {"logprobs": tokens, "content_filter_results": {"hate": {"filtered": False}}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    answer = {"id": "x", "choices": [choice | more], "usage": usage, "citations": ["https://example.com"]}
    async with scripted_backend(answering(json.dumps(answer).encode())) as port, gateway(MODELS % (port, "{}")) as made:
        await made.ask("/v1/chat/completions", chat())
        again = await made.ask("/v1/chat/completions", chat(stream=True))
    assert again.headers["x-gateway-cache"] == "hit"
    chunks = [json.loads(line[6:]) for line in again.body.decode().splitlines() if line.startswith("data: {")]
    assert all(chunk["citations"] == answer["citations"] for chunk in chunks)
    assert chunks[-1]["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"} | more


@pytest.mark.parametrize(("on", "said"), [("stream", "miss"), ("output, stream", "hit")])
async def test_a_stream_is_no_replay_of_what_no_guardrail_has_looked_at(on: str, said: str, tmp_path: Path) -> None:
    """Those of streams see it, or have seen the whole answer."""
    provider = DemoModels()
    async with serving(provider) as port:
        models = MODELS.replace("{cache: %s}", "{cache: {}, guardrails: [words]}") % port
        models += f'guardrails: {{words: {{policy: "guards.py:Words", on: [{on}]}}}}\n'
        async with gateway(models, base=tmp_path, sources={"guards.py": WORDS}) as made:
            await made.ask("/v1/chat/completions", chat())
            streamed = await made.ask("/v1/chat/completions", chat(stream=True))
    assert streamed.headers["x-gateway-cache"] == said
    assert "Say" not in streamed.body.decode()
