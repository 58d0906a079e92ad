"""The reader as arithmetic: the same requests however the bytes are split."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.models import ClientLimits
from gateway.errors import GatewayError
from gateway.http import Headers
from gateway.http.messages import RequestHead
from gateway.server.http1.reader import RequestReader, looks_whole


@dataclass
class Recorder:
    """Writes down what was read."""

    requests: list[tuple[str, bytes, bytes, Headers]] = field(default_factory=list)
    head: RequestHead | None = None
    keep_alive: bool = False
    body: bytes = b""

    def on_head(self, head: RequestHead, length: int | None, keep_alive: bool, expects_continue: bool) -> None:
        self.head, self.keep_alive, self.body = head, keep_alive, b""
        if length == 0:
            self.on_end([])

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_end(self, trailers: Headers) -> None:
        assert self.head is not None
        self.requests.append((self.head.method, self.head.path.encode("latin-1"), self.body, list(trailers)))


def read(pieces: list[bytes]) -> tuple[list[tuple[str, bytes, bytes, Headers]], str]:
    """All requests in a stream that comes in these pieces, and the fault that ended it."""
    recorder = Recorder()
    reader = RequestReader(recorder, ClientLimits(head=2000, url=200, headers=10))
    try:
        for piece in pieces:
            rest = piece
            while rest:
                rest = reader.read(rest)
    except GatewayError as fault:
        return recorder.requests, fault.kind.slug
    return recorder.requests, "" if reader.between_requests else "unfinished"


BODIES = st.binary(max_size=60) | st.sampled_from([b"\r\n\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\r\n" * 9])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One valid request."""
    kind = draw(st.sampled_from(["none", "length", "chunked", "upgrade"]))
    method = draw(st.sampled_from([b"POST", b"LIST", b"DESCRIBE", b"VERSION-CONTROL", b"X"]))
    line = b"%b /p%d HTTP/1.1\r\nhost: a\r\n" % (method, draw(st.integers(0, 99)))
    start = b"\r\n" * draw(st.integers(0, 2)) + line
    if kind == "none":
        return start + b"\r\n"
    if kind == "chunked":
        chunks = b"".join(b"%x;e\r\n%b\r\n" % (len(chunk), chunk) for chunk in draw(st.lists(BODIES)) if chunk)
        trailers = b"".join(b"t: %d\r\n" % number for number in draw(st.lists(st.integers(0, 9), max_size=3)))
        return start + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailers + b"\r\n"
    body = draw(BODIES)
    extra = b"connection: upgrade\r\nupgrade: h2c\r\n" if kind == "upgrade" else b""
    return start + extra + b"content-length: %d\r\n\r\n" % len(body) + body


BAD = st.sampled_from(
    [b"", b"BAD\r\n", b"GET  / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n\r\n", b"POST /x HTTP/1.1\r\nhost: a\r\n"]
)


@given(st.lists(requests(), min_size=1, max_size=4), BAD, st.data())
def test_any_split_reads_the_same(good: list[bytes], bad: bytes, data: st.DataObject) -> None:
    """Where a stream is cut into packets changes nothing of what is read, nor of how it ends."""
    stream = b"".join(good) + bad
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) if end > start]
    whole = read([stream])
    assert len(whole[0]) == len(good)
    assert read(pieces) == whole
    assert read([stream[i : i + 1] for i in range(len(stream))]) == whole


