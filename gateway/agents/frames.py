"""The event stream of the network (port 1002), without I/O: topics and payloads, cut out of bytes.

A frame is `u16 length of the topic, topic, u32 length of the payload, payload`, big-endian. The first one of a
connection subscribes to its topic (`*` is all of them), each later one publishes. A frame does not say who sent it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

TOPIC_MOST: Final = 1024  # bytes
PAYLOAD_MOST: Final = (
    512 * 1024
)  # of a message that we send or take; the network's own limit is 1 MiB at the local socket
FRAME_MOST: Final = 16 * 1024 * 1024  # of a payload that the network carries; what claims more is no frame
EVERYTHING: Final = "*"


class FrameError(ValueError):
    """The bytes are no frames; what follows them cannot be read."""


@dataclass(frozen=True, slots=True)
class Event:
    """One frame. `payload` is None where it has more than PAYLOAD_MOST bytes, which were passed over."""

    topic: str
    payload: bytes | None
    length: int


def encoded(topic: str, payload: bytes = b"") -> bytes:
    """One frame. Raises ValueError for a topic or a payload that is too long."""
    name = topic.encode()
    if len(name) > TOPIC_MOST or len(payload) > PAYLOAD_MOST:
        raise ValueError(
            f"a topic of {len(name)} bytes with {len(payload)}: {TOPIC_MOST} and {PAYLOAD_MOST} are the most"
        )
    return struct.pack("!H", len(name)) + name + struct.pack("!I", len(payload)) + payload


class Frames:
    """Cuts the bytes of one connection, which come in pieces, into events. Holds at most one frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._passed_over = 0  # bytes of a payload that is too long, which are still to come

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that are whole with these bytes. Raises FrameError; the connection is then of no more use."""
        if self._passed_over:
            skipped = min(self._passed_over, len(data))
            self._passed_over -= skipped
            data = data[skipped:]
        self._buffer += data
        start = 0
        try:
            while (found := self._event(start)) is not None:
                event, start = found
                yield event
        finally:
            del self._buffer[:start]

    def _event(self, start: int) -> tuple[Event, int] | None:
        buffer = self._buffer
        if len(buffer) - start < 2:
            return None
        (topic_length,) = struct.unpack_from("!H", buffer, start)
        if topic_length > TOPIC_MOST:
            raise FrameError(f"a topic of {topic_length} bytes: {TOPIC_MOST} are the most")
        head = start + 2 + topic_length
        if len(buffer) < head + 4:
            return None
        try:
            topic = bytes(buffer[start + 2 : head]).decode()
        except UnicodeDecodeError as error:
            raise FrameError("a topic that is no UTF-8") from error
        (length,) = struct.unpack_from("!I", buffer, head)
        end = head + 4 + length
        if length > PAYLOAD_MOST:
            if length > FRAME_MOST:
                raise FrameError(f"a payload of {length} bytes: {FRAME_MOST} are the most")
            self._passed_over = max(0, end - len(buffer))
            return Event(topic, None, length), min(end, len(buffer))
        if len(buffer) < end:
            return None
        return Event(topic, bytes(buffer[head + 4 : end]), length), end
