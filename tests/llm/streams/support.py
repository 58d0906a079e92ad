"""Events of streams, as providers send them, in any pieces."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from gateway.llm.sse import Event, EventSplitter
from gateway.llm.streams.reader import Kind, Reader


def event(document: Any, name: str = "") -> Event:
    """An event that holds a document."""
    return raw(orjson.dumps(document), name)


def raw(data: bytes, name: str = "") -> Event:
    """An event that holds these bytes."""
    first = f"event: {name}\n".encode() if name else b""
    return Event(name.encode(), data, first + b"data: " + data + b"\n\n")


def kinds(reader: Reader, events: Iterable[Event]) -> list[Kind]:
    """What each of the events is."""
    return [reader.read(one) for one in events]


def stream(events: Iterable[Event]) -> bytes:
    """The bytes of a stream."""
    return b"".join(one.raw for one in events)


def read(reader: Reader, pieces: Sequence[bytes]) -> Reader:
    """A stream that comes in these pieces, read to its end."""
    splitter = EventSplitter()
    for piece in pieces:
        kinds(reader, splitter.feed(piece))
    kinds(reader, splitter.finish())
    return reader


def summary(reader: Reader) -> tuple[object, ...]:
    """All that a reader has read."""
    return reader.usage, reader.model, reader.finished, reader.text_bytes, reader.tool_calls, reader.error
