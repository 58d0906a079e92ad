"""The native form of the codec beside llhttp."""

from __future__ import annotations

import os
from typing import Any, TypeVar

import pytest

from gateway.native import (
    JoinedHead,
    RequestCodec,
    ResponseCodec,
    ResponseHead,
    joined_head,
    plain_request,
    plain_response,
    response_head,
)
from tests.native import written
from tests.native.fuzz import PLAIN, REQUESTS, RESPONSES, Counting, differences, request_verdict, response_verdict

Form = TypeVar("Form")


def _built(form: Form | None) -> Form:
    """A form in C; the test is skipped where there is none, but not on the compiled gateway."""
    if form is None:
        assert os.environ.get("GATEWAY_TESTED") != "compiled"
        pytest.skip("the native form is not built")
    return form


@pytest.fixture
def requests() -> RequestCodec:
    return _built(plain_request)


@pytest.fixture
def responses() -> ResponseCodec:
    return _built(plain_response)


@pytest.fixture
def joined() -> JoinedHead:
    return _built(joined_head)


@pytest.fixture
def framed() -> ResponseHead:
    return _built(response_head)


def test_mutated_heads_are_read_the_same(requests: RequestCodec, responses: ResponseCodec) -> None:
    """Of twenty thousand mutated heads both forms read the same, and refuse the same in the same words."""
    of_requests, of_responses = Counting(requests), Counting(responses)
    assert next(differences(20_000, 15, of_requests, of_responses), None) is None
    for counting in (of_requests, of_responses):
        assert counting.answers["done"] > 500
        assert counting.answers["left"] > 1000


@pytest.mark.parametrize("request_bytes", REQUESTS)
def test_requests_of_the_suites_are_read_the_same(requests: RequestCodec, request_bytes: bytes) -> None:
    """Each request that the suites have is read or refused as llhttp does it, alone and behind another one."""
    for stream in ([request_bytes], [PLAIN[0] + request_bytes], [PLAIN[1], request_bytes]):
        assert request_verdict(stream, requests) == request_verdict(stream, None)


@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("upgrade", [False, True])
def test_responses_are_read_the_same(responses: ResponseCodec, response: bytes, method: str, upgrade: bool) -> None:
    """Each response that the codec's tests have is read or refused as llhttp does it, also behind another one."""
    for stream in ([response], [RESPONSES[0], response], [response[:20], response[20:]], [response + RESPONSES[0]]):
        assert response_verdict(stream, responses, method, upgrade) == response_verdict(stream, None, method, upgrade)


