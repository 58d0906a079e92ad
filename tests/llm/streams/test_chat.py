"""Streams of chat, as OpenAI and those who follow it send them."""

from typing import Any

import orjson

from gateway.llm.sse import Event
from gateway.llm.streams.chat import ChatReader
from gateway.llm.streams.reader import Kind
from gateway.llm.usage import Usage


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> Event:
    """One chunk; with a delta, one choice."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    data = orjson.dumps({"id": "c", "model": "m-1", "choices": choices, **more})
    return Event(b"", data, b"data: " + data + b"\n\n")


DONE = Event(b"", b"[DONE]", b"data: [DONE]\n\n")
USED = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def test_an_ordinary_stream_is_read_to_its_end() -> None:
    """The role alone is no content; the last chunk has the usage that the gateway asked for, and is taken out."""
    reader = ChatReader(asked=True)
    events = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "h\u00e9"}, usage=None),
        chunk({}, "stop"),
        chunk(None, usage=USED),
        DONE,
    ]
    kinds = [reader.read(event) for event in events]
    assert kinds == [Kind.LIFECYCLE, Kind.CONTENT, Kind.FINAL, Kind.USAGE_ASKED, Kind.FINAL]
    assert reader.usage == Usage(10, 5)
    assert (reader.model, reader.text_bytes, reader.finished) == ("m-1", 3, True)
