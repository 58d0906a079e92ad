"""Server-sent events, cut out of the bytes of a stream (HTML standard, 9.2.6). No I/O.

The raw bytes of all events, one after the other, are the bytes of the stream.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

MOST_HELD: Final = 4 * 1024 * 1024
"""Bytes of one event that are waited for, as one with a picture has. Of a longer one, which passes in parts, only
the usage is read."""

_EMPTY_LINE: Final = re.compile(rb"\n(?:\n|\r\n?+)|\r\r\n?+")
"""The end of a line and an empty one, where each of LF, CRLF and CR is an end: of a first CRLF only the LF."""

_BOM: Final = b"\xef\xbb\xbf"


class Part(Enum):
    """Parts of an event that is too long to be read."""

    SOME = "some"  # another part follows
    LAST = "last"


class Event:
    """One event: its name, its data, and the bytes that it was, with the empty line that ends it."""

    __slots__ = ("data", "name", "part", "raw")

    def __init__(self, name: bytes, data: bytes, raw: bytes, part: Part | None = None) -> None:
        self.name = name
        self.data = data
        self.raw = raw
        self.part = part  # of an event that is too long: it has no name and no data then


class EventSplitter:
    """Takes the bytes of one stream as they come, and gives the events that are whole by then."""

    __slots__ = ("_held", "_limit", "_passing", "_searched", "_started")

    def __init__(self, limit: int = MOST_HELD) -> None:
        self._limit = limit
        self._held = bytearray()  # the beginning of an event that is not whole yet
        self._searched = 0  # of it, how much is known to hold no end
        self._passing = False  # it was too long: its bytes are given on, until it ends
        self._started = False

    @property
    def pending(self) -> int:
        """The bytes of the event that is not whole yet: what came, and is in no event so far."""
        return len(self._held)

    def feed(self, piece: bytes) -> list[Event]:
        """The events that are whole with these bytes."""
        if not self._held and not self._passing and b"\r" not in piece and piece.endswith(b"\n\n"):
            if piece.find(b"\n\n") == len(piece) - 2:
                return [self._event(piece)]
            return [self._event(block + b"\n\n") for block in piece[:-2].split(b"\n\n")]
        events: list[Event] = []
        self._held += piece
        begun = 0
        while (end := self._end(begun)) > 0:
            raw = bytes(self._held[begun:end])
            events.append(Event(b"", b"", raw, Part.LAST) if self._passing else self._event(raw))
            self._passing = False
            begun = self._searched = end
        del self._held[:begun]
        self._searched = max(0, len(self._held) - 3)
        if self._passing or len(self._held) > self._limit:
            kept = 3
            if len(self._held) > kept:
                events.append(Event(b"", b"", bytes(self._held[:-kept]), Part.SOME))
                del self._held[:-kept]
            self._searched = 0
            self._passing = True
        return events

    def finish(self) -> list[Event]:
        """The rest at the end of the stream, as an event: servers leave out the last empty line."""
        raw, self._held = bytes(self._held), bytearray()
        self._searched = 0
        if not raw:
            return []
        return [Event(b"", b"", raw, Part.SOME) if self._passing else self._event(raw)]

    def _end(self, begun: int) -> int:
        """Where the event that begins there ends; -1 where that did not come yet."""
        found = _EMPTY_LINE.search(self._held, max(begun, self._searched))
        if found is None:
            return -1
        end = found.end()
        if end < len(self._held) or self._held[end - 1 : end] != b"\r":
            return end
        # The last byte is a CR: of a CRLF whose LF is still to come, where the line before ended with an LF.
        return -1 if found.group().startswith(b"\n") else end

    def _event(self, raw: bytes) -> Event:
        if not self._started:
            self._started = True
            if raw.startswith(_BOM):
                return parsed(raw[3:], raw)
        return parsed(raw, raw)


def parsed(block: bytes, raw: bytes) -> Event:
    """One event out of its lines. Lines of other fields, and comments, are passed over."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if block.startswith(b"data: ") and block.find(b"\n") == len(block) - 2:
        return Event(b"", block[6:-2], raw)  # nearly all are
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return Event(name, b"\n".join(data), raw)