@given(st.lists(requests(), min_size=1, max_size=3), st.binary(max_size=40))
def test_it_stops_behind_each_request(good: list[bytes], rest: bytes) -> None:
    """What stands behind a request is handed back untouched, byte for byte."""
    reader = RequestReader(Recorder(), ClientLimits())
    stream = b"".join(good) + rest
    for request in good:
        assert stream.startswith(request)
        behind = reader.read(stream)
        assert behind == stream[len(request) :]
        stream = behind


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail(noise: bytes) -> None:
    """Whatever comes is a request, the beginning of one, or refused with a reason; nothing else is raised."""
    read([noise])
    read([b"POST / HTTP/1.1\r\nhost: a\r\n" + noise])
    read([b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + noise])


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_small_chunks_are_no_attack(size: int) -> None:
    """A body of many small chunks is not taken for an excess of framing."""
    body = b"%x\r\n%b\r\n" % (size, b"x" * size) * 2000
    requests, fault = read([b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", body, b"0\r\n\r\n"])
    assert fault == ""
    assert len(requests[0][2]) == size * 2000


TINY = b"1\r\na\r\n" * 5000
LARGE = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"


@pytest.mark.parametrize(
    ("chunks", "most"), [(TINY, 1024), (LARGE + TINY, 2 * len(LARGE)), (LARGE * 3, len(LARGE) * 3)]
)
@pytest.mark.parametrize("with_head", [True, False])
def test_very_many_chunks_take_turns(chunks: bytes, most: int, with_head: bool) -> None:
    """However they come, no more than some hundred of them are read in one go; large ones are read whole."""
    recorder = Recorder()
    reader = RequestReader(recorder, ClientLimits())
    if with_head:
        rest = reader.read(CHUNKED + chunks)
    else:
        reader.read(CHUNKED)
        rest = reader.read(chunks)
    assert len(chunks) - len(rest) <= most
    assert rest.count(b"a") >= min(5000, chunks.count(b"a")) - 200
    assert chunks.endswith(rest)


CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("chunks", [b"1;" + b"a" * 10_000, (b"1;" + b"a" * 400 + b"\r\na\r\n") * 25])
def test_chunk_extensions_are_bounded_though_heads_may_be_larger(chunks: bytes) -> None:
    """10,000 bytes of chunk extensions, of one chunk or of many, are refused in the read that brings their head."""
    reader = RequestReader(Recorder(), ClientLimits())
    with pytest.raises(GatewayError, match="chunk extensions"):
        reader.read(CHUNKED + chunks)


def test_extensions_and_trailers_below_their_bounds() -> None:
    """A signature on each chunk, and trailers that are as large as a head may be, pass."""
    signed = b"1000;chunk-signature=" + b"f" * 64 + b"\r\n" + b"x" * 4096 + b"\r\n"
    trailers = b"".join(b"t%d: %b\r\n" % (number, b"a" * 1000) for number in range(30))
    recorder = Recorder()
    reader = RequestReader(recorder, ClientLimits())
    rest = CHUNKED + signed * 10 + b"0\r\n" + trailers + b"\r\n"
    while rest:
        rest = reader.read(rest)
    ((_, _, body, fields),) = recorder.requests
    assert len(body) == 4096 * 10
    assert len(fields) == 30


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "close", False),
        ("1.1", "x, Close", False),
        ("1.0", "", False),
        ("1.0", "Keep-Alive", True),
    ],
)
def test_who_keeps_the_connection(version: str, connection: str, kept: bool) -> None:
    """HTTP/1.1 keeps the connection by default, HTTP/1.0 only with keep-alive."""
    recorder = Recorder()
    reader = RequestReader(recorder, ClientLimits())
    reader.read(f"GET / HTTP/{version}\r\nhost: a\r\nconnection: {connection}\r\n\r\n".encode())
    assert recorder.head is not None
    assert recorder.keep_alive is kept


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", True),
        (b"POST /a?b HTTP/1.1\r\nA: b\r\nhost: a\r\nContent-Length: 9\r\n\r\nabc", False),
        (b"POST /a?b HTTP/1.1\r\nA: b\r\nhost: a\r\ncontent-length:3\r\n\r\nabc", True),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\nContent-Length: 9\r\n", True),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", False),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", True),
        (b"\r\nPROPFIND /a HTTP/1.1\r\nHOST:a\r\n\r\n", True),
        (b"OPTIONS * HTTP/1.0\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", False),
        (b"GET / HTTP/1.1\r\n\r\n", False),
        (b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", False),
        (b"\x16\x03\x01\x02\x00", False),
    ],
)
def test_what_looks_like_a_whole_request(data: bytes, expected: bool) -> None:
    """Its line, a Host, the end of its head, and its body; all else is found out when it is read."""
    assert looks_whole(data) is expected


def test_a_head_that_waits_for_its_refusal_is_few_objects() -> None:
    """Those of a crowd would otherwise leave memory in pieces; what the refusal says of the head stays."""
    lines = [(b"x-%d" % number, b"" if number % 3 else b"value %d" % number) for number in range(100)]
    data = b"GET /a?b HTTP/1.1\r\nhost: x\r\n" + b"".join(b"%b: %b\r\n" % line for line in lines) + b"\r\n"
    readers = [RequestReader(Recorder(), ClientLimits(headers=100)) for _ in range(50)]
    gc.collect()
    gc.disable()  # what former tests left behind is not to be freed meanwhile
    try:
        before = sys.getallocatedblocks()
        faults = [refusal_of(reader, data) for reader in readers]
        parsed = sys.getallocatedblocks() - before
        for reader, fault in zip(readers[1:], faults[1:], strict=True):
            assert reader.pack(fault) is fault
        packed = sys.getallocatedblocks() - before
    finally:
        gc.enable()
    assert packed < parsed / 4
    headers = readers[0].refused_head().headers
    assert headers[:2] == [(b"host", b"x"), lines[0]]
    assert readers[1].refused_head().headers == headers


def refusal_of(reader: RequestReader, data: bytes) -> GatewayError:
    """Why these bytes are refused."""
    try:
        reader.read(data)
    except GatewayError as fault:
        return fault
    raise AssertionError("they are not refused")
