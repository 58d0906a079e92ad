"""Where heads and chunked bodies end, and how much of them is looked at in one go. Arithmetic on bytes.

An end may straddle two reads: `tail` is the last bytes, up to three, of what came before `data`.
"""

from __future__ import annotations

from typing import Final

CRUMB: Final = 64  # bytes of a body up to which a read is next to nothing
FRAMING_AT_ONCE: Final = 1024  # bytes of a chunked body that are read in one call, whatever lines they have


def end_of_large_head(tail: bytes, data: bytes, start: int, most_bytes: int, most_headers: int) -> int:
    """Where it ends, or else where it is known to be too large, or where the data ends.

    It looks no further than a head may go, and line by line: a search for four bytes takes twenty times as long as
    one for a single byte.
    """
    at, most = start, start + most_bytes + 4
    if tail:
        straddling = (tail + data[:3]).find(b"\r\n\r\n")
        if straddling >= 0:
            return straddling + 4 - len(tail)
    for _ in range(most_headers + 2):
        at = data.find(b"\n", at, most) + 1
        if not at:
            return len(data)
        if data[max(at - 2, 0) : at + 2] == b"\r\n\r\n":
            return at + 2
    return at  # the parser finds out that there are too many


def end_of_empty_line(tail: bytes, data: bytes, start: int) -> int:
    """Where the next empty line ends, or where the data ends. A chunked body ends with one."""
    if tail:
        straddling = (tail + data[:3]).find(b"\r\n\r\n")
        if straddling >= 0:
            return straddling + 4 - len(tail)
    found = data.find(b"\r\n\r\n", start)
    return found + 4 if found >= 0 else len(data)


def share_of(data: bytes, most_lines: int) -> int:
    """How many bytes of a chunked body may be read at once: all of it, or up to where it has too many lines.

    No more is looked at than twice what may be read: counting lines costs nearly as much as reading some of them.
    """
    size, share = len(data), FRAMING_AT_ONCE
    lines = data.count(b"\n", 0, share)
    while share < size and lines <= most_lines:
        lines += data.count(b"\n", share, 2 * share)
        if lines <= most_lines:
            share *= 2
    return min(share, size)
