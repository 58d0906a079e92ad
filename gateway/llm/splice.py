"""Changes to a body of JSON that leave every other byte as it was: key order and spaces decide what providers cache.

All of it is about the members of the outermost object, in bytes that a parser of JSON has accepted before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import orjson

_SPACE: Final = b" \t\r\n"
_PLAIN: Final = re.compile(rb"[^][{}\",:\s]++")
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_TO_BRACKET: Final = re.compile(rb'(?:[^][{}"]++|"(?:[^"\\]++|\\.)*+")*+')
_ESCAPED_LETTER: Final = re.compile(rb"\\u00[4-7]")
"""The only way to write a letter in a name that is not the letter itself."""


class Span(NamedTuple):
    """Where a value stands: the bytes from `start` to `end`."""

    start: int
    end: int


def members(body: bytes, start: int = 0) -> list[tuple[str, Span]]:
    """Name and place of the value of each member of an object, in their order, with those named twice.

    The object is the outermost one, or the one that begins at `start`; none in what is no object.
    """
    found: list[tuple[str, Span]] = []
    at = _after_space(body, start)
    at = _after_space(body, at + 1) if body[at : at + 1] == b"{" else len(body)
    while body[at : at + 1] == b'"':
        end = _end_of_string(body, at)
        name = body[at + 1 : end - 1]
        start = _after_space(body, _after_space(body, end) + 1)
        span = Span(start, end_of_value(body, start))
        found.append((_decoded(body[at:end]) if b"\\" in name else name.decode(), span))
        at = _after_space(body, span.end)
        if body[at : at + 1] == b",":
            at = _after_space(body, at + 1)
    return found


def items(body: bytes, span: Span) -> list[Span]:
    """The values of an array; what is none stands for itself."""
    if body[span.start : span.start + 1] != b"[":
        return [span]
    found: list[Span] = []
    at = _after_space(body, span.start + 1)
    while at < span.end - 1:
        found.append(Span(at, end_of_value(body, at)))
        at = _after_space(body, _after_space(body, found[-1].end) + 1)
    return found


def has_escaped_letters(body: bytes) -> bool:
    """Whether a name may be hidden behind escapes."""
    return _ESCAPED_LETTER.search(body) is not None


def places(body: bytes, name: str, value: object, *, escaped: bool | None = None) -> list[Span]:
    """Where the values of the outermost member with this name stand: one, or several where it is named twice.

    `value` is what a parser read there. Where the name stands only once before a colon in all of the body, and cannot
    be hidden behind escapes, that is quickly found; otherwise all members are walked through. Names of properties in
    schemas of tools do not count as that, unless an object is looked for. `name` is of ASCII letters and `_`.
    `escaped` is what `has_escaped_letters` says, where it is known.
    """
    if not (has_escaped_letters(body) if escaped is None else escaped):
        starts = _candidates(body, name)
        if not isinstance(value, dict):
            starts = [start for start in starts if body[start : start + 1] != b"{"]
        if len(starts) == 1:
            return [Span(starts[0], end_of_value(body, starts[0]))]
    return [span for known, span in members(body) if known == name]


def replaced(body: bytes, values: Sequence[tuple[Span, bytes]], added: Mapping[str, bytes] | None = None) -> bytes:
    """The body with other values in these places, and with members added at the end of the outermost object."""
    pieces: list[bytes] = []
    at = 0
    for span, value in sorted(values):
        pieces += (body[at : span.start], value)
        at = span.end
    if not added:
        return b"".join((*pieces, body[at:]))
    last = body.rindex(b"}")  # the end of the last value, before the spaces that may follow it
    while body[last - 1] in _SPACE:
        last -= 1
    separator = b"" if body[last - 1 : last] == b"{" else b","
    new = b",".join(b"%b:%b" % (orjson.dumps(name), value) for name, value in added.items())
    return b"".join((*pieces, body[at:last], separator, new, body[last:]))


def with_members(value: bytes, added: Mapping[str, bytes]) -> bytes:
    """An object with more members at its end."""
    return replaced(value, (), added)


def _candidates(body: bytes, name: str) -> list[int]:
    """Where the values of all members with this name begin, at any depth. What stands within texts is none of them."""
    found: list[int] = []
    quoted = b'"%b"' % name.encode()
    at = body.find(quoted)
    while at >= 0:
        end = at + len(quoted)
        colon = _after_space(body, end)
        if body[colon : colon + 1] == b":" and body[at - 1 : at] != b"\\":
            found.append(_after_space(body, colon + 1))
        at = body.find(quoted, end)
    return found


def end_of_value(body: bytes, start: int) -> int:
    """Where the value that begins at `start` ends."""
    first = body[start : start + 1]
    if first == b'"':
        return _end_of_string(body, start)
    if first not in (b"{", b"["):
        plain = _PLAIN.match(body, start)
        return plain.end() if plain else start
    depth = 0
    at = start
    while True:
        depth += 1 if body[at] in b"{[" else -1
        if depth == 0:
            return at + 1
        run = _TO_BRACKET.match(body, at + 1)
        if run is None or run.end() >= len(body):
            raise ValueError("this is no JSON")
        at = run.end()


def _end_of_string(body: bytes, start: int) -> int:
    found = _STRING.match(body, start)
    if found is None:
        raise ValueError("this is no JSON")
    return found.end()


def _after_space(body: bytes, at: int) -> int:
    while body[at : at + 1] in (b" ", b"\n", b"\r", b"\t"):
        at += 1
    return at


def _decoded(name: bytes) -> str:
    """A name with escapes. Half of a character, which orjson refuses, is left as it is: no name that is looked for."""
    try:
        text: str = orjson.loads(name)
    except orjson.JSONDecodeError:
        return name.decode("utf-8", "replace")
    return text
