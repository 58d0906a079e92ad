"""The native form of the codec beside llhttp."""

from __future__ import annotations

import os

import pytest

from gateway.native import HeaderLines, JoinedHead, header_lines, joined_head
from tests.native import written
from tests.native.fuzz import PLAIN, REQUESTS, RESPONSES, Counting, differences, request_verdict, response_verdict


@pytest.fixture
def native() -> HeaderLines:
    if header_lines is None:
        assert os.environ.get("GATEWAY_TESTED") != "compiled"
        pytest.skip("the native form is not built")
    return header_lines


@pytest.fixture
def joined() -> JoinedHead:
    if joined_head is None:
        assert os.environ.get("GATEWAY_TESTED") != "compiled"
        pytest.skip("the native form is not built")
    return joined_head


def test_mutated_heads_are_read_the_same(native: HeaderLines) -> None:
    """Of ten thousand mutated heads both forms read the same, and refuse the same in the same words."""
    counting = Counting(native)
    assert next(differences(10_000, 15, counting), None) is None
    assert counting.answers["done"] > 1000
    assert counting.answers["left"] > 1000


@pytest.mark.parametrize("request_bytes", REQUESTS)
def test_requests_of_the_suites_are_read_the_same(native: HeaderLines, request_bytes: bytes) -> None:
    """Each request that the suites have is read or refused as llhttp does it, alone and behind another one."""
    for stream in ([request_bytes], [PLAIN[0] + request_bytes], [PLAIN[1], request_bytes]):
        assert request_verdict(stream, native) == request_verdict(stream, None)


@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("upgrade", [False, True])
def test_responses_are_read_the_same(native: HeaderLines, response: bytes, method: str, upgrade: bool) -> None:
    """Each response that the codec's tests have is read or refused as llhttp does it, also behind another one."""
    for stream in ([response], [RESPONSES[0], response], [response[:20], response[20:]], [response + RESPONSES[0]]):
        assert response_verdict(stream, native, method, upgrade) == response_verdict(stream, None, method, upgrade)


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"A: b\r\n\r\nrest", ([(b"a", b"b")], {b"a": b"b"}, 8)),
        (b"A:\t b c\t \r\nB:\r\n\r\n", ([(b"a", b"b c"), (b"b", b"")], {b"a": b"b c", b"b": b""}, 17)),
        (b"A: 1\r\na: 2\r\n\r\n", ([(b"a", b"1"), (b"a", b"2")], {b"a": b"2"}, 14)),
        (b"\r\n", ([], {}, 2)),
        (b"A: \xff\r\n\r\n", ([(b"a", b"\xff")], {b"a": b"\xff"}, 8)),
    ],
)
def test_plain_lines_are_read(native: HeaderLines, data: bytes, read: object) -> None:
    """Plain header lines are read to the empty one, of bytes and of a part of a buffer, and no further."""
    assert native(data, 0, 2) == read
    assert native(memoryview(bytearray(b"xx" + data))[2:], 0, 2) == read


@pytest.mark.parametrize(
    "data",
    [
        *(b"A: b\r\nC: d\r\n\r\n"[:end] for end in range(14)),
        *(b"A%c: b\r\n\r\n" % byte for byte in b'\x00\t\r\n "(),/:;<=>?@[\\]{}\x7f\x80\xff' if byte != ord(":")),
        *(b"A: b%cc\r\n\r\n" % byte for byte in range(32) if byte != ord("\t")),
        b"A: b\x7f\r\n\r\n",
        b": b\r\n\r\n",
        b" A: b\r\n\r\n",
        b"A: b\r\n c\r\n\r\n",
        b"A: b\n\n",
        b"A\r\n\r\n",
        b"A: 1\r\nB: 2\r\nC: 3\r\n\r\n",
    ],
)
def test_other_lines_are_left_to_llhttp(native: HeaderLines, data: bytes) -> None:
    """What is not whole, not plain, or has too many lines is not read at all."""
    assert native(data, 0, 2) is None


def test_arguments_that_are_none_are_refused(native: HeaderLines) -> None:
    """An offset outside of the data reads nothing, and what is no buffer or no number raises TypeError."""
    assert native(b"\r\n", -1, 2) is None
    assert native(b"\r\n", 3, 2) is None
    assert native(b"\r\n", 2**62, 2) is None
    with pytest.raises(TypeError):
        native("\r\n", 0, 2)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        native(b"\r\n", None, 2)  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        native(b"\r\n", 2**70, 2)


def test_mutated_lines_are_written_the_same(joined: JoinedHead) -> None:
    """Of ten thousand lists of mutated header lines both forms make the same head, of requests and of responses, or
    refuse it in the same words."""
    counting = Counting(joined)
    assert next(written.differences(10_000, 15, counting), None) is None
    assert counting.answers["done"] > 1000
    assert counting.answers["left"] > 1000


def test_lines_are_written(joined: JoinedHead) -> None:
    """Header lines stand between what a head begins and ends with, each on a line of its own."""
    lines = [(b"a", b"b"), (b"c", b"")]
    assert joined(b"GET / HTTP/1.1\r\n", lines, b"\r\n") == b"GET / HTTP/1.1\r\na: b\r\nc: \r\n\r\n"
    assert joined(b"GET / HTTP/1.1\r\n", [], b"\r\n") == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("native", [None, joined_head])
@pytest.mark.parametrize(
    "line", [(b"a\r", b"b"), (b"a", b"b\n"), (b"a", b"b\r\nc: d"), (b"\n", b""), (b"a\r\n", b""), (b"", b"\r")]
)
def test_a_line_that_holds_a_line_break_is_refused(native: JoinedHead | None, line: tuple[bytes, bytes]) -> None:
    """No head is made of lines of which one would be two, or would end the head; another answer takes its place."""
    writers = written.Writers()
    for lines in ([line], [(b"x", b"y"), line], [line, (b"x", b"y")]):
        assert writers.request(lines, native) == ("ValueError", "a request header holds a line break")
        sent, kind, words, *_ = writers.response(0, lines, native)
        assert (kind, words) == ("ValueError", "a response header holds a line break")
        assert sent.startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("odd", written.ODD)
def test_what_is_no_line_is_left_to_python(joined: JoinedHead, odd: object) -> None:
    """Of what is no tuple of two bytes objects the native form makes nothing."""
    assert joined(b"", [(b"a", b"b"), odd], b"") is None  # type: ignore[list-item]


def test_what_is_no_head_is_left_to_python(joined: JoinedHead) -> None:
    """Nothing is made of what is no list, or does not begin or end with bytes; and three are asked for."""
    assert joined("", [], b"") is None  # type: ignore[arg-type]
    assert joined(b"", (), b"") is None  # type: ignore[arg-type]
    assert joined(b"", [], None) is None  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        joined(b"", [])  # type: ignore[call-arg]
