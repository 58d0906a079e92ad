"""Frames of messages that are looked at."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.http.checked_frames import REFUSED, CheckedFrames
from gateway.http.frames import CLOSE, PING, TEXT, TOO_BIG, close_frame, encode_frame, mask

KEY = b"\x01\x7f\x80\xff"


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A frame of a client, of any size."""
    size = len(payload)
    if size <= 125:
        length = bytes((0x80 | size,))
    elif size < 1 << 16:
        length = bytes((0x80 | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((0x80 | 127,)) + size.to_bytes(8, "big")
    return bytes(((0x80 if final else 0) | opcode,)) + length + KEY + mask(payload, KEY)


def said(message: bytes) -> str:
    return "no" if b"bad" in message else ""


def reader(most: int = 1 << 20) -> CheckedFrames:
    return CheckedFrames(said, masked=True, max_message=most)


@given(st.lists(st.binary(max_size=300) | st.sampled_from([b"x" * 70_000]), max_size=6), st.data())
def test_messages_pass_as_they_came(payloads: list[bytes], data: st.DataObject) -> None:
    """However the messages are cut into frames, and the frames into reads."""
    wire = b""
    for payload in (each for each in payloads if b"bad" not in each):
        cut = data.draw(st.integers(0, len(payload)))
        whole = data.draw(st.booleans())
        ping = encode_frame(PING, b"p", masked=True) if data.draw(st.booleans()) else b""
        wire += (
            frame(TEXT, payload) if whole else frame(TEXT, payload[:cut], final=False) + ping + frame(0, payload[cut:])
        )
    one, passed, at = reader(), b"", 0
    while at < len(wire):
        size = data.draw(st.integers(1, 70_000))
        passed += one.read(wire[at : at + size])
        while one.behind:
            passed += one.read(b"")
        at += size
    assert one.violation is None
    assert passed == wire


def test_nothing_of_a_refused_message_passes() -> None:
    """What came before it does; it is seen also where it is cut in the middle of a word, and nothing follows."""
    one = reader()
    good = frame(TEXT, b"good")
    passed = one.read(good + frame(TEXT, b"ba", final=False)) + one.read(frame(0, b"d") + good)
    assert passed == good
    assert one.violation is not None
    assert (one.violation.code, one.violation.said, one.plain) == (REFUSED, "no", False)
    assert one.read(good) == b""


def test_a_message_waits_until_it_is_whole() -> None:
    """An end of the gateway's takes its place, and a close frame passes without it."""
    one = reader()
    assert one.read(frame(TEXT, b"half", final=False)) == b""
    assert one.at_boundary
    end = close_frame(1001, masked=True)
    assert one.end_with(end) == end
    assert (one.closed, one.read(frame(0, b"rest"))) == (True, b"")
    other, closing = reader(), encode_frame(CLOSE, b"\x03\xe8", masked=True)
    assert other.read(frame(TEXT, b"half", final=False) + closing) == closing
    assert (other.closed, other.violation) == (True, None)


def test_what_is_held_is_bounded() -> None:
    """Also a message in very many frames with next to nothing in them."""
    one = reader(1000)
    assert one.read(frame(TEXT, b"x" * 1001)) == b""
    assert one.violation is not None
    assert one.violation.code == TOO_BIG
    other, held = reader(1000), 0
    other.read(frame(TEXT, b"", final=False))
    while other.violation is None:
        held += len(other.read(frame(0, b"", final=False) * 500))
        assert held == 0
    assert other.violation.code == TOO_BIG
