"""Changes to a body of JSON that leave every other byte as it was: key order and spaces decide what providers cache.

All of it is about the members of the outermost object, in bytes that a parser of JSON has accepted before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import orjson

MOST_MEMBERS: Final = 10_000
"""Of an object or an array that is walked through."""

_SPACE: Final = b" \t\r\n"
_SPACES: Final = frozenset({b" ", b"\t", b"\r", b"\n"})
_SPACES_ON: Final = re.compile(rb"[ \t\r\n]*+")
_PLAIN: Final = re.compile(rb"[^][{}\",:\s]++")
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_TO_BRACKET: Final = re.compile(rb'(?:[^][{}"]++|"(?:[^"\\]++|\\.)*+")*+')
_ESCAPED_LETTER: Final = re.compile(rb"\\u00[4-7]")
"""The only way to write a letter in a name that is not the letter itself."""


class TooManyError(ValueError):
    """An object or an array has far more members than any request has."""


class Span(NamedTuple):
    """Where a value stands: the bytes from `start` to `end`."""

    start: int
    end: int


def members(body: bytes, start: int = 0) -> list[tuple[str, Span]]:
    """Name and place of the value of each member of an object, in their order, with those named twice.

    The object is the outermost one, or the one that begins at `start`; none in what is no object. Raises
    TooManyError.
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
        if len(found) > MOST_MEMBERS:
            raise TooManyError("it has too many members")
        at = _after_space(body, span.end)
        if body[at : at + 1] == b",":
            at = _after_space(body, at + 1)
    return found


def items(body: bytes, span: Span) -> list[Span]:
    """The values of an array; what is none stands for itself. Raises TooManyError."""
    if body[span.start : span.start + 1] != b"[":
        return [span]
    found: list[Span] = []
    at = _after_space(body, span.start + 1)
    while at < span.end - 1:
        found.append(Span(at, end_of_value(body, at)))
        if len(found) > MOST_MEMBERS:
            raise TooManyError("an array of it has too many members")
        at = _after_space(body, _after_space(body, found[-1].end) + 1)
    return found


def without_texts(body: bytes) -> bytes:
    """The structure of a body: its text without all strings."""
    return _STRING.sub(b"", body)


def has_escaped_letters(body: bytes) -> bool:
    """Whether a name may be hidden behind escapes."""
    return b"\\" in body and _ESCAPED_LETTER.search(body) is not None


def places(body: bytes, name: str, value: object, *, escaped: bool | None = None) -> list[Span]:
    """Where the values of the outermost member with this name stand: one, or several where it is named twice.

    `value` is what a parser read there. Where the name stands only once before a colon in all of the body, and cannot
    be hidden behind escapes, that is quickly found; otherwise all members are walked through. Names of properties in
    schemas of tools do not count as that, unless an object is looked for. `name` is of ASCII letters and `_`.
    `escaped` is what `has_escaped_letters` says, where it is known.
    """
    if not (has_escaped_letters(body) if escaped is None else escaped):
        start = _only_candidate(body, name, objects=isinstance(value, dict))
        if start >= 0:
            return [Span(start, end_of_value(body, start))]
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


def _only_candidate(body: bytes, name: str, *, objects: bool) -> int:
    """Where the value of the only member with this name begins, at any depth; -1 where there are several.

    What stands within texts is none of them. `objects`: also values that are objects.
    """
    found = -1
    quoted = b'"%b"' % name.encode()
    at = body.find(quoted)
    last = body.rfind(quoted)  # which is found several times faster than that there is no other one
    while at >= 0:
        end = at + len(quoted)
        colon = _after_space(body, end)
        if body[colon : colon + 1] == b":" and body[at - 1 : at] != b"\\":
            start = _after_space(body, colon + 1)
            if objects or body[start : start + 1] != b"{":
                if found >= 0:
                    return -1
                found = start
        at = body.find(quoted, end) if at < last else -1
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
    if body[at : at + 1] not in _SPACES:  # as nearly everywhere
        return at
    spaces = _SPACES_ON.match(body, at)
    return at if spaces is None else spaces.end()


def _decoded(name: bytes) -> str:
    """A name with escapes. Half of a character, which orjson refuses, is left as it is: no name that is looked for."""
    try:
        text: str = orjson.loads(name)
    except orjson.JSONDecodeError:
        return name.decode("utf-8", "replace")
    return text
