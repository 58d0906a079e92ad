"""Media types (RFC 9110, 8.3.1), and patterns of them: `application/json`, `image/*`, `application/*+json`, `*/*`."""

from __future__ import annotations

import re
from collections.abc import Sequence

REMEMBERED = 512  # values of Content-Type whose verdict is remembered
REMEMBERED_LENGTH = 128  # bytes; longer ones are looked at each time

_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)
_PARAMETER = re.compile(r"""\s*([\w!#$&^.+-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s";,]+))\s*(?:;|$)""", re.ASCII)

_Parameters = frozenset[tuple[str, str]]


def is_form(content_type: bytes) -> bool:
    """Whether this value of Content-Type is that of a form with files (RFC 7578)."""
    return content_type.lower().startswith(b"multipart/form-data")


class MediaRanges:
    """Which of the types that clients and backends write are meant. A pattern's parameters must be there, too."""

    __slots__ = ("_ranges", "_remembered")

    def __init__(self, ranges: Sequence[str]) -> None:
        self._ranges = [_range(text) for text in ranges]
        self._remembered: dict[bytes, bool] = {}

    def match(self, content_type: bytes) -> bool:
        """Whether one of the patterns fits this value of Content-Type."""
        verdict = self._remembered.get(content_type)
        if verdict is None:
            parsed = parse(content_type.decode("latin-1"))
            if parsed is None:
                verdict = False
            else:
                name, parameters = parsed
                verdict = any(pattern.fullmatch(name) and wanted <= parameters for pattern, wanted in self._ranges)
            if len(content_type) <= REMEMBERED_LENGTH:
                if len(self._remembered) >= REMEMBERED:
                    self._remembered.clear()
                self._remembered[content_type] = verdict
        return verdict


def parse(text: str) -> tuple[str, _Parameters] | None:
    """Type and parameters, all in lower case; None for what is no media type."""
    name, _, rest = text.partition(";")
    name = name.strip().lower()
    if _TYPE.fullmatch(name) is None:
        return None
    parameters = _parameters(rest)
    return None if parameters is None else (name, parameters)


def _parameters(text: str) -> _Parameters | None:
    text, found, position = text.rstrip(), [], 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            return None
        found.append((match[1].lower(), (match[2] or match[3] or "").lower()))
        position = match.end()
    return frozenset(found)


def _range(text: str) -> tuple[re.Pattern[str], _Parameters]:
    name, _, rest = text.partition(";")
    pattern = re.escape(name.strip().lower()).replace(r"\*", r"[^/]+")
    return re.compile(pattern), _parameters(rest) or frozenset()
