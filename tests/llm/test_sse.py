"""Events of streams, however their bytes come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.llm.sse import Event, EventSplitter

Seen = list[tuple[bytes, bytes]]


def fed(pieces: list[bytes], limit: int = 1 << 20) -> list[Event]:
    """All events of a stream that comes in these pieces."""
    splitter = EventSplitter(limit)
    return [event for piece in pieces for event in splitter.feed(piece)] + splitter.finish()


def said(events: list[Event]) -> Seen:
    """What the events say, without those that say nothing."""
    return [(event.name, event.data) for event in events if event.data or event.name]


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream in pieces."""
    at = sorted({place % (len(stream) + 1) for place in places})
    return [stream[a:b] for a, b in zip([0, *at], [*at, len(stream)], strict=True)]


STREAMS = {
    "LF": b'data: {"a":"\xc3\xa9"}\n\nevent: x\ndata: 1\n\n: nothing\n\ndata: [DONE]\n\n',
    "CRLF": b'data: {"a":"\xc3\xa9"}\r\n\r\nevent: x\r\ndata: 1\r\n\r\n: nothing\r\n\r\ndata: [DONE]\r\n\r\n',
    "CR": b'data: {"a":"\xc3\xa9"}\r\revent: x\rdata: 1\r\r: nothing\r\rdata: [DONE]\r\r',
    "BOM": b'\xef\xbb\xbfdata: {"a":"\xc3\xa9"}\n\nevent: x\ndata: 1\n\ndata: [DONE]\n\n',
    "no space": b'data:{"a":"\xc3\xa9"}\n\nevent:x\ndata:1\n\ndata:[DONE]\n\n',
    "lines": b'id: 7\ndata: {"a":\ndata: "\xc3\xa9"}\nretry: 1\n\nevent: x\ndata\ndata: 1\n\ndata: [DONE]\n\n',
    "no end": b'data: {"a":"\xc3\xa9"}\n\nevent: x\ndata: 1\n\ndata: [DONE]',
}
EXPECTED: Seen = [(b"", b'{"a":"\xc3\xa9"}'), (b"x", b"1"), (b"", b"[DONE]")]


@pytest.mark.parametrize("name", STREAMS)
def test_events_are_the_same_wherever_a_stream_is_split(name: str) -> None:
    """At each byte, also within a character or an end of a line; and no byte is lost or comes twice."""
    stream = STREAMS[name]
    whole = said(fed([stream]))
    if name == "lines":
        assert whole == [(b"", b'{"a":\n"\xc3\xa9"}'), (b"x", b"\n1"), (b"", b"[DONE]")]
    else:
        assert whole == EXPECTED
    for place in range(len(stream) + 1):
        events = fed([stream[:place], stream[place:]])
        assert said(events) == whole
        assert b"".join(event.raw for event in events) == stream
    assert said(fed([stream[place : place + 1] for place in range(len(stream))])) == whole


PARTS = st.sampled_from([b"data", b":", b" ", b"x", b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xc3", b"event: e", b""])


@given(st.lists(PARTS).map(b"".join), st.lists(st.integers(0, 1000)), st.sampled_from([1 << 20, 8]))
def test_no_byte_is_lost_whatever_a_stream_is(stream: bytes, places: list[int], limit: int) -> None:
    """The bytes of all events are those of the stream, also where events are too long to be held."""
    assert b"".join(event.raw for event in fed(cut(stream, places), limit)) == stream


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("step", [1, 7, 64, 5000])
def test_what_is_too_long_passes_and_those_after_it_are_read(end: bytes, step: int) -> None:
    """An event of more than the limit says nothing; no more than the limit is ever held."""
    stream = b"data: 1" + end * 2 + b"data: " + b"x" * 3000 + end * 2 + b"data: 2" + end * 2
    splitter = EventSplitter(1000)
    events: list[Event] = []
    for at in range(0, len(stream), step):
        events += splitter.feed(stream[at : at + step])
        assert splitter.pending <= 1000
    events += splitter.finish()
    assert b"".join(event.raw for event in events) == stream
    assert said(events)[0] == (b"", b"1")
    assert said(events)[-1] == (b"", b"2")
    assert len(said(events)) == (2 if step < 3000 else 3)  # what comes whole is read


def test_an_event_does_not_wait_for_the_next() -> None:
    """It is there with its last byte; only the LF of a CRLF is waited for."""
    splitter = EventSplitter()
    assert [event.data for event in splitter.feed(b"data: 1\n\n")] == [b"1"]
    assert [event.data for event in splitter.feed(b"data: 2\r\r")] == [b"2"]
    assert splitter.feed(b"data: 3\r\n\r") == []
    assert [event.data for event in splitter.feed(b"\n")] == [b"3"]
    assert splitter.pending == 0
