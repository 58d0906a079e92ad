"""What servers write otherwise than OpenAI does reaches the client of a translation, whole or in a stream."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from gateway.llm.translate import chat_request, messages_request, responses_request
from gateway.llm.translate.returning import without_translated
from gateway.llm.translate.translation import Translated

from .support import sent

HALVES = "\ud83d", "\ude00"  # of one character


def asked(source: str) -> Translated:
    """A request of a client of this API, translated to chat/completions."""
    if source == "messages":
        body: dict[str, Any] = {"max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}
        return messages_request.translate({"model": "small", **body}, "small")
    return responses_request.translate({"model": "small", "input": "a", "store": False}, "small")


def answered(source: str, message: dict[str, Any], reason: str, *, stream: bool) -> str:
    """What that client gets of such a message, which comes whole or as one event."""
    choice = {"index": 0, "finish_reason": reason, "delta" if stream else "message": message}
    body = json.dumps({"id": "x", "choices": [choice]}).encode()
    if not stream:
        return asked(source).answer(body).decode()
    reader = asked(source).stream()
    return (reader.event(sent(body)) + reader.event(sent(b"[DONE]"))).decode()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("source", ["messages", "responses"])
def test_a_text_in_parts_is_not_lost(source: str, stream: bool) -> None:
    """Servers of models that think write it so."""
    content = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    assert '"hello"' in answered(source, {"role": "assistant", "content": content}, "stop", stream=stream)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("source", ["messages", "responses"])
def test_arguments_that_are_an_object_are_not_lost(source: str, stream: bool) -> None:
    """The tool would be called with nothing."""
    call = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": {"where": "here"}}}
    got = answered(source, {"role": "assistant", "tool_calls": [call]}, "tool_calls", stream=stream)
    assert '"where":"here"' in got.replace("\\", "")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("source", ["messages", "responses"])
def test_half_of_a_character_passes(source: str, stream: bool) -> None:
    """The other one follows in the next event, or was cut off: neither ends the answer."""
    got = answered(source, {"role": "assistant", "content": f"a{HALVES[0]}"}, "stop", stream=stream)
    assert r'"a\ud83d"' in got
    assert '"error":{' not in got


def test_a_request_may_have_half_of_a_character() -> None:
    """SDKs write it where a text was cut, in arguments of calls, too."""
    message = {"role": "user", "content": f"a{HALVES[0]}"}
    made = messages_request.translate({"model": "small", "max_tokens": 9, "messages": [message]}, "small")
    assert json.loads(made.body)["messages"] == [message]
    function = {"name": "f", "arguments": json.dumps({"b": HALVES[1]})}
    call = {"id": "t", "type": "function", "function": function}
    messages = [
        message,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t", "content": ""},
    ]
    turns = json.loads(chat_request.translate({"model": "claude", "messages": messages}, "claude").body)["messages"]
    assert turns[1]["content"][0]["input"] == {"b": HALVES[1]}


def test_a_conversation_with_half_of_a_character_goes_on_elsewhere() -> None:
    """At a provider that has the client's API, without the reasoning that a translation handed out."""
    signature = "Y2hhdC1yZWFzb25pbmc6cmVhc29uaW5nOnNtYWxs"  # chat-reasoning:reasoning:small
    content = [{"type": "thinking", "thinking": "b", "signature": signature}, {"type": "text", "text": HALVES[0]}]
    body = json.dumps({"model": "claude", "messages": [{"role": "assistant", "content": content}]}).encode()
    kept = json.loads(without_translated("anthropic.messages", body))
    assert kept["messages"] == [{"role": "assistant", "content": [content[1]]}]


def test_arguments_that_are_nested_too_deep_end_the_stream() -> None:
    """With an error, as a whole answer with them is one."""
    deep = orjson.loads(b'{"a":' * 300 + b"1" + b"}" * 300)
    call = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": deep}}
    assert "event: error" in answered("messages", {"tool_calls": [call]}, "tool_calls", stream=True)