@pytest.mark.parametrize("size", [191, 192, 199, 200, 201, 1900, 2100])
@pytest.mark.parametrize("form", [b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /?%b HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_targets_are_bounded_the_same(requests: RequestCodec, form: bytes, size: int) -> None:
    """A target up to the limit is read, and a longer one is refused, by either form."""
    verdict = request_verdict([form % (b"x" * size)], requests)
    assert verdict == request_verdict([form % (b"x" * size)], None)
    assert ("url" in str(verdict[2])) == (size + form.count(b"/?") + 1 > 200)


@pytest.mark.parametrize("lines", [18, 19, 20])
@pytest.mark.parametrize("size", [1, 70, 90, 1900, 2000])
def test_heads_are_bounded_the_same(requests: RequestCodec, lines: int, size: int) -> None:
    """A head up to the limits of bytes and lines is read, and a larger one is refused, by either form."""
    names = b"".join(b"x%d: %b\r\n" % (number, b"y" * (size // lines)) for number in range(lines))
    for extra in range(30):
        head = b"GET / HTTP/1.1\r\nHost: a" + b"b" * extra + b"\r\n" + names + b"\r\n"
        assert request_verdict([head], requests) == request_verdict([head], None)


def request_with(lines: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return line + b"\r\nHost: a\r\n" + lines + b"\r\n"


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (request_with(b""), ("GET", "/", b"", False, [(b"host", b"a")], 0, False)),
        (request_with(b"", b"HEAD /a?b?c= HTTP/1.1"), ("HEAD", "/a", b"b?c=", False, [(b"host", b"a")], 0, False)),
        (request_with(b"", b"DELETE //? HTTP/1.1"), ("DELETE", "//", b"", True, [(b"host", b"a")], 0, False)),
        (
            request_with(b"X-A:\t b c\xff\t \r\nB:\r\n"),
            ("GET", "/", b"", False, [(b"host", b"a"), (b"x-a", b"b c\xff"), (b"b", b"")], 0, False),
        ),
        (
            request_with(b"content-LENGTH: 012\r\nExpect: 100-continue\r\n", b"PUT /%20 HTTP/1.1"),
            (
                *("PUT", "/%20", b"", False),
                [(b"host", b"a"), (b"content-length", b"012"), (b"expect", b"100-continue")],
                *(12, True),
            ),
        ),
    ],
)
def test_plain_requests_are_read(requests: RequestCodec, data: bytes, read: tuple[object, ...]) -> None:
    """The head of a plain request is read up to its empty line, and no further."""
    for rest in (b"", b"\r\n", b"rest"):
        answer = requests(data + rest, 1000, 3)
        assert answer is not None
        assert (*answer[:5], *answer[6:]) == (*read, len(data))
        assert answer[5] == dict(answer[4])


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", (200, [(b"content-length", b"2")], b"ab")),
        (b"HTTP/1.1 999 \r\nContent-Length:0\r\n\r\n", (999, [(b"content-length", b"0")], b"")),
        (
            b"HTTP/1.1 404 \xe9 \r\nA: \tb\r\nContent-Length:00\r\n\r\n",
            (404, [(b"a", b"b"), (b"content-length", b"00")], b""),
        ),
    ],
)
def test_plain_responses_are_read(responses: ResponseCodec, data: bytes, read: tuple[object, ...]) -> None:
    """A plain response is read with its body, of bytes and of a part of a buffer."""
    for form in (data, memoryview(bytearray(b"xx" + data))[2:]):
        answer = responses(form, 1000, 2)
        assert answer is not None
        status, lines, fields, body = answer
        assert (status, lines, body) == read
        assert fields == dict(lines)


WHOLE = b"PATCH /a?b HTTP/1.1\r\nHost: a:80\r\nC: d\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        *(WHOLE[:end] for end in range(len(WHOLE))),
        *(
            request_with(b"A%c: b\r\n" % byte)
            for byte in b'\x00\t\r\n "(),/:;<=>?@[\\]{}\x7f\x80\xff'
            if byte != ord(":")
        ),
        *(request_with(b"A: b%cc\r\n" % byte) for byte in range(32) if byte != ord("\t")),
        *(request_with(b"A: b%c%b\r\n" % (byte, b"c" * 9)) for byte in (*range(9), *range(10, 32), 127)),
        *(
            request_with(line)
            for line in (
                *(b"A: b\x7f\r\n", b": b\r\n", b" A: b\r\n", b"A: b\r\n c\r\n", b"A: b\n", b"A\r\n"),
                *(b"A: 1\r\nB: 2\r\nC: 3\r\n", b"A: 1\r\na: 1\r\n", b"Host: a\r\n"),
                *(b"Connection: close\r\n", b"Connection:\r\n", b"Upgrade: x\r\n", b"Transfer-Encoding: chunked\r\n"),
                *(b"Proxy-Connection: keep-alive\r\n", b"Expect: x\r\n", b"Content-Length:\r\n"),
                *(b"Content-Length: +1\r\n", b"Content-Length: 1 1\r\n", b"Content-Length: 0000000000000000001\r\n"),
            )
        ),
        *(
            request_with(b"", line)
            for line in (
                *(b"get / HTTP/1.1", b"REPORT / HTTP/1.1", b"GETS / HTTP/1.1", b"GE / HTTP/1.1", b" / HTTP/1.1"),
                *(b"GET / HTTP/1.0", b"GET / HTTP/1.1 ", b"GET / http/1.1", b"GET  / HTTP/1.1", b"GET /  HTTP/1.1"),
                *(b"GET /", b"GET a HTTP/1.1", b"GET * HTTP/1.1", b"GET http://a/ HTTP/1.1", b"GET ?/ HTTP/1.1"),
                *(b"\r\nGET / HTTP/1.1", b"GET\t/ HTTP/1.1", b"HTTP/1.1 200 OK"),
                *(b"GET /%c HTTP/1.1" % byte for byte in (*range(33), ord("#"), *range(127, 256))),
                *(b"GET /?%c HTTP/1.1" % byte for byte in (*range(33), ord("#"), *range(127, 256))),
            )
        ),
        *(
            b"GET / HTTP/1.1\r\n%b\r\n" % host
            for host in (
                *(b"", b"Host:\r\n", b"Host: :80\r\n", b"Host: a:123456\r\n", b"Host: a:b\r\n", b"Host: a b\r\n"),
                *(b"Host: [::1]\r\n", b"Host: a%20\r\n", b"Host: \xe4\r\n", b"Host: %b\r\n" % (b"a" * 256)),
            )
        ),
    ],
)
def test_other_requests_are_left_to_llhttp(requests: RequestCodec, data: bytes) -> None:
    """What is not whole, not plain, or has too many lines is not read at all."""
    assert requests(data, 1000, 3) is None


