"""The frames of a WebSocket (RFC 6455, 5), read header by header as they pass; no I/O.

Only frame headers and the payloads of control frames are looked at: what a read costs depends on how many frames it
holds, not on how many bytes. What is refused, before anything of it has passed:

- a mask where none belongs, or none where one does; a length that is not in its shortest form, or over 63 bits;
- an unknown opcode, a continuation of nothing, a message within a message;
- a control frame in fragments, or over 125 bytes; a close frame that holds no valid code or reason;
- reserved bits that no extension was negotiated for;
- a message over the limit, counted in bytes on the wire.
"""

from __future__ import annotations

import random
from typing import Final

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_CODE: Final = 1005  # this and the next one are never sent: a close frame without a code
LOST: Final = 1006  # the end of a connection without a close frame
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009
FAILED: Final = 1011
RESTART: Final = 1012  # the client may come back at once (registered with IANA)

RSV1: Final = 0x40
RESERVED: Final = 0x70
FRAMES_AT_ONCE: Final = 512  # that one read may take up, so that it takes no more than its share of a loop's turn

CONTROL_LIMIT: Final = 125  # bytes of the payload of a control frame
CLOSE_REASON: Final = CONTROL_LIMIT - 2  # bytes of the reason in a close frame
_WHOLE: Final = frozenset({0x80 | TEXT, 0x80 | BINARY})
_HEADER: Final = 2  # bytes that every frame has


class Violation:
    """Why nothing more of a direction may pass."""

    __slots__ = ("code", "reason", "said")

    def __init__(self, code: int, reason: str, said: str = "") -> None:
        self.code = code  # of the close frames that say so (RFC 6455, 7.4.1)
        self.reason = reason
        self.said = said  # in the close frame to the one who sent it


