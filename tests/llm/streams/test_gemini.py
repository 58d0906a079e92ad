"""Streams of Gemini."""

from typing import Any

import pytest

from gateway.llm.sse import Event
from gateway.llm.streams.errors import ProviderError
from gateway.llm.streams.gemini import GeminiReader
from gateway.llm.streams.reader import Kind
from gateway.llm.usage import Usage
from tests.llm.streams.support import event, kinds, raw


def part(content: dict[str, Any] | None, finish: str | None = None, **more: Any) -> Event:
    """One answer of the stream."""
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": [content] if content else []}}
    if finish:
        candidate["finishReason"] = finish
    return event({"candidates": [candidate], "modelVersion": "gemini-9", **more})


def used(prompt: int, candidates: int | None, **more: int) -> dict[str, int]:
    """Usage so far."""
    output = {} if candidates is None else {"candidatesTokenCount": candidates}
    return {"promptTokenCount": prompt, **output, **more}


def test_an_ordinary_stream_is_read_to_its_end() -> None:
    """Usage is counted up from answer to answer; a finish reason is the end."""
    reader = GeminiReader()
    events = [
        part({"text": ""}, usageMetadata=used(8, None)),
        part({"text": "h\u00e9"}, usageMetadata=used(8, 2)),
        part({"text": "x"}, usageMetadata=used(8, 3)),
    ]
    assert kinds(reader, events) == [Kind.LIFECYCLE, Kind.CONTENT, Kind.CONTENT]
    assert reader.is_cut_off
    assert reader.read(part({"text": ""}, "STOP", usageMetadata=used(8, 4))) is Kind.FINAL
    assert (reader.usage, reader.model, reader.text_bytes, reader.finished) == (Usage(8, 4), "gemini-9", 4, True)


def test_thoughts_and_what_tools_gave_are_counted_apart() -> None:
    """Thoughts are output, results of tools are input, and what was cached is part of it already."""
    reader = GeminiReader()
    more = {"thoughtsTokenCount": 50, "cachedContentTokenCount": 60, "toolUsePromptTokenCount": 5}
    reader.read(part({"text": "x"}, "STOP", usageMetadata=used(100, 10, **more)))
    assert reader.usage == Usage(105, 60, cache_read=60, reasoning=50)


def test_a_prompt_that_is_blocked_is_answered() -> None:
    """Without candidates, but with the reason."""
    reader = GeminiReader()
    blocked = event({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": used(8, None)})
    assert reader.read(blocked) is Kind.FINAL
    assert (reader.finished, reader.usage) == (True, Usage(8, 0))


def test_a_stream_ends_when_all_its_candidates_have() -> None:
    """Of several, the first end is not the end."""
    reader = GeminiReader()
    text = {"parts": [{"text": "x"}]}
    reader.read(event({"candidates": [{"index": 0, "content": text}, {"index": 1, "content": text}]}))
    reader.read(event({"candidates": [{"index": 0, "finishReason": "STOP"}]}))
    assert not reader.finished
    reader.read(event({"candidates": [{"index": 1, "finishReason": "STOP"}]}))
    assert reader.finished


def test_calls_of_tools_are_counted() -> None:
    """They are content, and output."""
    reader = GeminiReader()
    assert reader.read(part({"functionCall": {"name": "f", "args": {"a": 1}}})) is Kind.CONTENT
    assert reader.tool_calls == ["f"]
    assert reader.text_bytes > 0


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        (part({"text": "x", "thought": True}), Kind.CONTENT),
        (part({"inlineData": {"data": "AA=="}}), Kind.CONTENT),
        (part(None), Kind.LIFECYCLE),
        (raw(b""), Kind.LIFECYCLE),
        (raw(b"{"), Kind.OTHER),
        (event({"candidates": [5, {"content": [], "finishReason": None}]}), Kind.LIFECYCLE),
    ],
)
def test_content_is_what_the_client_could_show(one: Event, kind: Kind) -> None:
    """Text, thoughts, data; not what is empty."""
    assert GeminiReader().read(one) is kind


def test_errors_in_streams_are_found_and_made() -> None:
    """In the form that its SDK looks for: `error` is the first member."""
    reader = GeminiReader()
    failed = event({"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}})
    assert reader.read(failed) is Kind.ERROR
    assert reader.error == ProviderError(503, "UNAVAILABLE", "m")
    assert GeminiReader().cut_off("it is cut") == (
        b'data: {"error":{"code":502,"message":"it is cut","status":"UNAVAILABLE"}}\n\n'
    )


def test_a_stream_that_is_cut_is_charged_for_what_it_said() -> None:
    """What was counted up by then; an estimate where only the input was."""
    reader = GeminiReader()
    reader.read(part({"text": "x"}, usageMetadata=used(8, 2)))
    assert (reader.usage, reader.output_known) == (Usage(8, 2), True)
    other = GeminiReader()
    other.read(part({"text": "x"}, usageMetadata=used(8, None)))
    assert (other.usage, other.output_known) == (Usage(8, 0), False)
