"""Translated requests through the gateway, to a provider that speaks the other API."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.demo_models import DemoModels, serving
from gateway.llm import answering
from tests.llm.support import Answered, gateway
from tests.llm.translate.support import events_of

MODELS = """
providers:
  openai: {protocol: openai, base_url: "http://127.0.0.1:%d/v1", keys: [key-one], models: ["small*"],
    translate: [messages, responses], unsupported: %s}
  anthropic: {protocol: anthropic, base_url: "http://127.0.0.1:%d", keys: [key-two], models: ["claude*"],
    translate: [chat], unsupported: %s}
"""
SAID = [{"role": "user", "content": "Say hi"}]
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "messages": ("/v1/messages", {"model": "small", "max_tokens": 50, "messages": SAID}),
    "responses": ("/v1/responses", {"model": "small", "input": SAID}),
    "chat": ("/v1/chat/completions", {"model": "claude", "messages": SAID}),
}
ANTHROPIC = [("x-api-key", "mine"), ("anthropic-version", "2023-06-01"), ("anthropic-beta", "beta-1")]
OPENAI = [("authorization", "Bearer mine"), ("openai-organization", "acme")]
PATHS = {"messages": "/v1/chat/completions", "responses": "/v1/chat/completions", "chat": "/v1/messages"}


async def ask(direction: str, fault: str = "", unsupported: str = "fail", **more: Any) -> tuple[Answered, DemoModels]:
    """What a client gets, and the provider that was asked."""
    path, body = CASES[direction]
    async with serving(provider := DemoModels()) as port:
        provider.fault = fault
        async with gateway(MODELS % (port, unsupported, port, unsupported)) as made:
            own = ANTHROPIC if direction == "messages" else OPENAI
            return await made.ask(path, body | more, headers=[*own, ("x-stainless-lang", "python")]), provider


def text_of(direction: str, answer: Any) -> str:
    """What the model says in a whole answer."""
    found = {
        "messages": lambda: answer["content"][0]["text"],
        "responses": lambda: answer["output"][0]["content"][0]["text"],
        "chat": lambda: answer["choices"][0]["message"]["content"],
    }[direction]()
    return str(found)


def usage_of(direction: str, usage: Any) -> tuple[int, int]:
    """Tokens in and out."""
    names = ("prompt_tokens", "completion_tokens") if direction == "chat" else ("input_tokens", "output_tokens")
    return usage[names[0]], usage[names[1]]


@pytest.mark.parametrize("direction", CASES)
async def test_a_whole_answer_is_translated_and_counted(direction: str) -> None:
    """The provider gets its own API, its own key and nothing of the client's headers; the client its own format."""
    answered, provider = await ask(direction)
    assert answered.status == 200, answered.body
    assert answered.headers["content-type"] == "application/json"
    assert text_of(direction, answered.json) == "You said: Say hi"
    assert usage_of(direction, answered.json["usage"]) == (provider.completed.input, provider.completed.output)
    assert answered.noted.output_tokens == provider.completed.output
    assert "x-gateway-dropped" not in answered.headers
    (received,) = provider.received
    assert received.path == PATHS[direction]
    assert not {"anthropic-beta", "openai-organization", "x-stainless-lang"} & set(received.headers)
    assert "mine" not in str(received.headers)
    assert received.headers.get("anthropic-version") == ("2023-06-01" if direction == "chat" else None)


@pytest.mark.parametrize("direction", CASES)
async def test_a_stream_is_translated_and_counted_wherever_it_is_split(direction: str) -> None:
    """It ends as the client's API has it, usage included where it was asked for."""
    answered, provider = (
        await ask(direction, "split-7", stream=True, stream_options={"include_usage": True})
        if (direction == "chat")
        else await ask(direction, "split-7", stream=True)
    )
    assert answered.headers["content-type"].startswith("text/event-stream")
    events = events_of(answered.body)
    if direction == "chat":
        assert events.pop() == "[DONE]"
        usage = events[-1]["usage"]
    elif direction == "responses":
        assert events[-1]["type"] == "response.completed"
        usage = events[-1]["response"]["usage"]
    else:
        assert events[-1] == {"type": "message_stop"}
        usage = events[-2]["usage"]
    assert usage_of(direction, usage) == (provider.completed.input, provider.completed.output)
    assert answered.noted.finished
    assert answered.noted.output_tokens == provider.completed.output
    assert not answered.noted.estimated


