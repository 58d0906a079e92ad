"""Recorded requests and answers, and streams of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from gateway.llm.sse import Event
from gateway.llm.translate.translation import StreamTranslator

_VECTORS = Path(__file__).parent / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    """The cases of a file."""
    cases: list[dict[str, Any]] = orjson.loads((_VECTORS / f"{name}.json").read_bytes())
    return cases


def title(case: dict[str, Any]) -> str:
    """What a case shows."""
    return str(case["what"]).replace(" ", "-")


def sent(data: bytes, name: bytes = b"") -> Event:
    """An event with this data."""
    return Event(name, data, b"data: %b\n\n" % data)


def translated(stream: StreamTranslator, events: Iterable[Any], *, ended: bool = True) -> bytes:
    """What a client gets for events: a document, a text such as [DONE], or (name, document)."""
    written = b""
    for event in events:
        name, data = event if isinstance(event, list) else ("", event)
        written += stream.event(sent(data.encode() if isinstance(data, str) else orjson.dumps(data), name.encode()))
    return written + (stream.end() if ended else b"")


def events_of(written: bytes) -> list[Any]:
    """A stream as documents, and texts where data is no JSON; each name must be the type of its document."""
    events = []
    for block in written.split(b"\n\n")[:-1]:
        if block.startswith(b":"):
            continue
        name, _, data = block.rpartition(b"data: ")
        if data == b"[DONE]":
            events.append("[DONE]")
            continue
        document = orjson.loads(data)
        assert not name or name == b"event: %b\n" % document["type"].encode()
        events.append(document)
    return events
