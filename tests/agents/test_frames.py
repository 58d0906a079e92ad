"""The event stream: frames cut out of bytes, however they come."""

from __future__ import annotations

import random
import struct

import pytest

from gateway.agents.frames import FRAME_MOST, PAYLOAD_MOST, Event, FrameError, Frames, encoded

TOPIC = b"\x00\x10service-registry"
RECORDED = TOPIC + b"\x00\x00\x00\x00" + TOPIC + b"\x00\x00\x00\x0f"
"""What `pilotctl publish acme-router service-registry --data '{"service":"a"}'` sent (1.18.0), but the data."""


def test_the_recorded_bytes_of_pilotctl_are_a_subscription_and_an_event() -> None:
    """The first frame is empty, the second has the data; they may come in any pieces."""
    whole = RECORDED + b'{"service":"a"}'
    wanted = [Event("service-registry", b"", 0), Event("service-registry", b'{"service":"a"}', 15)]
    for size in (1, 2, 7, len(whole)):
        frames = Frames()
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        assert [event for piece in pieces for event in frames.feed(piece)] == wanted


def test_what_is_encoded_is_cut_out_again() -> None:
    """A topic that is not ASCII, an empty payload, and one of the greatest length."""
    events = [("ä-topic", b""), ("*", b"x" * PAYLOAD_MOST), ("t" * 1024, b"\x00")]
    frames = Frames()
    found = list(frames.feed(b"".join(encoded(topic, payload) for topic, payload in events)))
    assert [(event.topic, event.payload) for event in found] == events


def test_a_payload_that_is_too_long_is_passed_over() -> None:
    """It is not kept, and what follows it is read."""
    length = 2 * PAYLOAD_MOST
    frames = Frames()
    found = list(frames.feed(struct.pack("!H", 1) + b"t" + struct.pack("!I", length)))
    for _ in range(length // 1024):
        found += frames.feed(b"x" * 1024)
    found += frames.feed(encoded("next", b"1"))
    assert found == [Event("t", None, length), Event("next", b"1", 1)]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!H", 1025) + b"t" * 1025,
        struct.pack("!H", 1) + b"\xff" + bytes(4),
        struct.pack("!H", 1) + b"t" + struct.pack("!I", FRAME_MOST + 1),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    """A topic that is too long or no UTF-8, a payload longer than the network carries."""
    with pytest.raises(FrameError):
        list(Frames().feed(data))


@pytest.mark.parametrize(("topic", "payload"), [("t" * 1025, b""), ("t", b"x" * (PAYLOAD_MOST + 1))])
def test_nothing_too_long_is_encoded(topic: str, payload: bytes) -> None:
    """It is an error of who sends it."""
    with pytest.raises(ValueError, match="the most"):
        encoded(topic, payload)


def test_ten_thousand_mutated_frames_end_in_events_or_an_error() -> None:
    """Whatever comes, no other exception is raised."""
    chosen = random.Random(14)
    whole = RECORDED + b'{"service":"a"}' + encoded("access-log", b"y" * 300)
    for _ in range(10_000):
        data = bytearray(whole)
        for _ in range(chosen.randrange(1, 6)):
            data[chosen.randrange(len(data))] = chosen.randrange(256)
        frames = Frames()
        cut = chosen.randrange(len(data))
        try:
            for piece in (bytes(data[:cut]), bytes(data[cut:])):
                assert all(event.payload is None or len(event.payload) == event.length for event in frames.feed(piece))
        except FrameError:
            pass