@pytest.mark.parametrize("fault", ["cut-after", "end-after", "error-after", "malformed"])
@pytest.mark.parametrize("direction", CASES)
async def test_a_stream_that_fails_ends_with_an_error_of_the_clients_api(direction: str, fault: str) -> None:
    """The last thing that a client reads is an error, and nothing looks complete."""
    answered, _ = await ask(direction, fault, stream=True)
    last = events_of(answered.body)[-1]
    assert last.get("type") == "response.failed" if direction == "responses" else last["error"]["message"]
    assert b"[DONE]" not in answered.body
    assert b"message_stop" not in answered.body
    assert b"response.completed" not in answered.body


@pytest.mark.parametrize("direction", CASES)
async def test_a_failure_has_the_shape_of_the_clients_api(direction: str) -> None:
    """With the provider's status and text."""
    answered, _ = await ask(direction, "fail-400")
    assert answered.status == 400
    assert answered.json["error"]["message"] == "refused on demand: 400"
    assert (answered.json.get("type") == "error") is (direction == "messages")


@pytest.mark.parametrize("direction", CASES)
async def test_a_field_without_an_equivalent_is_refused_by_its_name_before_anything_is_sent(direction: str) -> None:
    """In the client's format, and final: the SDKs are not to try again."""
    answered, provider = await ask(direction, novelty=1)
    assert answered.status == 400
    assert "novelty" in answered.json["error"]["message"]
    assert "novelty" not in str(answered.exchange.error)
    assert answered.headers["x-should-retry"] == "false"
    assert not provider.received


@pytest.mark.parametrize("direction", CASES)
async def test_what_was_dropped_is_listed_in_a_header(direction: str) -> None:
    """Where a provider is to drop what it has no words for."""
    answered, provider = await ask(direction, unsupported="drop", novelty=1)
    assert answered.status == 200
    assert answered.headers["x-gateway-dropped"] == "novelty"
    assert b"novelty" not in provider.received[0].body


@pytest.mark.parametrize("direction", CASES)
async def test_an_answer_that_is_too_long_to_be_translated_is_an_error(
    direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not passed on in the format of the provider, which no SDK of the client's API could read."""
    monkeypatch.setattr(answering, "MOST_TRANSLATED", 200)
    limit: dict[str, Any] = {"max_output_tokens" if direction == "responses" else "max_tokens": 100_000}
    answered, _ = await ask(direction, "words-50000", **limit)
    assert answered.status == 502
    assert "longer than can be translated" in answered.json["error"]["message"]
    assert answered.noted.input_tokens == answered.noted.output_tokens == 0


FALLBACK = """
providers:
  claude: {protocol: anthropic, base_url: "http://127.0.0.1:%d", keys: [key-one]}
  chat: {protocol: openai, base_url: "http://127.0.0.1:%d/v1", keys: [key-two], translate: [messages]}
aliases: {best: {claude: claude-opus-5, chat: small}}
modelRouting: {default: any, profiles: {any: {preferProviders: [claude, chat]}}}
"""


@pytest.mark.parametrize("fault", ["fail-529", "cut-before", "error-before"])
async def test_a_provider_that_fails_is_followed_by_one_that_is_translated_to(fault: str) -> None:
    """The client sees one clean stream of its own API, and that the provider was another."""
    async with serving(claude := DemoModels()) as one, serving(DemoModels()) as two:
        claude.fault = fault
        async with gateway(FALLBACK % (one, two)) as made:
            body = {"model": "best", "max_tokens": 50, "messages": SAID, "stream": True, "top_k": 5}
            refused = await made.ask("/v1/messages", body, headers=ANTHROPIC)
            answered = await made.ask("/v1/messages", {**body, "top_k": None}, headers=ANTHROPIC)
    events = events_of(answered.body)
    assert [event["type"] for event in events].count("message_start") == 1
    assert events[-1] == {"type": "message_stop"}
    assert answered.headers["x-gateway-model-backend"] == "chat/small"
    assert refused.json["type"] == "error"
