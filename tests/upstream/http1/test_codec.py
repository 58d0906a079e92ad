"""The codec as arithmetic."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import Headers
from gateway.http.bodies import chunk
from gateway.upstream.http1.codec import (
    HEAD_LIMIT,
    INFORMATIONAL_LIMIT,
    BadResponse,
    CutShort,
    Phase,
    ResponseReader,
    encode_last_chunk,
    encode_request,
)

CL = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-T: 1\r\n\r\n"
IN_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EOF = b"HTTP/1.1 200 OK\r\n\r\nhello"
HINTS = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX: y\r\n\r\n" + CL
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
OLD = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"
GOOD = [CL, CHUNKED, EOF, HINTS, NO_CONTENT, NOT_MODIFIED, CLOSING, OLD]

BAD = {
    "ssh banner": b"SSH-2.0-OpenSSH_9.2\r\n",
    "garbage": b"\x00\xff\x13\x37 hello\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "obs-fold": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 0\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "both lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, turned": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "odd length": b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
    "gzip coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "gzip and chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n",
    "chunk too long": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
    "unasked upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "plain 101": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "status 99": b"HTTP/1.1 099 Odd\r\n\r\n",
    "endless 1xx": b"HTTP/1.1 100 Continue\r\n\r\n" * (INFORMATIONAL_LIMIT + 1) + CL,
    "oversized head": b"HTTP/1.1 200 OK\r\n" + b"X-Long: %b\r\n" % (b"a" * 1000) * 70 + b"Content-Length: 0\r\n\r\n",
    "oversized line": b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * (3 * HEAD_LIMIT),
    "oversized trailers": CHUNKED[:-2] + b"X-Long: %b\r\n" % (b"a" * 1000) * 20 + b"\r\n",
    "oversized trailer": CHUNKED[:-2] + b"X-Long: " + b"a" * 40_000 + b"\r\n\r\n",
    "a length as a trailer": CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n",
    "folded trailer": CHUNKED[:-2] + b" b\r\n\r\n",
    "oversized chunk extension": IN_CHUNKS + b"1;" + b"a" * 40_000,
    "chunk extensions without end": IN_CHUNKS + b"1;%b\r\na\r\n" % (b"a" * 1000) * 40,
    "chunk size over 64 bits": IN_CHUNKS + b"10000000000000000\r\n" + b"a" * 1000,
    "chunk size of zeros": IN_CHUNKS + b"0" * 40_000,
    "space before a chunk extension": IN_CHUNKS + b"1 ;a=b\r\na\r\n0\r\n\r\n",
    "space behind a chunk size": IN_CHUNKS + b"1 \r\na\r\n0\r\n\r\n",
    "space in a chunk extension": IN_CHUNKS + b"1;a = b\r\na\r\n0\r\n\r\n",
    "line break in a chunk extension": IN_CHUNKS + b'1;a="\r\nb"\r\na\r\n0\r\n\r\n',
    "bare LF behind a chunk": IN_CHUNKS + b"1\r\na\n0\r\n\r\n",
    "chunked twice": IN_CHUNKS.replace(b"chunked", b"chunked, chunked") + b"0\r\n\r\n",
    "two lines of chunked": IN_CHUNKS[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/0.9": CL.replace(b"HTTP/1.1", b"HTTP/0.9"),
    "HTTP/2.0": CHUNKED.replace(b"HTTP/1.1 200 OK", b"HTTP/2.0 200 OK\r\nConnection: keep-alive"),
    "a body behind a 100": b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello" + CL,
}

Result = tuple[int, Headers, bytes, Headers, list[Headers], bool, Phase]


def read(pieces: Iterable[bytes], method: str = "GET", *, eof: bool = False) -> Result:
    reader = ResponseReader()
    reader.begin(method)
    for piece in pieces:
        reader.feed(piece)
    if eof:
        reader.eof()
    return (
        reader.status,
        reader.headers,
        reader.take(),
        reader.trailers,
        reader.early_hints,
        reader.reusable,
        reader.phase,
    )


def split(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = [0, *sorted({cut % len(data) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places) if a < b]


@given(data=st.sampled_from(GOOD), cuts=st.lists(st.integers(0, 500)), method=st.sampled_from(["GET", "POST"]))
def test_split_does_not_matter(data: bytes, cuts: list[int], method: str) -> None:
    """However a response is cut into pieces on the network, it is read as the same response."""
    assert read(split(data, cuts), method, eof=data is EOF) == read([data], method, eof=data is EOF)


@pytest.mark.parametrize("name", BAD)
@given(cuts=st.lists(st.integers(0, 300), max_size=12))
def test_bad_however_split(name: str, cuts: list[int]) -> None:
    """What is no valid response is refused, however it is cut into pieces on the network."""
    with pytest.raises(BadResponse):
        read(split(BAD[name], cuts))


@given(junk=st.binary(min_size=1, max_size=300), cuts=st.lists(st.integers(0, 300)))
def test_junk_is_never_a_crash(junk: bytes, cuts: list[int]) -> None:
    """Whatever bytes a backend sends, they are a response, an unfinished one, or refused; nothing else happens."""
    try:
        phase = read(split(junk, cuts))[-1]
    except BadResponse:
        return
    assert phase in (Phase.HEAD, Phase.BODY, Phase.DONE)


@given(data=st.sampled_from([CL, CHUNKED, HINTS]), length=st.integers(0, 200))
def test_cut_short(data: bytes, length: int) -> None:
    """A response that ends early is never taken for a whole one."""
    with pytest.raises(CutShort):
        read([data[: min(length, len(data) - 1)]], eof=True)


def test_lengths() -> None:
    """Content-Length, chunks and the end of the connection delimit the same body."""
    for data in (CL, CHUNKED, EOF, CLOSING, OLD):
        assert read([data], eof=True)[2] == b"hello"


def test_trailers_and_hints() -> None:
    """Trailers and the Link lines of a 103 are kept; a 100 is swallowed."""
    assert read([CHUNKED])[3] == [(b"x-t", b"1")]
    assert read([CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"])[3] == [(b"x-t", b"1")]
    assert read([HINTS])[4] == [[(b"link", b"</a>")]]
    assert read([HINTS])[0] == 200


def test_statuses_without_body() -> None:
    """204 and 304 are complete with their head, whatever length they announce."""
    assert read([NO_CONTENT])[-1] is Phase.DONE
    assert read([NOT_MODIFIED])[-1] is Phase.DONE


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\n\r\n", False),
    ],
)
def test_head(head: bytes, reusable: bool) -> None:
    """The response to HEAD has no body, whatever its headers say, and the connection can serve on."""
    reader = ResponseReader()
    reader.begin("HEAD")
    reader.feed(head)
    assert (reader.phase, reader.reusable) == (Phase.DONE, reusable)
    reader.phase = Phase.IDLE
    reader.begin("GET")
    reader.feed(CL)
    assert reader.take() == b"hello"


def test_reusable() -> None:
    """A connection is used again unless either side said that it ends, or the body ended with it."""
    reusable = [read([data], eof=data is EOF)[5] for data in (CL, CHUNKED, NO_CONTENT, CLOSING, OLD, EOF)]
    assert reusable == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0", 1), b"hello"),
        (CHUNKED.replace(b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK\r\nConnection: keep-alive", 1), b"hello"),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b""),
    ],
)
@given(cuts=st.lists(st.integers(0, 200)))
def test_odd_framing_ends_a_connection(answer: bytes, body: bytes, cuts: list[int]) -> None:
    """What HTTP/1.0 or a 204 says of its framing is not relied on for a second response (RFC 9112, 6.1)."""
    result = read(split(answer, cuts))
    assert (result[2], result[5], result[6]) == (body, False, Phase.DONE)


@pytest.mark.parametrize("extension", [b";a", b";a=b", b';a="b;c\\"d"', b";a;b=c", b";" + b"a" * 10_000])
@given(cuts=st.lists(st.integers(0, 200)))
def test_chunk_extensions_are_read_over(extension: bytes, cuts: list[int]) -> None:
    """They end here (RFC 9112, 7.1.1)."""
    assert read(split(IN_CHUNKS + b"00005%b\r\nhello\r\n000\r\n\r\n" % extension, cuts))[2] == b"hello"


def test_small_chunks_without_end() -> None:
    """Framing that is larger than what it frames is no extension."""
    result = read([IN_CHUNKS + b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n"])
    assert (len(result[2]), result[6]) == (100_000, Phase.DONE)


@given(junk=st.binary(min_size=1, max_size=40), cut=st.integers(0, 200))
def test_bytes_behind_a_response(junk: bytes, cut: int) -> None:
    """Bytes behind a complete response leave it as it is, and the connection is never used again."""
    data = CL + (junk if junk.strip(b"\r\n") else b"x")
    result = read(split(data, [cut]))
    assert (result[0], result[2], result[5]) == (200, b"hello", False)


def test_unasked_bytes() -> None:
    """Bytes on a connection without a request are refused."""
    with pytest.raises(BadResponse):
        ResponseReader().feed(CL)


def test_head_limit_is_of_the_head() -> None:
    """A large body right behind the head does not count as head."""
    body = b"a" * (4 * HEAD_LIMIT)
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    assert read([data])[2] == body


def test_encode_request() -> None:
    """A request head is one block, Host first."""
    assert (
        encode_request("GET", "/a", b"?x=1", b"h:1", [(b"a", b"b")])
        == b"GET /a?x=1 HTTP/1.1\r\nhost: h:1\r\na: b\r\n\r\n"
    )
    assert encode_request("GET", "/", b"", b"h", []) == b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"


@pytest.mark.parametrize("line", [(b"a", b"b\r\nc: d"), (b"a\n", b"b"), (b"a", b"\r")])
def test_no_request_is_made_of_a_header_with_a_line_break(line: tuple[bytes, bytes]) -> None:
    """What a policy lets through of a line break is not sent: the backend would take what is behind it for a header."""
    with pytest.raises(ValueError, match="line break"):
        encode_request("GET", "/a", b"", b"h:1", [(b"x", b"y"), line])


@given(pieces=st.lists(st.binary(min_size=1, max_size=50)), cuts=st.lists(st.integers(0, 300)))
def test_chunks_round_trip(pieces: list[bytes], cuts: list[int]) -> None:
    """What is sent in chunks is read as the same bytes and trailers."""
    body = b"".join(map(chunk, pieces)) + encode_last_chunk([(b"t", b"1")])
    result = read(split(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body, cuts))
    assert (result[2], result[3], result[-1]) == (b"".join(pieces), [(b"t", b"1")], Phase.DONE)
