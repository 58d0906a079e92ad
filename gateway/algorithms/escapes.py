"""Secrets in texts of others, in which they may be written with escapes.

Escapes of JSON, percent signs, entities of HTML, and escapes of literals are undone one level after the other, so that
those are found that are escaped in what is escaped. What is taken out is taken out of the text as it was.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

LEVELS: Final = 4
"""How often escapes are undone: an error that quotes an error that quotes a URL has three levels."""

LONGEST: Final = 16 * 1024
"""Bytes of a text in which escapes are undone. In what is behind them, secrets are found that are written as they
are."""

_MAY_ESCAPE: Final = re.compile(rb"[\\%&]")
_PAIR: Final = rb"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
_ESCAPE: Final = re.compile(
    _PAIR + rb"|\\u([0-9a-fA-F]{4})|(?:\\x|%)([0-9a-fA-F]{2})|\\([\"'/\\])"
    rb"|&#(?:0{0,8}([1-9][0-9]{0,6})|[xX]0{0,8}([1-9a-fA-F][0-9a-fA-F]{0,5}));?|&(amp|lt|gt|quot|apos);"
)
_NAMED: Final = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
_LAST: Final = 0x10FFFF  # of the characters of Unicode


class _Undone:
    """A text of which one level of escapes is undone, and where its bytes were before."""

    __slots__ = ("_after", "_before", "text")

    def __init__(self, text: bytes) -> None:
        pieces: list[bytes] = []
        # Where an escape begins or ends, in the new text and in the former one; in between they go on alike.
        self._after: list[int] = [0]
        self._before: list[int] = [0]
        at = length = 0
        for found in _ESCAPE.finditer(text):
            character = _character(found)
            if character is None:
                continue
            begins, ends = found.span()
            pieces += (text[at:begins], character)
            length += begins - at
            self._note(length, begins)
            length += len(character)
            self._note(length, ends)
            at = ends
        pieces.append(text[at:])
        self.text = b"".join(pieces)

    def _note(self, after: int, before: int) -> None:
        if self._after[-1] == after:
            self._before[-1] = before
        else:
            self._after.append(after)
            self._before.append(before)

    def former(self, at: int) -> int:
        """Where this byte was in the former text."""
        number = bisect_right(self._after, at) - 1
        return self._before[number] + at - self._after[number]


def _character(escape: re.Match[bytes]) -> bytes | None:
    """The bytes of which this is an escape; None where it is none."""
    high, low, unit, byte, itself, decimal, hexadecimal, name = escape.groups()
    if byte is not None:
        return bytes.fromhex(byte.decode())
    if itself is not None:
        return bytes(itself)
    if name is not None:
        return _NAMED[name]
    if high is not None:
        number = 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00
    elif unit is not None:
        number = int(unit, 16)
    else:
        number = int(decimal) if decimal is not None else int(hexadecimal, 16)
    return chr(number).encode("utf-8", "surrogatepass") if number <= _LAST else None


def without(text: bytes, secrets: Sequence[bytes], shown: bytes) -> bytes:
    """The text with `shown` in the place of each secret, however that is written; the text itself where it has none.

    `secrets` are not empty.
    """
    if _MAY_ESCAPE.search(text) is None and not any(secret in text for secret in secrets):
        return text
    spans = _spans(text, secrets, [])
    undone: list[_Undone] = []
    level = text[:LONGEST]
    for _ in range(LEVELS):
        further = _Undone(level)
        if further.text == level:
            break
        undone.append(further)
        level = further.text
        spans += _spans(level, secrets, undone)
    if not spans:
        return text
    pieces: list[bytes] = []
    at = 0
    for begins, ends in sorted(spans):
        if begins >= at:
            pieces += (text[at:begins], shown)
        at = max(at, ends)
    return b"".join([*pieces, text[at:]])


def _spans(text: bytes, secrets: Sequence[bytes], undone: Sequence[_Undone]) -> list[tuple[int, int]]:
    """Where secrets begin and end in the text as it was before anything was undone."""
    spans = []
    for secret in secrets:
        begins = text.find(secret)
        while begins >= 0:
            ends = begins + len(secret)
            first, last = begins, ends
            for level in reversed(undone):
                first, last = level.former(first), level.former(last)
            spans.append((first, last))
            begins = text.find(secret, ends)
    return spans
