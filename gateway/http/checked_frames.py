"""The frames of a WebSocket whose messages are looked at: each one passes when it is whole, or not at all.

No extension may have been negotiated: what is compressed cannot be looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.http.frames import TOO_BIG, FrameReader, Violation, mask

REFUSED: Final = 1008  # the code for a message that violates a policy (RFC 6455, 7.4.1)
ROOM: Final = 64 * 1024  # bytes of frame headers around one message

MessageCheck = Callable[[bytes], str]
"""Why a message, whole and without its mask, may not pass, in a sentence for its sender; empty where it may."""


class CheckedFrames(FrameReader):
    """One direction of a WebSocket, of messages that are held until they are whole: at most `max_message` bytes."""

    def __init__(self, check: MessageCheck, *, masked: bool, max_message: int) -> None:
        super().__init__(masked=masked, max_message=max_message)
        self._check = check
        self._most = max_message + ROOM
        self._mask_size = 4 if masked else 0
        self._kept = bytearray()  # frames that wait for the end of their message
        self._next = 0  # where the first of them begins that was not read yet
        self._whole = bytearray()  # of the message that is under way
        self._begun = False  # a message is under way

    @property
    def at_boundary(self) -> bool:
        """Always: nothing but whole messages passes."""
        return True

    def end_with(self, frame: bytes) -> bytes:
        """See `FrameReader`. A message that is held does not pass."""
        if self.closed:
            return b""
        self.stop()
        return frame

    def stop(self) -> None:
        """See `FrameReader`."""
        self._kept.clear()
        super().stop()

    def read(self, data: bytes) -> bytes:
        """See `FrameReader`."""
        self._kept += super().read(data)
        end = 0  # of what passes
        while self.violation is None and (place := self._frame()) is not None:
            at, begin, after = self._next, *place
            self._next = after
            if self._kept[at] & 0x08:  # of control, which may stand within a message
                closes = self.close_seen and after == len(self._kept)
                if closes and self._begun:
                    return self._pass(end) + bytes(self._kept[at:after])
                end = end if self._begun else after
                continue
            payload = bytes(self._kept[begin:after])
            self._whole += mask(payload, bytes(self._kept[begin - 4 : begin])) if self._mask_size else payload
            self._begun = not self._kept[at] & 0x80
            if not self._begun:
                message = bytes(self._whole)
                self._whole.clear()
                if said := self._check(message):
                    self.violation = Violation(REFUSED, "a message that may not pass", said)
                else:
                    end = after
        passed = self._pass(end)
        if len(self._kept) > self._most and self.violation is None:
            self.violation = Violation(TOO_BIG, "a message in too many frames")
        if self.violation is not None:
            self.plain = False
            self._kept.clear()
        return passed

    def _pass(self, end: int) -> bytes:
        passed = bytes(self._kept[:end])
        del self._kept[:end]
        self._next -= end
        return passed

    def _frame(self) -> tuple[int, int] | None:
        """Where the payload of the next frame begins, and ends; None where it is not whole. Its header is a valid one,
        and whole: `FrameReader` holds back what is not."""
        kept, begin = self._kept, self._next + 2
        if begin > len(kept):
            return None
        length = kept[self._next + 1] & 0x7F
        if length > 125:
            size = 2 if length == 126 else 8
            length = int.from_bytes(kept[begin : begin + size], "big")
            begin += size
        begin += self._mask_size
        return (begin, begin + length) if begin + length <= len(kept) else None
