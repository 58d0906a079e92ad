"""Answers of chat/completions as those of Responses."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.llm.translate import responses_answer
from gateway.llm.translate.table import translation
from gateway.llm.translate.translation import BadAnswer, Translated
from tests.llm.translate.support import events_of, sent, title, translated, vectors


def asked(**request: Any) -> Translated:
    """A request of Responses, translated."""
    found = translation("openai.responses", "openai")
    assert found is not None
    return found.request({"input": "x", **request}, "small")


@pytest.mark.parametrize("case", vectors("responses_answers"), ids=title)
def test_a_whole_answer_says_the_same_in_responses(case: dict[str, Any]) -> None:
    """Each recorded answer becomes the recorded output, status and usage."""
    answer = orjson.loads(asked(**case.get("request", {})).answer(orjson.dumps(case["answer"])))
    assert answer["object"] == "response"
    assert answer["id"] == "resp_1"
    assert answer["model"] == "small"
    assert [without_ids(item) for item in answer["output"]] == case["output"]
    assert answer["status"] == case.get("status", "completed")
    assert answer["incomplete_details"] == case.get("incomplete_details")
    assert answer["usage"] == case["usage"]


def without_ids(item: dict[str, Any]) -> dict[str, Any]:
    """An item without the id that was made for it."""
    assert item.pop("id").startswith({"message": "msg_", "function_call": "fc_", "reasoning": "rs_"}[item["type"]])
    return item


@pytest.mark.parametrize("case", vectors("responses_answers"), ids=title)
def test_a_stream_ends_with_what_the_whole_answer_would_have_been(case: dict[str, Any]) -> None:
    """The same answer in chunks of one character: events in order, whose last one repeats what they said."""
    chunks = in_chunks(case["answer"])
    events = events_of(translated(asked(**case.get("request", {})).stream(), chunks))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    last = events[-1]
    assert last["type"] == f"response.{last['response']['status']}"
    assert [item["id"] for item in last["response"]["output"]] == [
        event["item"]["id"] for event in events if event["type"] == "response.output_item.added"
    ]
    assert last["response"]["output"] == [
        event["item"] for event in events if event["type"] == "response.output_item.done"
    ]
    said = put_together(events)
    for item in last["response"]["output"]:
        assert said[item["id"]] == spoken(item)
    assert [without_ids(item) for item in last["response"]["output"]] == case["output"]
    assert last["response"]["usage"] == case["usage"]


def in_chunks(answer: dict[str, Any]) -> list[Any]:
    """A whole answer as a stream of it."""
    choice = answer["choices"][0]
    message = choice["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for field in ("reasoning_content", "content", "refusal"):
        deltas += [{field: character} for character in message.get(field) or ""]
    for index, call in enumerate(message.get("tool_calls", [])):
        function = call["function"]
        deltas.append({"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": character}}]}
            for character in function["arguments"]
        ]
    chunks = [{"id": answer["id"], "model": "small", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}
    return [*chunks, end, {"choices": [], "usage": answer.get("usage")}, "[DONE]"]


def put_together(events: list[dict[str, Any]]) -> dict[str, str]:
    """What deltas say of each item."""
    said: dict[str, str] = {}
    for event in events:
        if event["type"] == "response.output_item.added":
            said[event["item"]["id"]] = ""
        elif event["type"].endswith(".delta"):
            said[event["item_id"]] += event["delta"]
    return said


def spoken(item: dict[str, Any]) -> str:
    """What a complete item says; "{}" stands for arguments that were none."""
    if item["type"] == "message":
        return "".join(part.get("text", part.get("refusal")) for part in item["content"])
    if item["type"] == "reasoning":
        return "".join(part["text"] for part in item["summary"])
    return "" if item["arguments"] == "{}" and item["name"] == "now" else str(item["arguments"])


def test_a_response_repeats_the_settings_of_its_request() -> None:
    """As OpenAI's own service does; nothing is stored, whatever was asked."""
    request = {"instructions": "Be brief.", "metadata": {"a": "b"}, "temperature": 0.5, "store": True}
    answer = orjson.loads(asked(**request).answer(b'{"choices":[{"message":{"content":"a"}}]}'))
    assert answer | request == answer | {"store": True}
    assert answer["store"] is False
    assert answer["tool_choice"] == "auto"


def test_a_stream_that_is_cut_off_ends_with_response_failed() -> None:
    """No completed event is made up for it, and nothing follows."""
    stream = asked().stream()
    events = events_of(translated(stream, [{"id": "c", "choices": [{"index": 0, "delta": {"content": "Hel"}}]}]))
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["status"] == "failed"
    assert events[-1]["response"]["error"]["code"] == "server_error"
    assert events[-1]["sequence_number"] == len(events) - 1
    assert stream.end() == stream.event(sent(b"[DONE]")) == b""


def test_an_error_of_the_provider_inside_a_stream_reaches_the_client_as_one() -> None:
    """Codex shortens a conversation when it reads that it is too long."""
    error = {"error": {"message": "Too long.", "type": "invalid_request_error", "code": "context_length_exceeded"}}
    (event,) = events_of(translated(asked().stream(), [error]))
    assert event["response"]["error"] == {"code": "context_length_exceeded", "message": "Too long."}


def test_an_answer_that_is_too_long_to_be_repeated_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of a stream is bounded."""
    monkeypatch.setattr(responses_answer, "MOST_KEPT", 1000)
    stream = asked().stream()
    piece = sent(orjson.dumps({"choices": [{"delta": {"content": "x" * 400}}]}))
    written = b"".join(stream.event(piece) for _ in range(4))
    assert events_of(written)[-1]["type"] == "response.failed"
    assert stream.finished


@pytest.mark.parametrize("body", [b"", b"[]", b'{"choices":[]}', b'{"choices":[{"message":{"tool_calls":[{}]}}]}'])
def test_an_answer_without_a_message_is_an_error_of_the_provider(body: bytes) -> None:
    """What cannot be translated is not made up."""
    with pytest.raises(BadAnswer):
        asked().answer(body)


def test_errors_pass_as_they_are_and_are_made_where_there_is_none() -> None:
    """Both APIs are OpenAI's, with one format of errors."""
    found = translation("openai.responses", "openai")
    assert found is not None
    body = b'{"error": {"message": "Slow down.", "type": "tokens", "code": "rate_limit_exceeded"}}'
    assert found.error(429, body) == (429, body)
    status, made = found.error(502, b"<html>")
    assert status == 502
    assert orjson.loads(made)["error"]["type"] == "server_error"
