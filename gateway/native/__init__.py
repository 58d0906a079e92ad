"""What is read in C where `GATEWAY_COMPILE=1` has built it: the header lines of plain heads.

Plain is what every recipient understands in the same way (RFC 9112, 5): a name of token characters, a colon right
behind it, a value without control characters, CR and LF. What is not plain is not judged here: llhttp reads it, and
refuses what must be refused. Where nothing was built, llhttp reads all heads, to the same lines: it is the reference.
"""

from __future__ import annotations

from typing import Final, Protocol

Lines = list[tuple[bytes, bytes]]


class HeaderLines(Protocol):
    """Reads the header lines of a head."""

    def __call__(self, data: bytes | memoryview, start: int, most: int, /) -> tuple[Lines, int] | None:
        """The lines from `start`, a byte offset, to the first empty one, and the offset behind that.

        Names are in lower case, values without surrounding white space, both copies. None where a line is not plain,
        where the empty one has not come, and where there are more than `most` lines.
        """
        ...


def _built() -> HeaderLines | None:
    try:
        from gateway.native._heads import header_lines  # noqa: PLC0415  it may not be there
    except ImportError:
        return None
    return header_lines


header_lines: Final = _built()
"""None where it was not built."""
