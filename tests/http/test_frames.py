"""The frames of a WebSocket, as arithmetic on bytes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.speedups import apply_mask

from gateway.http.frames import (
    FRAMES_AT_ONCE,
    INVALID_DATA,
    PROTOCOL_ERROR,
    TOO_BIG,
    FrameReader,
    close_frame,
    encode_frame,
    mask,
)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
OURS = b"ours"


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    masked: bool = False,
    final: bool = True,
    bits: int = 0,
    long: int = 0,
    says: int | None = None,
) -> bytes:
    """A frame of any kind, right or wrong. `long`: a form of the length that is longer; `says`: another length."""
    length = len(payload) if says is None else says
    head = bytes([(0x80 if final else 0) | bits | opcode])
    flag = 0x80 if masked else 0
    if long == 8 or length >= 1 << 16:
        head += bytes([flag | 127]) + length.to_bytes(8, "big")
    elif long == 2 or length > 125:
        head += bytes([flag | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([flag | length])
    if not masked:
        return head + payload
    key = b"\xa5\x01\xff\x00"
    return head + key + apply_mask(payload, key)


def reader(*, masked: bool = False, max_message: int = 2**20, bits: int = 0, other: int = 0) -> FrameReader:
    return FrameReader(masked=masked, max_message=max_message, first_bits=bits, other_bits=other)


def read(frames: FrameReader, pieces: Sequence[bytes]) -> bytes:
    """All that passes of these pieces."""
    passed = []
    for piece in pieces:
        passed.append(frames.read(piece))
        while frames.behind:
            passed.append(frames.read(b""))
    return b"".join(passed)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


ANY_FRAME = st.builds(
    frame,
    st.sampled_from([0, TEXT, BINARY, BINARY, 3, CLOSE, PING, PONG, 11]),
    st.one_of(
        st.binary(max_size=200),
        st.just(OURS),
        st.just(b"\x03\xe8bye"),
        st.integers(120, 70_000).map(bytes),
    ),
    masked=st.sampled_from([True, True, True, True, False]),
    final=st.booleans(),
    bits=st.sampled_from([0, 0, 0, 0x40, 0x20]),
    long=st.sampled_from([0, 0, 0, 2, 8]),
)
STATE = ("passed", "messages", "closed", "at_boundary")


@given(st.lists(ANY_FRAME, max_size=12), st.lists(st.integers(0), max_size=12))
def test_any_split_gives_the_same(frames: list[bytes], places: list[int]) -> None:
    """However what comes is cut into reads, the same bytes pass, and the same is counted and refused."""
    data = b"".join(frames)
    whole, split = reader(masked=True, bits=0x40), reader(masked=True, bits=0x40)
    for one in (whole, split):
        one.await_pong(OURS)
    assert read(whole, [data]) == read(split, cut(data, places))
    assert [getattr(whole, name) for name in STATE] == [getattr(split, name) for name in STATE]
    assert (whole.violation is None) == (split.violation is None)
    if whole.violation and split.violation:
        assert (whole.violation.code, whole.violation.reason) == (split.violation.code, split.violation.reason)


VALID = st.lists(
    st.one_of(
        st.builds(
            frame, st.sampled_from([PING, PONG]), st.binary(max_size=125).filter(OURS.__ne__), masked=st.just(True)
        ),
        st.builds(frame, st.sampled_from([TEXT, BINARY]), st.binary(max_size=300), masked=st.just(True)),
        st.builds(
            lambda *parts: (
                frame(TEXT, parts[0], masked=True, final=False, bits=0x40)
                + frame(PING, parts[1][:125], masked=True)
                + frame(0, parts[2], masked=True)
            ),
            st.binary(max_size=300),
            st.binary(max_size=300),
            st.binary(max_size=300),
        ),
    ),
    max_size=12,
)


@given(VALID, st.lists(st.integers(0), max_size=12), st.integers(0))
def test_what_is_right_passes_as_it_came(frames: list[bytes], places: list[int], place: int) -> None:
    """Every byte, in its order, but for the pong to the gateway's own ping."""
    one = reader(masked=True, bits=0x40)
    one.await_pong(OURS)
    place %= len(frames) + 1
    with_pong = [*frames[:place], frame(PONG, OURS, masked=True), *frames[place:]]
    assert read(one, cut(b"".join(with_pong), places)) == b"".join(frames)
    assert one.violation is None
    assert one.at_boundary


