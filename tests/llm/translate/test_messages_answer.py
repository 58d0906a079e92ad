"""Answers of chat/completions as those of Messages."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.llm.translate.table import translation
from gateway.llm.translate.translation import BadAnswer, Translated
from tests.llm.translate.support import events_of, sent, title, translated, vectors


def asked(**request: Any) -> Translated:
    """A request of Messages, translated."""
    found = translation("anthropic.messages", "openai")
    assert found is not None
    return found.request({"messages": [], **request}, "small")


@pytest.mark.parametrize("case", vectors("messages_answers"), ids=title)
def test_a_whole_answer_says_the_same_in_messages(case: dict[str, Any]) -> None:
    """Each recorded answer becomes the recorded one."""
    answer = orjson.loads(asked(**case.get("request", {})).answer(orjson.dumps(case["answer"])))
    assert answer.pop("type") == "message"
    assert answer.pop("role") == "assistant"
    assert answer.pop("id").startswith("msg_")
    assert answer == {"model": "small", "stop_sequence": None, **case["message"]}


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[5]}', b'{"choices":[{"message":"x"}]}'],
)
def test_an_answer_without_a_message_is_an_error_of_the_provider(body: bytes) -> None:
    """What cannot be translated is not made up."""
    with pytest.raises(BadAnswer):
        asked().answer(body)


@pytest.mark.parametrize("case", vectors("messages_streams"), ids=title)
def test_a_stream_says_the_same_in_messages(case: dict[str, Any]) -> None:
    """Each recorded stream becomes the recorded events: blocks one after the other, usage with the last one."""
    written = events_of(translated(asked(**case.get("request", {})).stream(), case["chunks"]))
    start = written.pop(0)
    assert start["type"] == "message_start"
    assert start["message"]["content"] == []
    assert start["message"]["model"] == "small"
    assert [brief(event) for event in written] == case["events"]


def brief(event: dict[str, Any]) -> Any:
    """An event without what is said in its name already."""
    if event["type"] == "content_block_start":
        return ["start", event["index"], event["content_block"]]
    if event["type"] == "content_block_delta":
        return ["delta", event["index"], *list(event["delta"].values())[1:]]
    if event["type"] == "content_block_stop":
        return ["stop", event["index"]]
    if event["type"] == "message_delta":
        return [event["delta"], event["usage"]]
    return event["error"] if event["type"] == "error" else event["type"]


def test_a_stream_that_is_cut_off_ends_with_an_error_and_not_as_if_complete() -> None:
    """No stop reason is made up for it, and nothing follows the error."""
    stream = asked().stream()
    cut = events_of(translated(stream, [{"id": "c", "choices": [{"index": 0, "delta": {"content": "Hel"}}]}]))
    assert [event["type"] for event in cut] == ["message_start", "content_block_start", "content_block_delta", "error"]
    assert stream.finished
    assert stream.end() == stream.cut_off("server_error", "again") == stream.event(sent(b"[DONE]")) == b""


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "Slow down.", "type": "rate_limit_error", "code": None}},
        {"error": {"message": "Slow down.", "type": "requests", "code": 429}},
        {"object": "error", "message": "Slow down.", "type": "rate_limit_error"},
    ],
)
def test_an_error_of_the_provider_inside_a_stream_reaches_the_client_as_one(error: dict[str, Any]) -> None:
    """In Anthropic's words, with the provider's text, in whatever form a server has it."""
    (event,) = events_of(translated(asked().stream(), [error]))
    assert event["error"] == {"type": "rate_limit_error", "message": "Slow down."}


@pytest.mark.parametrize("data", [b"{", b"[]", b"null", b"7", b'"x"', b"\xff"])
def test_an_event_that_is_no_object_ends_the_stream_with_an_error(data: bytes) -> None:
    """A stream that cannot be read is not passed off as complete."""
    stream = asked().stream()
    (event,) = events_of(stream.event(sent(data)))
    assert event["type"] == "error"
    assert stream.finished


def test_calls_that_alternate_for_too_long_end_the_stream_with_an_error() -> None:
    """What waits for its turn is bounded."""
    stream = asked().stream()
    begin = [
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}},
        {"index": 1, "id": "b", "function": {"name": "g"}},
    ]
    stream.event(sent(orjson.dumps({"choices": [{"delta": {"tool_calls": begin}}]})))
    more = orjson.dumps(
        {"choices": [{"delta": {"tool_calls": [{"index": 1, "function": {"arguments": "x" * 65536}}]}}]}
    )
    written = b"".join(stream.event(sent(more)) for _ in range(17))
    assert [event["type"] for event in events_of(written)] == ["error"]


ERRORS = [
    (400, {"error": {"message": "Bad.", "type": "invalid_request_error"}}, 400, "invalid_request_error", "Bad."),
    (401, {"error": {"message": "No.", "code": "invalid_api_key"}}, 401, "authentication_error", "No."),
    (429, {"error": {"message": "Slow.", "type": "tokens"}}, 429, "rate_limit_error", "Slow."),
    (503, {"error": "busy"}, 503, "overloaded_error", "busy"),
    (500, {"message": "oops"}, 500, "api_error", "oops"),
    (400, {"object": "error", "message": "vLLM's", "type": "BadRequestError"}, 400, "invalid_request_error", "vLLM's"),
    (404, [], 404, "not_found_error", "The provider answered with status 404."),
    (
        400,
        {"error": {"message": "This model's maximum context length is 8 tokens.", "code": 400}},
        400,
        "invalid_request_error",
        "prompt is too long: This model's maximum context length is 8 tokens.",
    ),
]


@pytest.mark.parametrize(("status", "document", "status_", "kind", "sentence"), ERRORS)
def test_errors_of_the_provider_have_the_shape_of_anthropic(
    status: int, document: Any, status_: int, kind: str, sentence: str
) -> None:
    """A client of Anthropic's API can read why its request failed, and Claude Code that its prompt is too long."""
    found = translation("anthropic.messages", "openai")
    assert found is not None
    answered, body = found.error(status, orjson.dumps(document))
    assert answered == status_
    assert orjson.loads(body)["error"] == {"type": kind, "message": sentence}
    assert orjson.loads(found.error(502, b"<html>bad</html>")[1])["error"]["type"] == "api_error"


def test_there_is_no_translation_of_what_has_no_equivalent() -> None:
    """Counting tokens, and providers of Gemini's API."""
    assert translation("anthropic.count_tokens", "openai") is None
    assert translation("anthropic.messages", "gemini") is None
    assert translation("openai.embeddings", "anthropic") is None
