"""What is done in C where `GATEWAY_COMPILE=1` has built it: the header lines of plain heads are read, and written.

Plain is what every recipient understands in the same way (RFC 9112, 5): a name of token characters, a colon right
behind it, a value without control characters, CR and LF. What is not plain is not judged here: who calls this has
llhttp read it, or writes it in Python, and these refuse what must be refused. Where nothing was built, they do all of
it, to the same end: they are the reference.
"""

from __future__ import annotations

from typing import Protocol

Lines = list[tuple[bytes, bytes]]


class HeaderLines(Protocol):
    """Reads the header lines of a head."""

    def __call__(
        self, data: bytes | memoryview, start: int, most: int, /
    ) -> tuple[Lines, dict[bytes, bytes], int] | None:
        """The lines from `start`, a byte offset, to the first empty one; header name -> its last value; and the offset
        behind the empty line.

        Names are in lower case, values without surrounding white space, both copies. None where a line is not plain,
        where the empty one has not come, and where there are more than `most` lines.
        """
        ...


class JoinedHead(Protocol):
    """Writes the header lines of a head."""

    def __call__(self, start: bytes, lines: Lines, end: bytes, /) -> bytes | None:
        """`start`, the lines, each with CR and LF behind it, and `end`.

        None where a line is anything but a tuple of two bytes objects, or holds a line break.
        """
        ...


def _built() -> tuple[HeaderLines | None, JoinedHead | None]:
    try:
        from gateway.native._heads import header_lines, joined_head  # noqa: PLC0415  they may not be there
    except ImportError:
        return None, None
    return header_lines, joined_head


header_lines, joined_head = _built()
"""None where they were not built."""