@pytest.mark.parametrize(
    "data",
    [
        *(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc"),
        *(
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        *(
            line + b"\r\nContent-Length: 0\r\n\r\n"
            for line in (
                *(b"HTTP/1.1 204 ", b"HTTP/1.1 304 ", b"HTTP/1.1 100 ", b"HTTP/1.1 20 ", b"HTTP/1.1 2000 "),
                *(b"HTTP/1.1 200", b"HTTP/1.0 200 ", b"http/1.1 200 ", b"HTTP/1.1  200 ", b"HTTP/1.1 +20 "),
                *(b"HTTP/1.1 200 \x00", b"HTTP/1.1 200 \x7f", b"HTTP/1.1 200 \r", b"\r\nHTTP/1.1 200 "),
            )
        ),
        *(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + line + b"\r\n\r\n"
            for line in (
                *(b"Connection: close", b"Upgrade: x", b"Transfer-Encoding: chunked", b"Proxy-Connection: close"),
                *(b"Content-Length: 0", b" a", b"a", b"a: \x00", b"a: 1\r\nb: 1"),
            )
        ),
    ],
)
def test_other_responses_are_left_to_llhttp(responses: ResponseCodec, data: bytes) -> None:
    """A response that is not whole, not plain, has no length or one that is not its own, is not read at all."""
    assert responses(data, 1000, 2) is None


def test_arguments_that_are_none_are_refused(requests: RequestCodec, responses: ResponseCodec) -> None:
    """Limits below nothing read nothing, those beyond all are as good as none, and other arguments raise TypeError."""
    for codec, data in (
        (requests, request_with(b"")),
        (responses, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ):
        assert codec(data, len(data), 1)
        assert codec(data, 2**62, 2**62)
        assert codec(data, len(data) - 1, 1) is None
        assert codec(data, 1000, 0) is None
        assert codec(data, -1, 1) is None
        assert codec(data, 1000, -1) is None
        assert codec(b"", 1000, 1) is None
        with pytest.raises(TypeError):
            codec(data.decode(), 1000, 1)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            codec(data, None, 1)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            codec(data, 1000)  # type: ignore[call-arg]
        with pytest.raises(OverflowError):
            codec(data, 1000, 2**70)


def test_heads_of_many_lines_are_left_to_llhttp(requests: RequestCodec) -> None:
    """However many lines are allowed, no more are read natively than there is room for."""
    lines = b"".join(b"x%d: y\r\n" % number for number in range(127))
    assert requests(request_with(lines), 10_000, 1000) is not None
    assert requests(request_with(lines + b"z: y\r\n"), 10_000, 1000) is None


def test_mutated_lines_are_written_the_same(joined: JoinedHead, framed: ResponseHead) -> None:
    """Of twenty thousand lists of mutated header lines both forms make the same head, of requests and of responses, or
    refuse it in the same words."""
    joining, framing = Counting(joined), Counting(framed)
    assert next(written.differences(20_000, 15, joining, framing), None) is None
    for counting in (joining, framing):
        assert counting.answers["done"] > 500
        assert counting.answers["left"] > 500


def test_lines_are_written(joined: JoinedHead) -> None:
    """Header lines stand between what a head begins with and its empty line, each on a line of its own."""
    lines = [(b"a", b"b"), (b"c", b"")]
    assert joined(("GET", b" / HTTP/1.1\r\n"), lines, b"") == b"GET / HTTP/1.1\r\na: b\r\nc: \r\n\r\n"
    assert joined((b"GET / ", "HTTP/1.1\r\n"), [], b"d: e\r\n") == b"GET / HTTP/1.1\r\nd: e\r\n\r\n"
    assert joined((), [], b"") == b"\r\n"


def test_a_response_is_written(framed: ResponseHead) -> None:
    """The head of a response has a Date, its own or the gateway's, and answers with the length of its body."""
    length, own = (b"content-length", b"17"), (b"date", b"today")
    assert framed(b"x\r\n", [(b"a", b""), length], b"d: e\r\n") == (
        b"x\r\na: \r\ncontent-length: 17\r\nd: e\r\n\r\n",
        17,
    )
    assert framed(b"x\r\n", [own, length], b"d: e\r\n") == (b"x\r\ndate: today\r\ncontent-length: 17\r\n\r\n", 17)
    assert framed(b"", [(b"content-length", b"0")], b"") == (b"content-length: 0\r\n\r\n", 0)
    assert framed(b"", [(b"content-length", b"9" * 18)], b"") == (
        b"content-length: %b\r\n\r\n" % (b"9" * 18),
        10**18 - 1,
    )


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [(b"a", b"b")],
        [(b"Content-Length", b"1")],
        *(
            [(b"content-length", value)]
            for value in (b"", b"01", b"00", b"+1", b" 1", b"1 ", b"1\r\n", b"1" * 19, b"x")
        ),
        *(
            [(b"content-length", b"1"), (name, b"1")]
            for name in (b"content-length", b"connection", b"transfer-encoding")
        ),
        [(b"connection", b""), (b"content-length", b"1")],
        [(b"content-length", b"1"), (b"a", b"b\r")],
    ],
)
def test_a_response_with_more_to_say_of_its_framing_is_left_to_python(
    framed: ResponseHead, lines: list[tuple[bytes, bytes]]
) -> None:
    """Without a Content-Length, or with anything beside it that frames a body, the native form makes nothing."""
    assert framed(b"", lines, b"") is None


@pytest.mark.parametrize("native", [None, (joined_head, response_head)])
@pytest.mark.parametrize(
    "line", [(b"a\r", b"b"), (b"a", b"b\n"), (b"a", b"b\r\nc: d"), (b"\n", b""), (b"a\r\n", b""), (b"", b"\r")]
)
def test_a_line_that_holds_a_line_break_is_refused(
    native: tuple[JoinedHead | None, ResponseHead | None] | None, line: tuple[bytes, bytes]
) -> None:
    """No head is made of lines of which one would be two, or would end the head; another answer takes its place."""
    writers, (joined, framed) = written.Writers(), native or (None, None)
    length = (b"content-length", b"1")
    for lines in ([line], [(b"x", b"y"), line], [line, (b"x", b"y")], [length, line], [line, length]):
        assert writers.request(lines, joined) == ("ValueError", "a request header holds a line break")
        sent, kind, words, *_ = writers.response(0, lines, joined, framed)
        assert (kind, words) == ("ValueError", "a response header holds a line break")
        assert sent.startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("odd", written.ODD)
def test_what_is_no_line_is_left_to_python(joined: JoinedHead, framed: ResponseHead, odd: object) -> None:
    """Of what is no tuple of two bytes objects the native form makes nothing."""
    assert joined((), [(b"a", b"b"), odd], b"") is None  # type: ignore[list-item]
    assert framed(b"", [(b"content-length", b"1"), odd], b"") is None  # type: ignore[list-item]


def test_what_is_no_head_is_left_to_python(joined: JoinedHead, framed: ResponseHead) -> None:
    """Nothing is made of what is no list, or does not begin or end as heads do; and three are asked for."""
    lines: Any = [(b"content-length", b"1")]
    starts: Any = (b"", "", [], None, ("\xe4",), ("\u2713",), (b"a", None), (bytearray(b"a"),))
    for start in starts:
        assert joined(start, lines, b"") is None
    others: Any = ((), "", None, {}, bytearray())
    for other in others:
        assert joined((), other, b"") is None
        assert joined((), lines, other) is None
        assert framed(other, lines, b"") is None
        assert framed(b"", other, b"") is None
        assert framed(b"", lines, other) is None
    with pytest.raises(TypeError):
        joined((), [])  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        framed(b"", [])  # type: ignore[call-arg]
