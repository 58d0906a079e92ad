"""Server-sent events, cut out of a stream wherever that was split, with the bytes that they came as."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_LINE_END: Final = re.compile(rb"(?>\r\n|\n|\r)")
_EVENT_END: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_COMMENT: Final = re.compile(rb":[^\r\n]*(?:\r\n|\n|\r(?=[^\n]))")
_BOM: Final = b"\xef\xbb\xbf"


class TooLarge(Exception):
    """An event that is larger than may be kept."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `raw` is what came for it, its end included."""

    raw: bytes = field(repr=False)
    data: str = field(default="", repr=False)
    name: str = ""  # empty: `message`
    id: str | None = None
    retry: str = ""
    has_data: bool = False  # otherwise it is a comment, or sets only an id or a pause

    def with_data(self, data: str, id: str | None) -> bytes:
        """The same event with other data and another id."""
        return written(data if self.has_data else None, name=self.name, id=id, retry=self.retry)


class EventReader:
    """Cuts a stream into events of at most `largest` bytes."""

    __slots__ = ("_began", "_kept", "_largest", "_searched")

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._kept = bytearray()
        self._searched = 0  # so many bytes have no end of an event in them
        self._began = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that end in these bytes. Raises TooLarge."""
        kept = self._kept
        kept += data
        events: list[Event] = []
        begin = 0
        while (end := _EVENT_END.search(kept, max(begin, self._searched))) is not None:
            events.append(self._event(bytes(kept[begin : end.end()])))
            begin = self._searched = end.end()
        while (comment := _COMMENT.match(kept, begin)) is not None:  # it keeps a connection alive, and must not wait
            events.append(self._event(bytes(kept[begin : comment.end()])))
            begin = comment.end()
        del kept[:begin]
        self._searched = max(0, len(kept) - 3)  # of an end of at most four bytes
        if len(kept) > self._largest:
            raise TooLarge
        return events

    def rest(self) -> Event | None:
        """The bytes behind the last event: no event by the specification, which some readers accept as one."""
        raw = bytes(self._kept)
        self._kept.clear()
        return self._event(raw) if raw else None

    def _event(self, raw: bytes) -> Event:
        text = raw if self._began else raw.removeprefix(_BOM)
        self._began = True
        data: list[str] = []
        name, retry, id = "", "", None
        for line in _LINE_END.split(text):
            field_name, colon, value = line.partition(b":")
            if not line or (not field_name and colon):
                continue
            value = value.removeprefix(b" ")
            said = value.decode("utf-8", "replace")
            if field_name == b"data":
                data.append(said)
            elif field_name == b"event":
                name = said
            elif field_name == b"id" and b"\0" not in value:
                id = said
            elif field_name == b"retry":
                retry = said
        return Event(raw, "\n".join(data), name, id, retry, has_data=bool(data))


def written(data: str | None, *, name: str = "", id: str | None = None, retry: str = "") -> bytes:
    """An event as it is sent."""
    lines = [f"event: {name}"] if name else []
    lines += [f"id: {id}"] if id is not None else []
    lines += [f"retry: {retry}"] if retry else []
    lines += [f"data: {line}" for line in re.split(r"\r\n|\n|\r", data)] if data is not None else []
    return "\n".join((*lines, "", "")).encode()