@given(VALID, st.lists(st.integers(0), max_size=12), st.integers(0))
def test_a_last_frame_stands_at_a_boundary(frames: list[bytes], places: list[int], place: int) -> None:
    """It is inserted behind a whole frame, wherever in the stream it was asked for, and nothing follows it."""
    data = b"".join(frames)
    pieces = cut(data, places)
    place %= len(pieces) + 1
    one, last = reader(masked=True, bits=0x40), frame(CLOSE, b"\x03\xe9", masked=True)
    passed = read(one, pieces[:place]) + one.end_with(last)
    passed += read(one, pieces[place:])
    assert passed.endswith(last)
    assert one.closed
    again = reader(masked=True, bits=0x40)
    assert read(again, [passed]) == passed
    assert again.closed
    assert again.violation is None
    assert data.startswith(passed.removesuffix(last))


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([frame(TEXT, b"a", masked=False)], PROTOCOL_ERROR),
        ([frame(3, b"a", masked=True)], PROTOCOL_ERROR),
        ([frame(11, b"a", masked=True)], PROTOCOL_ERROR),
        ([frame(0, b"a", masked=True)], PROTOCOL_ERROR),
        ([frame(TEXT, b"a", masked=True, final=False), frame(TEXT, b"a", masked=True)], PROTOCOL_ERROR),
        ([frame(PING, b"a", masked=True, final=False)], PROTOCOL_ERROR),
        ([frame(PING, bytes(126), masked=True)], PROTOCOL_ERROR),
        ([frame(PING, b"a", masked=True, long=2)], PROTOCOL_ERROR),
        ([frame(PING, b"a", masked=True, bits=0x40)], PROTOCOL_ERROR),
        ([frame(TEXT, b"a", masked=True, bits=0x20)], PROTOCOL_ERROR),
        ([frame(TEXT, b"a", masked=True, bits=0x10)], PROTOCOL_ERROR),
        ([frame(TEXT, b"a", masked=True, final=False), frame(0, b"a", masked=True, bits=0x40)], PROTOCOL_ERROR),
        ([frame(TEXT, bytes(125), masked=True, long=2)], PROTOCOL_ERROR),
        ([frame(TEXT, bytes(200), masked=True, long=8)], PROTOCOL_ERROR),
        ([frame(TEXT, masked=True, says=1 << 63)], PROTOCOL_ERROR),
        ([frame(TEXT, masked=True, says=(1 << 63) - 1)], TOO_BIG),
        ([frame(TEXT, bytes(1001), masked=True)], TOO_BIG),
        ([frame(TEXT, bytes(600), masked=True, final=False), frame(0, bytes(401), masked=True)], TOO_BIG),
        ([frame(CLOSE, b"\x03", masked=True)], PROTOCOL_ERROR),
        *[
            ([frame(CLOSE, code.to_bytes(2, "big"), masked=True)], PROTOCOL_ERROR)
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)
        ],
        ([frame(CLOSE, b"\x03\xe8\xff", masked=True)], INVALID_DATA),
    ],
)
def test_what_is_wrong_does_not_pass(frames: list[bytes], code: int) -> None:
    """What came before it does; the close code says of which kind it is."""
    before = frame(TEXT, b"before", masked=True)
    one = reader(masked=True, max_message=1000, bits=0x40)
    assert read(one, [before + b"".join(frames)]) == before + b"".join(frames[:-1])
    assert one.violation is not None
    assert one.violation.code == code
    assert read(one, [before]) == b""


