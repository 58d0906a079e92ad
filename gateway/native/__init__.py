"""What is done in C where it was built, by `pip install` or `make`: plain heads are read, and header lines are written.

Plain is what every recipient understands in the same way (RFC 9112): a first line of HTTP/1.1 with single spaces, and a
path in it; header lines of a name of token characters, a colon right behind it, a value without control characters, CR
and LF; no name twice; nothing but a Content-Length to say where the message ends; and nothing that ends the connection
or makes another one of it. What is not plain is not judged here: who calls this has llhttp read it, or writes it in
Python, and these refuse what must be refused. Where nothing was built, they do all of it, to the same end: they are the
reference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

Lines = list[tuple[bytes, bytes]]
Fields = dict[bytes, bytes]


class RequestCodec(Protocol):
    """Reads the head of a request."""

    def __call__(
        self, data: bytes, most_bytes: int, most_lines: int, /
    ) -> tuple[str, str, bytes, bool, Lines, Fields, int, bool, int] | None:
        """Method; path, octets as characters; query, and whether the target has a "?" with nothing behind it; header
        lines, and the same as a mapping; bytes of the body; whether the client may wait for a 100; bytes of the head.

        Names are in lower case, values without surrounding white space. None where the head is not plain, where it does
        not begin with the data or end within `most_bytes` of it, where it has more than `most_lines` header lines, and
        where the Host is missing, or anything but a name or an IPv4 address and perhaps a port.
        """
        ...


class ResponseCodec(Protocol):
    """Reads a whole response."""

    def __call__(
        self, data: bytes | memoryview, most_bytes: int, most_lines: int, /
    ) -> tuple[int, Lines, Fields, bytes] | None:
        """Status; header lines, and the same as a mapping; body.

        Names and values, and None, as in requests. None, too, for an interim response, a status that has no body, and
        where the data does not end where Content-Length says.
        """
        ...


class JoinedHead(Protocol):
    """Writes the header lines of a head."""

    def __call__(self, start: tuple[bytes | str, ...], lines: Lines, more: bytes, /) -> bytes | None:
        """All of `start`; the lines, each with CR and LF behind it; `more`, and an empty line.

        None where a line is anything but a tuple of two bytes objects, or holds a line break, and where a text is no
        ASCII.
        """
        ...


class ResponseHead(Protocol):
    """Writes the head of a response of which Content-Length is all that there is to say of its framing."""

    def __call__(self, start: bytes, lines: Lines, date: bytes, /) -> tuple[bytes, int] | None:
        """`start`, the lines, `date` unless one of them is a Date, and an empty line; and the length of the body.

        None, too, where Content-Length is missing, is there twice, or has a leading zero, and where there is a
        Connection or a Transfer-Encoding.
        """
        ...


def _built() -> tuple[RequestCodec | None, ResponseCodec | None, JoinedHead | None, ResponseHead | None]:
    try:
        from gateway.native import _heads  # noqa: PLC0415  it may not be there
    except ImportError:
        return None, None, None, None
    source = Path(__file__).with_name("_heads.c")
    if source.exists() and source.stat().st_mtime > Path(_heads.__file__).stat().st_mtime:
        return None, None, None, None  # in a checkout, which has gone on since: what it reads may be something else
    return _heads.plain_request, _heads.plain_response, _heads.joined_head, _heads.response_head


plain_request, plain_response, joined_head, response_head = _built()
"""None where they were not built, or from an older source; `pip install` or `make` builds them again."""