def encode_frame(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    """A frame that is a whole message, of at most 125 bytes."""
    if not masked:
        return bytes((0x80 | opcode, len(payload))) + payload
    key = random.getrandbits(32).to_bytes(4, "big")
    return bytes((0x80 | opcode, 0x80 | len(payload))) + key + mask(payload, key)


def close_frame(code: int, *, masked: bool, said: str = "") -> bytes:
    """A close frame. `said`: its reason, of which as many characters are sent as there is room for."""
    reason = said.encode("utf-8", "replace")
    if len(reason) > CLOSE_REASON:
        reason = reason[:CLOSE_REASON].decode("utf-8", "ignore").encode()
    return encode_frame(CLOSE, code.to_bytes(2, "big") + reason, masked=masked)


def mask(payload: bytes, key: bytes) -> bytes:
    """The payload masked, or unmasked (RFC 6455, 5.3)."""
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(size, "big")


class FrameReader:
    """One direction of a WebSocket.

    `masked`: the frames come from the client. `first_bits` are the reserved bits that the first frame of a message may
    have, `other_bits` those of all other frames. `max_message` is in bytes.
    """

    __slots__ = (
        "_at_once",
        "_awaited",
        "_bytes",
        "_first_bits",
        "_fragmented",
        "_held",
        "_last",
        "_left",
        "_mask_bit",
        "_max_message",
        "_message",
        "_other_bits",
        "_overhead",
        "_payload_at",
        "_pongs",
        "_short",
        "behind",
        "close_seen",
        "closed",
        "dropped",
        "messages",
        "plain",
        "violation",
    )

    def __init__(
        self,
        *,
        masked: bool,
        max_message: int,
        first_bits: int = 0,
        other_bits: int = 0,
        at_once: int = FRAMES_AT_ONCE,
    ) -> None:
        self._mask_bit = 0x80 if masked else 0
        self._overhead = _HEADER + (4 if masked else 0)  # bytes of the header of a short frame
        self._short = min(CONTROL_LIMIT, max_message)
        self.plain = True  # between two messages, and nothing calls for attention
        self._max_message = max_message
        self._first_bits = first_bits
        self._other_bits = other_bits
        self._at_once = at_once
        self._held = b""  # a header or a control frame of which a part has come; what comes behind the share of a read
        self._left = 0  # bytes of a payload that have not come yet
        self._fragmented = False  # a message has begun, and not ended
        self._message = 0  # bytes of it
        self._payload_at = 0  # where the payload of the frame begins that is being read
        self._bytes = 0  # of messages, as announced
        self._last = b""  # the frame that ends the direction once the payload under way is complete
        self._awaited = b""  # what the pong to our own ping holds
        self._pongs = 0  # that will come for our own pings
        self.behind = False  # there is more to read in what has come: call `read` again in another turn
        self.closed = False  # the last frame has passed, and nothing more will
        self.close_seen = False  # a close frame has come; what comes behind it is not looked at
        self.dropped = 0  # bytes that came after the last frame had passed
        self.messages = 0  # data messages whose last frame has begun
        self.violation: Violation | None = None  # nothing more will pass

    @property
    def passed(self) -> int:
        """Bytes of messages that have passed, as they are on the wire, without the frames around them."""
        return self._bytes if self.closed else self._bytes - self._left

    @property
    def at_boundary(self) -> bool:
        """Whether what has passed so far ends with a whole frame, so that another one may follow."""
        return not self._left

    def await_pong(self, payload: bytes) -> None:
        """The gateway itself has sent a ping: one pong with its payload is not for the other side."""
        self._awaited = payload
        self._pongs += 1

    @property
    def answered(self) -> bool:
        """Whether nothing that comes is of any use any more: a close frame has come, or what cannot be read."""
        return self.close_seen or self.violation is not None

    def end_with(self, frame: bytes) -> bytes:
        """End this direction with a frame. Returns it where it may be sent now; else it comes out of `read`.

        What comes then is still read, up to a close frame, but does not pass.
        """
        if self.closed or self._last:
            return b""
        if self._left:
            self._last = frame
            return b""
        self.stop()
        return frame

    def stop(self) -> None:
        """End this direction where it is: there is nobody to pass it on to. What comes is read as after `end_with`."""
        if self.closed:
            return
        self._bytes -= self._left
        self.closed = True
        self.plain = False
        if self.violation is not None and self.violation.code == TOO_BIG:
            self.violation = None  # what does not pass may have any size

    def read(self, data: bytes) -> bytes:
        """The received bytes that pass on. Afterwards, unless `plain`, check `violation`, `closed` and `behind`."""
        if self.plain:
            length = len(data) - self._overhead
            # As most reads are: one frame, which is a whole short message.
            if 0 <= length <= self._short and data[1] == self._mask_bit | length and data[0] in _WHOLE:
                self._bytes += length
                self.messages += 1
                return data
            self.plain = False
        if self.closed:
            self.dropped += len(data)
        if self.close_seen or self.violation is not None:
            return b""
        self.behind = False
        if self._held:
            data = self._held + data
            self._held = b""
        size = len(data)
        at = self._left
        if at > size:
            self._left = at - size
            return b"" if self.closed else data
        self._left = 0
        if self.closed:
            self._read_frames(data, at, size)
            return b""
        if self._last:
            self.closed = True
            self._read_frames(data, at, size)
            return data[:at] + self._last
        return self._read_frames(data, at, size)

    def _read_frames(self, data: bytes, at: int, size: int) -> bytes:
        """The same, from a frame's header at `at` on."""
        frames = self._at_once
        start = 0  # of what has not been passed on
        pieces = b""
        while at + _HEADER <= size and frames and not self.close_seen:
            frames -= 1
            length = self._read_header(data, at, size)
            if length < 0:
                break
            end = self._payload_at + length
            if not data[at] & 0x08:
                if not self._may_be_data(data[at], length):
                    break
            elif end > size or not self._may_be_control(data, at, end):
                break
            elif data[at] == 0x80 | PONG and self._pongs and self._is_ours(data, end):
                pieces += data[start:at]
                start = end
            at = end
        if self.close_seen:
            self.closed = True
            return pieces + data[start:at]
        if at >= size:
            self._left = at - size
            self.plain = not (self._left or self._fragmented or self.closed)
            return pieces + data[start:] if start else data
        self._held = data[at:]
        self.behind = not frames and self.violation is None
        return pieces + data[start:at]

    def _read_header(self, data: bytes, at: int, size: int) -> int:
        """The length of the frame at `at`, whose payload begins at `_payload_at`; -1 where its header has not come
        whole, or there is something wrong with it."""
        second = data[at + 1]
        if second & 0x80 != self._mask_bit:
            self.violation = Violation(PROTOCOL_ERROR, "a mask is missing, or where none belongs")
            return -1
        length = second & 0x7F
        begin = at + _HEADER
        if length > CONTROL_LIMIT:
            if data[at] & 0x08:
                self.violation = Violation(PROTOCOL_ERROR, f"a control frame over {CONTROL_LIMIT} bytes")
                return -1
            extended = 2 if length == 126 else 8
            begin += extended
            if begin > size:
                return -1
            shortest = 126 if length == 126 else 1 << 16
            length = int.from_bytes(data[begin - extended : begin], "big")
            if length < shortest or length >= 1 << 63:
                self.violation = Violation(PROTOCOL_ERROR, "a length not in its shortest form, or over 63 bits")
                return -1
        if self._mask_bit:
            begin += 4
        self._payload_at = begin
        return length if begin <= size else -1

    def _may_be_data(self, first: int, length: int) -> bool:
        """Whether a frame of data with this first byte may come; it is counted then."""
        opcode = first & 0x0F
        if opcode > BINARY:
            self.violation = Violation(PROTOCOL_ERROR, f"the unknown opcode {opcode}")
            return False
        if (opcode == CONTINUATION) != self._fragmented:
            what = "a message within a message" if self._fragmented else "a continuation of no message"
            self.violation = Violation(PROTOCOL_ERROR, what)
            return False
        if first & RESERVED and first & RESERVED & ~(self._first_bits if opcode else self._other_bits):
            self.violation = Violation(PROTOCOL_ERROR, "a reserved bit that no extension was negotiated for")
            return False
        message = self._message + length if self._fragmented else length
        if message > self._max_message and not self.closed:
            self.violation = Violation(TOO_BIG, f"a message over {self._max_message} bytes")
            return False
        self._message = message
        self._fragmented = not first & 0x80
        if not self.closed:
            self._bytes += length
            self.messages += 0 if self._fragmented else 1
        return True

    def _may_be_control(self, data: bytes, at: int, end: int) -> bool:
        """Whether the control frame between these places may pass."""
        first = data[at]
        if first & 0x0F > PONG:
            self.violation = Violation(PROTOCOL_ERROR, f"the unknown opcode {first & 0x0F}")
        elif not first & 0x80:
            self.violation = Violation(PROTOCOL_ERROR, "a control frame in fragments")
        elif first & RESERVED & ~self._other_bits:
            self.violation = Violation(PROTOCOL_ERROR, "a reserved bit that no extension was negotiated for")
        elif first & 0x0F == CLOSE:
            self._check_close(self._payload(data, end))
            self.close_seen = self.violation is None
        return self.violation is None

    def _payload(self, data: bytes, end: int) -> bytes:
        begin = self._payload_at
        payload = data[begin:end]
        return mask(payload, data[begin - 4 : begin]) if self._mask_bit and payload else payload

    def _is_ours(self, data: bytes, end: int) -> bool:
        if end - self._payload_at != len(self._awaited) or self._payload(data, end) != self._awaited:
            return False
        self._pongs -= 1
        return True

    def _check_close(self, payload: bytes) -> None:
        if len(payload) == 1 or (payload and not _is_close_code(int.from_bytes(payload[:2], "big"))):
            self.violation = Violation(PROTOCOL_ERROR, "a close frame without a valid code")
            return
        try:
            payload[2:].decode()
        except UnicodeDecodeError:
            self.violation = Violation(INVALID_DATA, "a close frame whose reason is no UTF-8")


def _is_close_code(code: int) -> bool:
    """Whether a close frame may hold it (RFC 6455, 7.4, and the registry that it founded)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
