"""Answers of Messages as those of chat/completions."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.llm.translate.table import translation
from gateway.llm.translate.translation import BadAnswer, Translated
from tests.llm.translate.support import events_of, sent, title, translated, vectors


def asked(**request: Any) -> Translated:
    """A request of chat/completions, translated."""
    found = translation("openai.chat", "anthropic")
    assert found is not None
    return found.request({"messages": [], **request}, "claude-opus-4-1")


@pytest.mark.parametrize("case", vectors("chat_answers"), ids=title)
def test_a_whole_answer_says_the_same_in_chat_completions(case: dict[str, Any]) -> None:
    """Each recorded answer becomes the recorded message, reason and usage."""
    answer = orjson.loads(asked(**case.get("request", {})).answer(orjson.dumps(case["answer"])))
    assert answer.pop("created") > 1_700_000_000
    choice = {"index": 0, "message": case["message"], "logprobs": None, "finish_reason": case["reason"]}
    assert answer == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "claude",
        "choices": [choice],
        "usage": case["usage"],
    }


@pytest.mark.parametrize("case", vectors("chat_streams"), ids=title)
def test_a_stream_says_the_same_in_chat_completions(case: dict[str, Any]) -> None:
    """Each recorded stream becomes the recorded deltas, reason and usage."""
    chunks = events_of(translated(asked(stream=True, **case.get("request", {})).stream(), case["events"]))
    assert chunks.pop() == "[DONE]"
    assert {(chunk["id"], chunk["object"], chunk["model"]) for chunk in chunks} == {
        ("chatcmpl-1", "chat.completion.chunk", "claude")
    }
    if case.get("request", {}).get("stream_options"):
        last = chunks.pop()
        assert last["choices"] == []
        assert last["usage"] == case["usage"]
        assert all(chunk["usage"] is None for chunk in chunks)
    else:
        assert not any("usage" in chunk for chunk in chunks)
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert [choice["delta"] for choice in choices[1:]] == [*case["deltas"], {}]
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + [case["reason"]]


START = {"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 1}}}
TEXT = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hel"}}


def test_a_stream_that_is_cut_off_ends_with_an_error_and_not_with_done() -> None:
    """No reason to finish is made up for it, and nothing follows."""
    stream = asked(stream=True).stream()
    *_, last = events_of(translated(stream, [START, TEXT]))
    assert last["error"]["type"] == "server_error"
    assert stream.end() == stream.event(sent(b'{"type":"message_stop"}')) == b""


def test_an_error_of_the_provider_inside_a_stream_reaches_the_client_as_one() -> None:
    """In OpenAI's words, with the provider's text."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    (event,) = events_of(translated(asked(stream=True).stream(), [error]))
    assert event["error"] == {"message": "Overloaded", "type": "server_error", "param": None, "code": "overloaded"}


@pytest.mark.parametrize("data", [b"{", b"[]", b"null", b"7", b"\xff"])
def test_an_event_that_is_no_object_ends_the_stream_with_an_error(data: bytes) -> None:
    """A stream that cannot be read is not passed off as complete."""
    stream = asked(stream=True).stream()
    (event,) = events_of(stream.event(sent(data)))
    assert event["error"]["type"] == "server_error"
    assert stream.finished


def test_input_of_a_tool_too_deep_to_be_written_ends_the_stream_with_an_error() -> None:
    """Nothing that a provider sends raises an error in the gateway."""
    deep = b'{"a":' * 600 + b"1" + b"}" * 600
    block = (
        b'{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":%b}}'
    )
    stream = asked(stream=True).stream()
    stream.event(sent(block % deep))
    assert b"error" in stream.event(sent(b'{"type":"content_block_stop","index":0}'))
    with pytest.raises(BadAnswer):
        asked().answer(b'{"content":[{"type":"tool_use","id":"t","name":"f","input":%b}]}' % deep)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"content":"x"}', b'{"content":[5]}'])
def test_an_answer_without_content_is_an_error_of_the_provider(body: bytes) -> None:
    """What cannot be translated is not made up."""
    with pytest.raises(BadAnswer):
        asked().answer(body)


ERRORS = [
    (400, "invalid_request_error", "Bad.", 400, "invalid_request_error", None),
    (
        400,
        "invalid_request_error",
        "prompt is too long: 9 > 8",
        400,
        "invalid_request_error",
        "context_length_exceeded",
    ),
    (401, "authentication_error", "No.", 401, "invalid_request_error", "invalid_api_key"),
    (429, "rate_limit_error", "Slow.", 429, "rate_limit_error", "rate_limit_exceeded"),
    (529, "overloaded_error", "Busy.", 503, "server_error", "overloaded"),
    (418, "novel_error", "Odd.", 418, "invalid_request_error", None),
]


@pytest.mark.parametrize(("status", "given", "sentence", "answered", "kind", "code"), ERRORS)
def test_errors_of_the_provider_have_the_shape_of_openai(
    status: int, given: str, sentence: str, answered: int, kind: str, code: str | None
) -> None:
    """A client of OpenAI's API can read why its request failed; 529 is no status that it knows."""
    found = translation("openai.chat", "anthropic")
    assert found is not None
    body = orjson.dumps({"type": "error", "error": {"type": given, "message": sentence}})
    result, made = found.error(status, body)
    assert result == answered
    assert orjson.loads(made)["error"] == {"message": sentence, "type": kind, "param": None, "code": code}
    assert orjson.loads(found.error(502, b"")[1])["error"]["type"] == "server_error"
