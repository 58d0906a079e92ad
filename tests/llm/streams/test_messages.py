"""Streams of Anthropic's messages, and of servers that follow them."""

from typing import Any

import pytest

from gateway.llm.sse import Event
from gateway.llm.streams.errors import ProviderError
from gateway.llm.streams.messages import MessagesReader
from gateway.llm.streams.reader import Kind
from gateway.llm.usage import Usage
from tests.llm.streams.support import event, kinds, raw


def start(**usage: Any) -> Event:
    """The first event."""
    message = {"id": "msg", "type": "message", "role": "assistant", "model": "claude-1", "content": [], "usage": usage}
    return event({"type": "message_start", "message": message}, "message_start")


def block(content: dict[str, Any]) -> Event:
    """The beginning of a block."""
    return event({"type": "content_block_start", "index": 0, "content_block": content}, "content_block_start")


def delta(content: dict[str, Any]) -> Event:
    """Some of a block."""
    return event({"type": "content_block_delta", "index": 0, "delta": content}, "content_block_delta")


def text(content: str) -> Event:
    """Some text."""
    return delta({"type": "text_delta", "text": content})


def end(reason: str | None = "end_turn", **usage: Any) -> Event:
    """The event before the last."""
    document = {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}
    return event(document, "message_delta")


PING = event({"type": "ping"}, "ping")
STOP = event({"type": "message_stop"}, "message_stop")
BLOCK_STOP = event({"type": "content_block_stop", "index": 0}, "content_block_stop")


def test_an_ordinary_stream_is_read_to_its_end() -> None:
    """What comes before the text is no content; the output is counted at the end."""
    reader = MessagesReader()
    events = [
        start(input_tokens=25, output_tokens=1),
        PING,
        block({"type": "text", "text": ""}),
        text("h\u00e9"),
        BLOCK_STOP,
    ]
    before = [Kind.LIFECYCLE, Kind.LIFECYCLE, Kind.LIFECYCLE, Kind.CONTENT, Kind.LIFECYCLE]
    assert kinds(reader, events) == before
    assert reader.is_cut_off
    assert kinds(reader, [end(output_tokens=15), STOP]) == [Kind.FINAL, Kind.FINAL]
    assert reader.usage == Usage(25, 15)
    assert reader.output_known
    assert (reader.model, reader.text_bytes, reader.finished) == ("claude-1", 3, True)


def test_the_three_counts_of_input_are_added() -> None:
    """They are disjoint here, unlike OpenAI's: what was cached is part of the input."""
    reader = MessagesReader()
    start_usage = {"input_tokens": 5, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100}
    kinds(reader, [start(**start_usage, output_tokens=3), end(output_tokens=7), STOP])
    assert reader.usage == Usage(125, 7, cache_read=100, cache_write=20)


def test_counts_that_come_late_are_merged_by_presence() -> None:
    """Servers say the input only at the end, say 0 first, or say it again."""
    late = MessagesReader()
    kinds(late, [start(), end(input_tokens=9, cache_read_input_tokens=4, output_tokens=2), STOP])
    assert late.usage == Usage(13, 2, cache_read=4)
    zero = MessagesReader()
    kinds(zero, [start(input_tokens=0, output_tokens=0), end(input_tokens=9, output_tokens=2), STOP])
    assert zero.usage == Usage(9, 2)
    again = MessagesReader()
    kinds(again, [start(input_tokens=9, output_tokens=1), end(input_tokens=9, output_tokens=2), STOP])
    assert again.usage == Usage(9, 2)
    lost = MessagesReader()
    kinds(lost, [start(input_tokens=9, output_tokens=1), end(input_tokens=0, output_tokens=2), STOP])
    assert lost.usage == Usage(9, 2)


def test_what_is_cached_for_an_hour_is_counted_separately() -> None:
    """It costs more; the end of the stream need not repeat it."""
    reader = MessagesReader()
    written = {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 30}
    kinds(reader, [start(input_tokens=1, cache_creation_input_tokens=40, cache_creation=written), end(output_tokens=2)])
    assert reader.usage == Usage(41, 2, cache_write=40, cache_write_long=30)


