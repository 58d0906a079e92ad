"""What is read of a stream does not depend on how its bytes come, and nothing that comes breaks a reader."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.llm.apis import Api, find
from gateway.llm.sse import MOST_HELD, Event, EventSplitter
from gateway.llm.streams.chat import ChatReader
from gateway.llm.streams.gemini import GeminiReader
from gateway.llm.streams.reader import Kind, Reader
from gateway.llm.streams.responses import ResponsesReader
from gateway.llm.streams.table import reader_of
from gateway.llm.streams.whole import whole
from gateway.llm.usage import Usage
from tests.llm.streams import test_chat, test_gemini, test_messages, test_responses
from tests.llm.streams.support import event, read, stream, summary

PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "gemini": "/v1beta/models/m:streamGenerateContent",
    "other": "/v1/audio/transcriptions",
}
STREAMS: Mapping[str, Sequence[Event]] = {
    "chat": [
        test_chat.chunk({"role": "assistant", "content": ""}),
        test_chat.chunk({"content": "h\u00e9 \U0001f600"}),
        test_chat.called("f", '{"a": "\u00e9"}', id="1"),
        test_chat.chunk({}, "stop"),
        test_chat.chunk(None, usage=test_chat.USED),
        test_chat.DONE,
    ],
    "messages": [
        test_messages.start(input_tokens=25, cache_read_input_tokens=4, output_tokens=1),
        test_messages.PING,
        test_messages.text("h\u00e9 \U0001f600"),
        test_messages.end(output_tokens=15),
        test_messages.STOP,
    ],
    "responses": [
        test_responses.CREATED,
        test_responses.said("response.output_text.delta", 4, delta="h\u00e9 \U0001f600"),
        test_responses.said(
            "response.completed", 6, response=test_responses.response("completed", usage=test_responses.USED)
        ),
    ],
    "gemini": [
        test_gemini.part({"text": "h\u00e9 \U0001f600"}, usageMetadata=test_gemini.used(8, 2)),
        test_gemini.part({"text": "x"}, "STOP", usageMetadata=test_gemini.used(8, 4, thoughtsTokenCount=3)),
    ],
}
USAGES = {
    "chat": Usage(10, 5),
    "messages": Usage(29, 15, cache_read=4),
    "responses": test_responses.USAGE,
    "gemini": Usage(8, 7, reasoning=3),
}


def api_of(name: str) -> Api:
    """The API of a stream."""
    call = find("POST", PATHS[name])
    assert call is not None
    return call.api


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("name", STREAMS)
def test_usage_is_the_same_wherever_a_stream_is_split(name: str, end: bytes) -> None:
    """At each byte, also within a character or an end of a line, and in pieces of one byte."""
    data = stream(STREAMS[name]).replace(b"\n", end)
    expected = summary(read(reader_of(api_of(name)), [data]))
    assert expected[0] == USAGES[name]
    assert expected[2] is True
    for place in range(len(data)):
        assert summary(read(reader_of(api_of(name)), [data[:place], data[place:]])) == expected
    assert summary(read(reader_of(api_of(name)), [data[at : at + 1] for at in range(len(data))])) == expected


def passed_on(data: bytes, places: Sequence[int]) -> bytes:
    """A stream in pieces, without what the gateway asked for."""
    splitter, reader = EventSplitter(), reader_of(api_of("chat"), asked=True)
    cuts = sorted({place % (len(data) + 1) for place in places})
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    events = [one for piece in pieces for one in splitter.feed(piece)] + splitter.finish()
    return b"".join(one.raw for one in events if reader.read(one) is not Kind.USAGE_ASKED)


@given(st.lists(st.integers(0, 100_000)), st.sampled_from([b"\n", b"\r\n"]))
def test_the_usage_that_was_asked_for_is_taken_out_and_nothing_else(places: list[int], end: bytes) -> None:
    """All other bytes are those that came, however they came."""
    events = STREAMS["chat"]
    data = (stream(events) + b": a comment\n\n").replace(b"\n", end)
    without = (stream([*events[:4], events[5]]) + b": a comment\n\n").replace(b"\n", end)
    assert passed_on(data, places) == without


@pytest.mark.parametrize("name", PATHS)
def test_a_stream_that_ends_with_what_is_too_long_is_not_taken_for_cut(name: str) -> None:
    """A picture may be the last event. One that never ended, or that others follow, is no end."""
    last = b"data: " + b"x" * 5000 + b"\n\n"
    for rest, cut in ((b"", False), (b": a comment\n\n", False), (b'data: {"a":1}\n\n', True), (last[:-1], True)):
        splitter, reader = EventSplitter(1000), reader_of(api_of(name))
        data = last + rest
        events = [one for at in range(0, len(data), 100) for one in splitter.feed(data[at : at + 100])]
        kinds = [reader.read(one) for one in [*events, *splitter.finish()]]
        assert kinds[0] is Kind.CONTENT
        assert reader.is_cut_off is cut


MEMBERS = st.sampled_from(
    [
        *("type", "error", "object", "message", "code", "usage", "model", "id", "text", "name", "status", "response"),
        *("choices", "delta", "index", "finish_reason", "tool_calls", "function", "arguments", "x_groq"),
        *("content_block", "content", "stop_reason", "item", "output", "output_index", "sequence_number", "part"),
        *("candidates", "parts", "finishReason", "usageMetadata", "promptTokenCount", "promptFeedback", "blockReason"),
        *("functionCall", "args", "modelVersion", "input_tokens", "output_tokens", "prompt_tokens", "cached_tokens"),
        *("completion_tokens", "prompt_tokens_details", "cache_read_input_tokens", "output_tokens_details"),
    ]
)
TEXTS = st.sampled_from(
    [
        *("message_start", "message_delta", "message_stop", "content_block_start", "content_block_delta", "error"),
        *("response.created", "response.completed", "response.failed", "response.output_item.added"),
        *("response.output_text.delta", "stop", "text", "tool_use", "x", "\ud83d"),
    ]
)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats()
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=6),
    max_leaves=30,
)


def as_event(document: Any) -> Event:
    """An event with a document, also where it is one that only some parsers take."""
    data = json.dumps(document).encode()
    return Event(b"", data, b"data: " + data + b"\n\n")


@example([{"error": "\ud83d"}])
@given(st.lists(st.dictionaries(MEMBERS, DOCUMENTS, max_size=8), max_size=5))
def test_nothing_breaks_a_reader(documents: list[dict[str, Any]]) -> None:
    """Whatever types stand in whatever places: counts stay counts, and nothing is raised."""
    for name in PATHS:
        reader = reader_of(api_of(name))
        for document in documents:
            assert isinstance(reader.read(as_event(document)), Kind)
            said = whole(api_of(name), document)
            assert said.usage is None or min(said.usage.input, said.usage.output) >= 0
        usage = reader.usage or Usage(0, 0)
        assert min(usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning) >= 0
        assert max(usage.input, usage.output) < 2**43
        assert orjson.loads(reader.cut_off("x").rpartition(b"data: ")[2])
        names = " ".join([*reader.tool_calls, reader.model, reader.error.message if reader.error else ""])
        assert names.encode().decode() == names
        assert all(isinstance(called, str) for called in reader.tool_calls)


PICTURE = "A" * (MOST_HELD + 100_000)
LONG: list[tuple[type[Reader], dict[str, Any]]] = [
    (
        ResponsesReader,
        {"type": "response.completed", "response": {"output": [{"result": PICTURE}], "usage": {"input_tokens": 7}}},
    ),
    (ChatReader, {"choices": [{"delta": {"content": PICTURE}}], "usage": {"prompt_tokens": 7}}),
    (GeminiReader, {"candidates": [{"content": PICTURE}], "usageMetadata": {"promptTokenCount": 7}}),
]


@pytest.mark.parametrize(("kind", "document"), LONG)
@pytest.mark.parametrize("step", [10_000, 65_536, 1_000_001])
def test_the_usage_of_an_event_that_is_too_long_counts(kind: type[Reader], document: dict[str, Any], step: int) -> None:
    """One with a picture, or one that repeats an answer with pictures, says its usage behind them. What texts say of
    a usage is none."""
    note = '"usage": {"input_tokens": 9, "prompt_tokens": 9}, "usageMetadata": {"promptTokenCount": 9}'
    data = event(document | {"note": note}).raw
    reader = read(kind(), [data[at : at + step] for at in range(0, len(data), step)])
    assert reader.usage == Usage(7, 0)
