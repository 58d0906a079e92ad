"""The SDKs of one API, of a model behind another: what they make of it is what they make of their own API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.clients.calls import STREAMED, WHOLE, Call
from tests.clients.support import Outcome, Sdks
from tests.clients.world import KEY, World, world

MODELS = """
providers:
  chat: {protocol: openai, base_url: http://<openai>, keys: [key-of-openai], models: ["small*"],
    translate: [messages, responses]}
  claude: {protocol: anthropic, base_url: http://<anthropic>, keys: [key-of-anthropic], models: ["claude*"],
    translate: [chat]}
"""
TEXTS = ("text", "content", "arguments", "partial_json")
NAMES = ["messages", "messages with tools", "messages after a tool"]
NAMES += ["responses", "responses with tools"]
NAMES += ["chat", "chat with a limit", "chat with tools", "chat after a tool"]


@pytest.fixture(scope="module")
def translating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway before a provider of chat/completions and one of Messages."""
    with world(tmp_path_factory.mktemp("world"), MODELS, "openai", "anthropic") as made:
        yield made


def both(world: World, sdks: Sdks, call: Call) -> tuple[Outcome, Outcome]:
    """What comes of a call that is translated, and of the same at a provider that has the client's API."""
    model = "claude" if call.method.startswith("chat.") else "small"
    translated = replace(call, arguments={**call.arguments, "model": model})
    return sdks.make(translated, world.url, key=KEY), sdks.make(call, world.direct(call.sdk))


def said(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What a whole answer says, in one form for all APIs. The stub counts what it was sent, which is not the same."""
    if "choices" in answer:
        (choice,) = answer["choices"]
        message = choice["message"]
        calls = [tuple(call["function"].values()) for call in message.get("tool_calls") or ()]
        end, tokens = choice["finish_reason"], answer["usage"]["completion_tokens"]
        return {"text": message["content"] or "", "calls": calls, "end": end, "tokens": tokens}
    blocks = answer["output"] if "output" in answer else answer["content"]
    parts = [part for block in blocks for part in block.get("content") or [block]]
    calls = [(block.get("input", block.get("arguments")), block["name"]) for block in blocks if "name" in block]
    end, tokens = answer.get("status", answer.get("stop_reason")), answer["usage"]["output_tokens"]
    return {"text": "".join(part.get("text") or "" for part in parts), "calls": calls, "end": end, "tokens": tokens}


def streamed(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a stream says: the kinds of its events in order, each once, and all deltas of a kind together."""
    kinds: dict[str, str] = {}
    for event in events:
        for delta in deltas(event):
            kind, text = next(((name, text) for name, text in delta.items() if name in TEXTS and text), ("", ""))
            kinds[kind] = kinds.get(kind, "") + str(text)
    return {"types": list(dict.fromkeys(event.get("type", event.get("object")) for event in events)), "deltas": kinds}


def deltas(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The pieces in an event: of a text, of reasoning, of arguments."""
    if "choices" in event:
        for choice in event["choices"]:
            yield choice["delta"]
            yield from (call["function"] for call in choice["delta"].get("tool_calls") or ())
    elif isinstance(event.get("delta"), str):
        yield {"arguments" if "arguments" in event["type"] else "text": event["delta"]}
    elif "delta" in event:
        yield event["delta"]


@pytest.mark.parametrize("language", ["python", "node"])
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_says_what_the_clients_own_api_says(
    translating: World, languages: Mapping[str, Sdks], language: str, name: str
) -> None:
    """Text, calls of tools with their arguments, the reason for the end, and tokens."""
    through, direct = both(translating, languages[language], WHOLE[name])
    assert said(through.only) == said(direct.only)


@pytest.mark.parametrize("language", ["python", "node"])
@pytest.mark.parametrize(
    "name", ["messages", "messages with tools", "responses", "responses with tools", "chat", "chat with tools"]
)
def test_a_stream_has_the_events_of_the_clients_own_api(
    translating: World, languages: Mapping[str, Sdks], language: str, name: str
) -> None:
    """The SDK parses all of them; their kinds come in the same order, and say the same."""
    through, direct = both(translating, languages[language], STREAMED[name])
    assert streamed(through.whole) == streamed(direct.whole)


@pytest.mark.parametrize("language", ["python", "node"])
@pytest.mark.parametrize("name", ["messages", "responses", "chat"])
def test_a_stream_that_breaks_off_is_an_error_of_the_sdk(
    translating: World, languages: Mapping[str, Sdks], language: str, name: str
) -> None:
    """An SDK raises nothing by itself where a stream ends early: it needs an error event."""
    call = STREAMED[name]
    model = ("claude" if name == "chat" else "small") + "+end-after"
    broken = replace(call, arguments={**call.arguments, "model": model})
    outcome = languages[language].make(broken, translating.url, key=KEY)
    if name == "responses":
        assert outcome.objects[-1]["type"] == "response.failed"
    else:
        assert outcome.error is not None
        assert "ended before" in str(outcome.error)


@pytest.mark.parametrize("language", ["python", "node"])
@pytest.mark.parametrize("name", ["messages", "responses", "chat"])
def test_a_field_without_an_equivalent_is_an_error_that_names_it(
    translating: World, languages: Mapping[str, Sdks], language: str, name: str
) -> None:
    """It is a BadRequestError, of which the SDK does not make further attempts."""
    by_name: dict[str, dict[str, Any]] = {
        "messages": {"inference_geo": "eu"},
        "responses": {"top_logprobs": 3},
        "chat": {"seed": 7},
    }
    fields = by_name[name]
    call = replace(
        WHOLE[name], arguments={**WHOLE[name].arguments, **fields, "model": "claude" if name == "chat" else "small"}
    )
    outcome = languages[language].make(call, translating.url, key=KEY, retries=2)
    assert outcome.error is not None
    assert (outcome.error["type"], outcome.error["status"]) == ("BadRequestError", 400)
    assert next(iter(fields)) in str(outcome.error)
