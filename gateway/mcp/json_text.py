"""JSON as it stands in a text: read without ambiguity between parsers, and edited in place.

What is refused though some readers take it: members that are there twice (some readers take the first, others the
last), other encodings than UTF-8, a byte order mark, half a surrogate pair, NaN and infinities, and nesting or numbers
beyond what can be read everywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SPACE: Final = re.compile(r"[ \t\n\r]*")


Change = tuple[int, int, str]
"""A replacement in a text: its begin, its end, the new text."""


class NotJson(ValueError):
    """The error of a text, as a sentence without any of it."""


class Ambiguous(NotJson):
    """JSON that readers understand differently."""


@dataclass(frozen=True, slots=True)
class Part:
    """A value, and where it stands: `text[start:end]`."""

    value: Any
    start: int
    end: int


MOST_CONTAINERS: Final = 100_000
"""Objects and arrays in what clients send. Millions of them fit into a small body, and take seconds to read."""


def decoded(body: bytes, most: int | None = None) -> str:
    """A body that is JSON by all rules, as a text; with at most so many objects and arrays. Raises NotJson."""
    if most is not None and _marks(body) > most and _marks(_STRING.sub(b"", body)) > most:
        raise NotJson(f"it has more than {most} objects and arrays")
    try:
        orjson.loads(body)
    except ValueError as error:  # whose message may have a piece of the text
        where = f" at byte {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise NotJson(f"it is no JSON in UTF-8{where}") from None
    return body.decode()


def _marks(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{")


def value_at(text: str, start: int) -> Part:
    """The value that begins at this place, of a text that is JSON. Raises NotJson."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except Ambiguous:
        raise
    except (ValueError, RecursionError):
        raise NotJson("it has a number that is too long, or is nested too deep") from None
    return Part(value, start, end)


def members(text: str, start: int) -> dict[str, Part]:
    """The members of the object that begins here, by their names. Raises NotJson."""
    found: dict[str, Part] = {}
    at = skip(text, start + 1)
    while text[at] != "}":
        name = value_at(text, at)
        key = name.value
        if key in found:
            raise Ambiguous("a member is duplicated")
        found[key] = value_at(text, skip(text, skip(text, name.end) + 1))
        at = skip(text, found[key].end)
        if text[at] == ",":
            at = skip(text, at + 1)
    return found


def elements(text: str, start: int) -> list[Part]:
    """The elements of the array that begins here. Raises NotJson."""
    found: list[Part] = []
    at = skip(text, start + 1)
    while text[at] != "]":
        found.append(value_at(text, at))
        at = skip(text, found[-1].end)
        if text[at] == ",":
            at = skip(text, at + 1)
    return found


def skip(text: str, at: int) -> int:
    """The first place from here on that is no white space."""
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def replaced(text: str, changes: Iterable[Change]) -> str:
    """The text with others in these places, which do not overlap."""
    pieces: list[str] = []
    start = 0
    for begin, end, new in sorted(changes):
        pieces += (text[start:begin], new)
        start = end
    return "".join((*pieces, text[start:]))


def written(value: Any) -> str:
    """A value as JSON in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def joined(parts: Iterable[str]) -> str:
    """An array of values that are JSON already."""
    return f"[{','.join(parts)}]"


def as_object(value: Any) -> Mapping[str, Any]:
    """The value where it is an object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Ambiguous("a member is duplicated")
    return made


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_distinct)
