"""The demo model provider over real connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest

from gateway.demo_models import DemoModels, serving
from tests.support import eventually

CHAT = "/v1/chat/completions"
STREAMS = {
    "openai": (CHAT, {"messages": [{"role": "user", "content": "one two three four"}], "stream": True}),
    "responses": ("/v1/responses", {"input": "one two three four", "stream": True}),
    "anthropic": (
        "/v1/messages",
        {"max_tokens": 99, "messages": [{"role": "user", "content": "one two three four"}], "stream": True},
    ),
}
TOOL = {"type": "object", "properties": {"unit": {"enum": ["C", "F"]}, "days": {"type": "integer"}}}


@pytest.fixture
def provider() -> DemoModels:
    return DemoModels()


@pytest.fixture
async def client(provider: DemoModels) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        serving(provider) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client,
    ):
        yield client


async def ask(client: httpx2.AsyncClient, path: str, document: dict[str, Any], model: str = "small") -> Any:
    answer = await client.post(path, json={"model": model, **document})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_answers_in_the_shape_of_each_family(client: httpx2.AsyncClient) -> None:
    """The same question gets the same words, and the same usage, from each API."""
    said = "You said: hello there"
    chat = await ask(client, CHAT, {"messages": [{"role": "user", "content": "hello there"}]})
    assert chat["choices"][0]["message"]["content"] == said
    assert (chat["usage"]["prompt_tokens"], chat["usage"]["completion_tokens"]) == (3, 4)
    whole = await ask(client, "/v1/responses", {"input": "hello there"})
    assert whole["output"][0]["content"][0]["text"] == said
    assert whole["usage"]["output_tokens"] == 4
    message = await ask(client, "/v1/messages", {"messages": [{"role": "user", "content": "hello there"}]})
    assert message["content"] == [{"type": "text", "text": said}]
    assert message["usage"]["output_tokens"] == 4
    contents = {"contents": [{"parts": [{"text": "hello there"}]}]}
    for version in ("v1", "v1beta"):
        generated = await ask(client, f"/{version}/models/small:generateContent", contents)
        assert generated["candidates"][0]["content"]["parts"] == [{"text": said}]
        assert generated["usageMetadata"]["candidatesTokenCount"] == 4


async def test_counts_without_generating(client: httpx2.AsyncClient) -> None:
    """Anthropic's and Gemini's counts are those that an answer would have as its input."""
    counted = await ask(client, "/v1/messages/count_tokens", {"messages": [{"role": "user", "content": "12345678"}]})
    assert counted == {"input_tokens": 2}
    contents = {"contents": [{"parts": [{"text": "12345678"}]}]}
    assert await ask(client, "/v1beta/models/small:countTokens", contents) == {"totalTokens": 2}


async def test_ends_at_the_output_limit(client: httpx2.AsyncClient) -> None:
    """An answer that is longer than the limit is cut off there, and says so."""
    asked = {"messages": [{"role": "user", "content": "one two three"}], "max_tokens": 3}
    chat = await ask(client, CHAT, asked)
    assert chat["choices"][0]["message"]["content"] == "You said: one"
    assert chat["choices"][0]["finish_reason"] == "length"
    assert chat["usage"]["completion_tokens"] == 3
    assert (await ask(client, "/v1/messages", asked))["stop_reason"] == "max_tokens"


async def test_calls_the_tool_that_the_text_names(client: httpx2.AsyncClient) -> None:
    """A tool is called where the last user text names it, with the members that its schema requires."""
    tool = {"type": "function", "function": {"name": "weather", "parameters": {**TOOL, "required": ["unit", "days"]}}}
    asked = {"messages": [{"role": "user", "content": "ask the weather"}], "tools": [tool]}
    choice = (await ask(client, CHAT, asked))["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert orjson.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"unit": "C", "days": 1}
    unasked = {"messages": [{"role": "user", "content": "say hi"}], "tools": [tool]}
    assert (await ask(client, CHAT, unasked))["choices"][0]["finish_reason"] == "stop"
    forced = await ask(client, CHAT, {**unasked, "tool_choice": "required"})
    assert forced["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "weather"


async def test_streams_usage_only_where_it_is_asked_for(client: httpx2.AsyncClient) -> None:
    """A streamed chat has its usage in a chunk without choices, if the request says so."""
    path, document = STREAMS["openai"]
    without = await client.post(path, json={"model": "small", **document})
    assert '"usage"' not in without.text
    asked = {"model": "small", **document, "stream_options": {"include_usage": True}}
    *_, last, done = (await client.post(path, json=asked)).text.strip().split("\n\n")
    assert done == "data: [DONE]"
    document = orjson.loads(last.removeprefix("data: "))
    assert (document["choices"], document["usage"]["completion_tokens"]) == ([], 6)


@pytest.mark.parametrize("family", STREAMS)
async def test_says_the_same_twice(client: httpx2.AsyncClient, family: str) -> None:
    """The bytes of a stream are the same for the same request."""
    path, document = STREAMS[family]
    first, second = [(await client.post(path, json={"model": "small", **document})).content for _ in range(2)]
    assert first == second


@pytest.mark.parametrize("family", STREAMS)
@pytest.mark.parametrize("place", ["before", "after"])
async def test_cuts_a_stream(client: httpx2.AsyncClient, provider: DemoModels, family: str, place: str) -> None:
    """A stream that is cut ends without its last chunk, before the first content or after some."""
    path, document = STREAMS[family]
    received = b""
    async with client.stream("POST", path, json={"model": f"small+cut-{place}", **document}) as answer:
        try:
            async for piece in answer.aiter_raw():
                received += piece
        except httpx2.RemoteProtocolError:
            received += b"<cut>"
    assert received.endswith(b"<cut>")
    assert (b"said" in received) == (place == "after")
    assert b"four" not in received
    await eventually(lambda: provider.unfinished.requests == 1)


@pytest.mark.parametrize("family", STREAMS)
async def test_ends_a_stream_as_if_it_were_whole(client: httpx2.AsyncClient, family: str) -> None:
    """With end-after, what comes is well-formed HTTP, but the last events are missing."""
    path, document = STREAMS[family]
    answer = await client.post(path, json={"model": "small+end-after", **document})
    assert "said" in answer.text
    assert not any(end in answer.text for end in ("[DONE]", "message_stop", "response.completed", 'finish_reason":"'))


async def test_fails_as_the_name_of_the_model_says(client: httpx2.AsyncClient) -> None:
    """A status stands in the name of the model or in the key, with the seconds of Retry-After."""
    answer = await client.post("/v1/messages", json={"model": "small+fail-529-after-7"})
    assert (answer.status_code, answer.headers["retry-after"]) == (529, "7")
    assert answer.json()["error"]["type"] == "overloaded_error"
    key = {"authorization": "Bearer sk-demo+fail-401"}
    answer = await client.post(CHAT, json={"model": "small"}, headers=key)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"


async def test_fails_for_all_until_it_is_well_again(client: httpx2.AsyncClient) -> None:
    """PUT /demo/fault sets a fault for all requests, and takes it back when it is empty."""
    await client.put("/demo/fault", content="fail-503")
    assert (await client.post(CHAT, json={"model": "small"})).status_code == 503
    assert (await client.put("/demo/fault", content="nonsense")).status_code == 400
    await client.put("/demo/fault", content="")
    await ask(client, CHAT, {"messages": []})


async def test_stalls_until_the_client_leaves(client: httpx2.AsyncClient, provider: DemoModels) -> None:
    """With stall-after nothing comes after some content, and what was delivered is counted once the client is gone."""
    path, document = STREAMS["openai"]
    async with client.stream("POST", path, json={"model": "small+stall-after", **document}) as answer:
        pieces = answer.aiter_raw()
        received = b""
        while b"one" not in received:
            received += await anext(pieces)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await anext(pieces)
    await eventually(lambda: provider.unfinished.requests == 1)
    assert provider.unfinished.output == 3


async def test_shows_what_it_received(client: httpx2.AsyncClient, provider: DemoModels) -> None:
    """What came is kept as it came, body and headers, wherever the API begins in the path."""
    await client.post("/somewhere/v1/chat/completions", content=b'{ "model":"small"}', headers={"x-trace": "7"})
    (received,) = provider.received
    assert (received.path, received.body, received.headers["x-trace"]) == (CHAT, b'{ "model":"small"}', "7")
    shown = (await client.get("/demo/requests")).json()["requests"]
    assert shown[0]["body"] == '{ "model":"small"}'


async def test_remembers_responses(client: httpx2.AsyncClient) -> None:
    """A response that is stored can be read, continued and deleted; one of another caller cannot."""
    stored = await ask(client, "/v1/responses", {"input": "first"})
    again = await ask(client, "/v1/responses", {"input": "second", "previous_response_id": stored["id"]})
    assert again["previous_response_id"] == stored["id"]
    assert (await client.get(f"/v1/responses/{stored['id']}")).json() == stored
    assert (await client.delete(f"/v1/responses/{stored['id']}")).json()["deleted"]
    answer = await client.post("/v1/responses", json={"model": "small", "previous_response_id": stored["id"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "previous_response_not_found")


async def test_takes_only_its_keys(client: httpx2.AsyncClient, provider: DemoModels) -> None:
    """With keys, others are refused, wherever the family's clients put theirs."""
    provider.keys = ("right",)
    for headers in ({"authorization": "Bearer right"}, {"x-api-key": "right"}, {"x-goog-api-key": "right"}):
        assert (await client.get("/v1/models", headers=headers)).status_code == 200
    assert (await client.get("/v1beta/models?key=right")).status_code == 200
    assert (await client.get("/v1/models", headers={"x-api-key": "wrong"})).status_code == 401


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model": 7}', b'{"model": "m", "messages": 7}', b'{"model": "m"'])
async def test_refuses_what_cannot_be_read(client: httpx2.AsyncClient, body: bytes) -> None:
    """A body that is no request is refused with 400 in the family's shape."""
    answer = await client.post("/v1/messages", content=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