def test_counts_of_output_are_counted_up() -> None:
    """The last of several counts."""
    reader = MessagesReader()
    kinds(reader, [start(input_tokens=9), end(None, output_tokens=2), text("x"), end(output_tokens=8), STOP])
    assert reader.usage == Usage(9, 8)


def test_the_first_count_of_output_is_not_believed() -> None:
    """It stands there whatever the answer will be: of a stream that is cut, what was delivered counts."""
    reader = MessagesReader()
    kinds(reader, [start(input_tokens=25, output_tokens=1000), text("x" * 40)])
    assert reader.usage == Usage(25, 0)
    assert not reader.output_known


def test_a_stop_reason_is_an_end() -> None:
    """Where the last event is missing, nothing of the answer is."""
    reader = MessagesReader()
    kinds(reader, [start(input_tokens=1), text("x"), end(output_tokens=1)])
    assert reader.finished


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        (block({"type": "thinking", "thinking": "", "signature": ""}), Kind.LIFECYCLE),
        (block({"type": "text", "text": "x"}), Kind.CONTENT),
        (block({"type": "tool_use", "id": "t", "name": "f", "input": {}}), Kind.CONTENT),
        (block({"type": "redacted_thinking", "data": "x"}), Kind.CONTENT),
        (block({"type": "web_search_tool_result", "content": []}), Kind.CONTENT),
        (text(""), Kind.LIFECYCLE),
        (delta({"type": "thinking_delta", "thinking": "x"}), Kind.CONTENT),
        (delta({"type": "signature_delta", "signature": "x"}), Kind.CONTENT),
        (delta({"type": "input_json_delta", "partial_json": ""}), Kind.LIFECYCLE),
        (delta({"type": "input_json_delta", "partial_json": "{"}), Kind.CONTENT),
        (delta({"type": "citations_delta", "citation": {"a": 1}}), Kind.CONTENT),
        (raw(b""), Kind.LIFECYCLE),
        (raw(b"{"), Kind.OTHER),
        (event({"type": "new_event"}), Kind.OTHER),
        (event({"type": "message_start", "message": 5}), Kind.LIFECYCLE),
        (event({"type": "content_block_delta", "delta": []}), Kind.LIFECYCLE),
        (event({"type": ["message_start"]}), Kind.OTHER),
    ],
)
def test_content_is_what_the_client_could_show(one: Event, kind: Kind) -> None:
    """Text, thinking, calls, results; not what only opens a block."""
    assert MessagesReader().read(one) is kind


def test_calls_of_tools_are_counted() -> None:
    """Those of the client, and those that the provider makes itself; their arguments are output."""
    reader = MessagesReader()
    kinds(
        reader,
        [block({"type": "tool_use", "name": "f"}), delta({"type": "input_json_delta", "partial_json": '{"a":1}'})],
    )
    reader.read(block({"type": "server_tool_use", "name": "web_search"}))
    assert reader.tool_calls == ["f", "web_search"]
    assert reader.text_bytes == 7


def test_errors_in_streams_are_found() -> None:
    """An `error` event ends the stream; what was counted stays."""
    reader = MessagesReader()
    reader.read(start(input_tokens=25, output_tokens=1))
    failed = event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error")
    assert reader.read(failed) is Kind.ERROR
    assert reader.error == ProviderError(529, "overloaded_error", "Overloaded")
    assert not reader.is_cut_off
    assert reader.usage == Usage(25, 0)


def test_a_cut_stream_ends_in_an_error_that_sdks_raise() -> None:
    """An `error` event; one that began and never ended becomes it, because the last name counts."""
    reader = MessagesReader()
    kinds(reader, [start(input_tokens=1), text("x")])
    assert reader.cut_off("it is cut") == (
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"it is cut"},"request_id":null}\n\n'
    )
    assert reader.cut_off("it is cut", within_event=True).startswith(b"\nevent: error\ndata: {")