@pytest.mark.parametrize(
    "frames",
    [
        [frame(TEXT, bytes(1000), masked=True)],
        [frame(TEXT, bytes(500), masked=True, final=False), frame(0, bytes(500), masked=True)],
        [frame(BINARY, b"a", masked=True, bits=0x40, final=False), frame(0, b"a", masked=True)],
        [frame(PING, bytes(125), masked=True), frame(PONG, masked=True)],
        *[
            [frame(CLOSE, code.to_bytes(2, "big") + "grün".encode(), masked=True)]
            for code in (1000, 1003, 1007, 1014, 3000, 4999)
        ],
        [frame(CLOSE, masked=True)],
    ],
)
def test_what_is_just_right_passes(frames: list[bytes]) -> None:
    """The largest that may be, the rarest code, the emptiest frame."""
    one = reader(masked=True, max_message=1000, bits=0x40)
    assert read(one, frames) == b"".join(frames)
    assert one.violation is None


def test_a_server_masks_nothing() -> None:
    """A masked frame of the backend does not pass."""
    one = reader()
    assert read(one, [frame(TEXT, b"a"), frame(TEXT, b"b", masked=True)]) == frame(TEXT, b"a")
    assert one.violation is not None


def test_other_extensions_may_use_all_reserved_bits() -> None:
    """What an extension that the gateway does not know does with them is its own affair."""
    one = reader(bits=0x70, other=0x70)
    frames = [frame(TEXT, b"a", bits=0x30, final=False), frame(0, b"a", bits=0x70), frame(PING, bits=0x20)]
    assert read(one, frames) == b"".join(frames)


def test_nothing_passes_behind_a_close_frame() -> None:
    """Frames after it are dropped."""
    one, close = reader(), frame(CLOSE, b"\x03\xe8")
    assert read(one, [close + frame(TEXT, b"a"), frame(TEXT, b"b")]) == close
    assert one.closed
    assert one.violation is None


def test_a_read_of_many_frames_takes_turns() -> None:
    """At most so many frames in one call; the others in the next ones."""
    many = frame(PING) * (2 * FRAMES_AT_ONCE + 1)
    one = reader()
    assert [len(one.read(data)) for data in (many, b"", b"")] == [2 * FRAMES_AT_ONCE, 2 * FRAMES_AT_ONCE, 2]
    assert not one.behind


def test_large_frames_are_not_looked_through() -> None:
    """A read in the middle of a payload passes on as the same object: nothing is copied."""
    one = reader()
    one.read(frame(BINARY, b"", says=500_000))
    piece = bytes(100_000)
    assert one.read(piece) is piece
    assert (one.passed, one.at_boundary) == (100_000, False)


def test_nothing_is_counted_once_there_is_nobody() -> None:
    """A direction that stops in the middle of a frame has passed what came before; it is read on for a close frame."""
    one = reader()
    whole = frame(BINARY, bytes(1000))
    one.read(whole[:-100])
    one.stop()
    rest = whole[-100:] + whole * 3
    assert one.read(rest) == b""
    assert (one.passed, one.dropped, one.close_seen) == (900, len(rest), False)
    assert one.read(frame(CLOSE, b"\x03\xe8")) == b""
    assert one.close_seen


@given(st.binary(max_size=125), st.booleans())
def test_frames_of_our_own_are_valid(payload: bytes, masked: bool) -> None:
    """A ping or close frame that the gateway inserts passes its own reader."""
    one, ping = reader(masked=masked), encode_frame(PING, payload, masked=masked)
    assert read(one, [ping]) == ping
    close = close_frame(1001, masked=masked)
    assert read(one, [close]) == close
    assert one.closed


@given(st.binary(), st.binary(min_size=4, max_size=4))
def test_masking(payload: bytes, key: bytes) -> None:
    """As another implementation does it; twice is not at all."""
    assert mask(payload, key) == apply_mask(payload, key)
    assert mask(mask(payload, key), key) == payload
