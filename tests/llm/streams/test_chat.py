"""Streams of chat, as OpenAI and those who follow it send them."""

from typing import Any

import pytest

from gateway.llm.sse import Event
from gateway.llm.streams.chat import ChatReader
from gateway.llm.streams.errors import ProviderError
from gateway.llm.streams.reader import Kind
from gateway.llm.usage import Usage
from tests.llm.streams.support import event, kinds, raw

DONE = raw(b"[DONE]")
USED = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, *, index: int = 0, **more: Any) -> Event:
    """One chunk; with a delta, one choice."""
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
    return event({"id": "c", "model": "m-1", "choices": choices, **more})


def called(name: str | None, arguments: str, *, index: int = 0, id: str | None = None) -> Event:
    """A chunk of a call of a tool."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return chunk({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})


def test_an_ordinary_stream_is_read_to_its_end() -> None:
    """The role alone is no content; the last chunk has the usage that the gateway asked for, and is taken out."""
    reader = ChatReader(asked=True)
    events = [
        chunk({"role": "assistant", "content": "", "refusal": None}),
        chunk({"content": "h\u00e9"}, usage=None),
        chunk({}, "stop"),
        chunk(None, usage=USED),
        DONE,
    ]
    assert kinds(reader, events) == [Kind.LIFECYCLE, Kind.CONTENT, Kind.FINAL, Kind.USAGE_ASKED, Kind.FINAL]
    assert reader.usage == Usage(10, 5)
    assert (reader.model, reader.text_bytes, reader.finished) == ("m-1", 3, True)


def test_usage_that_the_client_asked_for_stays() -> None:
    """The same chunk is not taken out where the client wants it."""
    assert kinds(ChatReader(), [chunk({"content": "x"}, "stop"), chunk(None, usage=USED)])[-1] is Kind.FINAL


def test_usage_may_stand_on_a_chunk_with_choices() -> None:
    """It counts, but the chunk is more than was asked for, and stays."""
    reader = ChatReader(asked=True)
    assert kinds(reader, [chunk({"content": "x"}), chunk({}, usage=USED)]) == [Kind.CONTENT, Kind.LIFECYCLE]
    assert reader.usage == Usage(10, 5)


def test_usage_that_is_counted_up_is_not_added_up() -> None:
    """Of usage on every chunk, the last one counts; also where the stream is cut."""
    reader = ChatReader(asked=True)
    for output in (1, 2, 3):
        reader.read(chunk({"content": "x"}, usage={"prompt_tokens": 10, "completion_tokens": output}))
    assert reader.usage == Usage(10, 3)
    assert reader.output_known


def test_cached_and_reasoning_tokens_are_part_of_the_others() -> None:
    """They are not counted twice."""
    reader = ChatReader()
    used = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 80, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    reader.read(chunk(None, usage=used))
    assert reader.usage == Usage(100, 50, cache_read=80, reasoning=40)


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        ({"choices": [], "x_groq": {"usage": USED}}, Usage(10, 5)),
        ({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USED}]}, Usage(10, 5)),
        ({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 7}},
         Usage(9, 2, cache_read=7)),
        ({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 16,
                                   "completion_tokens_details": {"reasoning_tokens": 5}}}, Usage(9, 7, reasoning=5)),
        ({"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}, None),
        ({"choices": [], "usage": {"prompt_tokens": "9", "completion_tokens": None}}, Usage(0, 0, estimated=True)),
        ({"choices": [], "usage": {"prompt_tokens": -9, "completion_tokens": True}}, Usage(0, 0, estimated=True)),
        ({"choices": [], "usage": [1]}, None),
        ({"choices": [], "usage": {"prompt_tokens": 1e300, "completion_tokens": 2.0}}, Usage(0, 2, estimated=True)),
        ({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1,
                                   "prompt_tokens_details": {"cached_tokens": 50}}}, Usage(5, 1, cache_read=5)),
    ],
)  # fmt: skip
def test_usage_is_found_where_servers_put_it(document: dict[str, Any], usage: Usage | None) -> None:
    """Groq's, Moonshot's, DeepSeek's, xAI's; one that says nothing is none, and what cannot be is left to estimates."""
    reader = ChatReader()
    reader.read(event(document))
    assert reader.usage == usage


def test_a_stream_without_usage_is_estimated() -> None:
    """From what was delivered, and it says so; a usage of nothing is none."""
    reader = ChatReader()
    kinds(
        reader, [chunk({"content": "x" * 400}), chunk({}, "stop", usage={"prompt_tokens": 0, "total_tokens": 0}), DONE]
    )
    assert (reader.usage, reader.output_known, reader.text_bytes) == (None, False, 400)


def test_a_usage_does_not_count_what_came_after_it() -> None:
    """Of a stream that was cut after a count of its input only, or after a first count."""
    early = ChatReader()
    early.read(chunk({"content": "x"}, usage={"prompt_tokens": 12, "completion_tokens": 1}))
    assert early.output_known
    early.read(chunk({"content": "y"}))
    assert not early.output_known
    reader = ChatReader()
    reader.read(chunk({"content": "x"}, usage={"prompt_tokens": 12, "completion_tokens": 0}))
    assert (reader.usage, reader.output_known) == (Usage(12, 0), False)


@pytest.mark.parametrize(
    ("delta", "kind"),
    [
        ({"role": "assistant"}, Kind.LIFECYCLE),
        ({"role": "assistant", "content": None}, Kind.LIFECYCLE),
        ({"content": "", "tool_calls": [], "reasoning_content": ""}, Kind.LIFECYCLE),
        ({}, Kind.LIFECYCLE),
        ({"content": " "}, Kind.CONTENT),
        ({"role": "assistant", "content": "x"}, Kind.CONTENT),
        ({"reasoning_content": "x"}, Kind.CONTENT),
        ({"reasoning": "x"}, Kind.CONTENT),
        ({"refusal": "no"}, Kind.CONTENT),
        ({"tool_calls": [{"index": 0, "function": {"name": "f"}}]}, Kind.CONTENT),
        ({"function_call": {"name": "f"}}, Kind.CONTENT),
        ({"audio": {"data": "AA=="}}, Kind.CONTENT),
        ({"content": [{"type": "text", "text": "x"}]}, Kind.CONTENT),
    ],
)
def test_content_is_what_the_client_could_show(delta: dict[str, Any], kind: Kind) -> None:
    """Until it comes, another provider may answer."""
    assert ChatReader().read(chunk(delta)) is kind


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        (raw(b""), Kind.LIFECYCLE),
        (event({"choices": [], "prompt_filter_results": [{}]}), Kind.LIFECYCLE),
        (raw(b"{not JSON"), Kind.OTHER),
        (raw(b"[]"), Kind.OTHER),
        (raw(b"\xff\xfe"), Kind.OTHER),
        (event({"choices": [None, 5, {"delta": 7}]}), Kind.LIFECYCLE),
        (event({"choices": "x"}), Kind.LIFECYCLE),
        (raw(b'{"choices":[{"delta":{"content":"\\ud83d"}}]}'), Kind.CONTENT),
    ],
)
def test_nothing_that_a_provider_sends_breaks_the_reader(one: Event, kind: Kind) -> None:
    """Comments, what Azure sends first, what is no JSON, wrong types, half a character."""
    assert ChatReader(asked=True).read(one) is kind


def test_a_stream_ends_when_all_its_choices_have() -> None:
    """Of several, the first end is not the end; `[DONE]` is, also by itself."""
    reader = ChatReader()
    kinds(reader, [chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({}, "stop")])
    assert not reader.finished
    assert reader.is_cut_off
    reader.read(chunk({}, "stop", index=1))
    assert reader.finished
    other = ChatReader()
    kinds(other, [chunk({"content": "a"}), DONE])
    assert other.finished


def test_what_follows_a_finish_reason_opens_no_choice() -> None:
    """Filters of Azure, and chunks that only have the usage."""
    reader = ChatReader()
    kinds(reader, [chunk({"content": "a"}), chunk({}, "stop"), chunk({}, usage=USED)])
    assert reader.finished


def test_text_of_all_choices_counts() -> None:
    """And what was thought, refused and called: all of it is paid for."""
    reader = ChatReader()
    kinds(reader, [chunk({"content": "ab"}), chunk({"content": "cd"}, index=1), chunk({"reasoning_content": "efg"})])
    reader.read(called("f", '{"a":1}'))
    assert reader.text_bytes == 14


def test_each_call_of_a_tool_is_counted_once() -> None:
    """Its arguments come in parts; servers repeat the name, or have all calls at the same place."""
    reader = ChatReader()
    kinds(
        reader,
        [called("f", "{", id="1"), called(None, "}"), called("g", "", index=1, id="2"), called("g", "x", index=1)],
    )
    assert reader.tool_calls == ["f", "g"]
    other = ChatReader()
    kinds(other, [called("f", "{}", id="1"), called("f", "{}", id="2"), called("f", "", id="2")])
    assert other.tool_calls == ["f", "f"]


def test_old_and_custom_calls_are_counted() -> None:
    """`function_call`, and tools that take any text."""
    reader = ChatReader()
    reader.read(chunk({"function_call": {"name": "f", "arguments": "{}"}}))
    reader.read(
        chunk({"tool_calls": [{"index": 0, "id": "1", "type": "custom", "custom": {"name": "g", "input": "x"}}]})
    )
    assert reader.tool_calls == ["f", "g"]


def test_a_hostile_stream_takes_no_memory() -> None:
    """Names, calls and choices without end are not kept."""
    reader = ChatReader()
    for number in range(5000):
        reader.read(called("f" * 10_000, "", index=number, id=str(number)))
        reader.read(chunk({"content": "x"}, index=number))
    assert len(reader.tool_calls) == 1024
    assert len(reader.tool_calls[0]) == 256
    assert reader.text_bytes == 5000


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"error": {"message": "m", "type": "server_error", "code": "x"}}, ProviderError(500, "x", "m")),
        ({"error": {"message": "m", "code": 502}}, ProviderError(502, "", "m")),
        ({"error": "m"}, ProviderError(0, "", "m")),
        ({"object": "error", "message": "m", "type": "Bad", "code": 400}, ProviderError(400, "Bad", "m")),
        ({"error": {"message": "m", "type": "rate_limit_exceeded"}, "choices": []},
         ProviderError(429, "rate_limit_exceeded", "m")),
    ],
)  # fmt: skip
def test_errors_in_streams_are_found(document: dict[str, Any], error: ProviderError) -> None:
    """With the status that HTTP would have given, where the provider says enough."""
    reader = ChatReader()
    assert reader.read(event(document)) is Kind.ERROR
    assert reader.error == error
    assert not reader.is_cut_off


def test_a_null_error_is_none() -> None:
    """Some servers have the member in every chunk."""
    assert ChatReader().read(chunk({"content": "x"}, error=None)) is Kind.CONTENT


def test_a_cut_stream_ends_in_an_error_that_sdks_raise() -> None:
    """`data: {"error": ...}` without `[DONE]`, which may have to end an event that never did."""
    reader = ChatReader()
    reader.read(chunk({"content": "x"}))
    assert reader.is_cut_off
    assert reader.cut_off("it is cut") == (
        b'data: {"error":{"message":"it is cut","type":"server_error","param":null,"code":"stream_cut_off"}}\n\n'
    )
    assert reader.cut_off("it is cut", within_event=True).startswith(b"\n\ndata: {")


def test_completions_are_read_the_same_way() -> None:
    """Their choices have a text."""
    reader = ChatReader(asked=True)
    events = [
        event({"model": "m", "choices": [{"index": 0, "text": "", "finish_reason": None}]}),
        event({"model": "m", "choices": [{"index": 0, "text": "abc", "finish_reason": None}]}),
        event({"model": "m", "choices": [{"index": 0, "text": "", "finish_reason": "length"}]}),
        event({"model": "m", "choices": [], "usage": USED}),
    ]
    assert kinds(reader, events) == [Kind.LIFECYCLE, Kind.CONTENT, Kind.FINAL, Kind.USAGE_ASKED]
    assert (reader.text_bytes, reader.finished, reader.usage) == (3, True, Usage(10, 5))
