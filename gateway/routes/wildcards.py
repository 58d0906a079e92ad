"""The wildcards of a path as it is written: `*`, `{name}` and `{name:regular expression}`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

_SLASH: Final = "\0"
"""Stands for a slash that is none between segments."""


class PatternError(ValueError):
    """A path, a rewrite or a prefix that means nothing; the message says why and what to write instead."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A wildcard that takes only what fits a regular expression."""

    source: str


class Wildcard(NamedTuple):
    """One wildcard as it is written, from `start` to before `end`; without a name where it is `*`."""

    start: int
    end: int
    name: str | None
    expression: Expression | None


def wildcards(source: str) -> Iterator[Wildcard]:
    """Find the wildcards of a path. Raises `PatternError` for a brace without its partner."""
    at = 0
    while at < len(source):
        char = source[at]
        if char == "*":
            yield Wildcard(at, at + 1, None, None)
        elif char == "{":
            start = at
            end = next((at for at in range(start + 1, len(source)) if source[at] in "{}:"), len(source))
            name, expression = source[start + 1 : end], None
            if source[end : end + 1] == ":":
                end = _end_of_expression(source, end + 1)
                expression = Expression(source[start + len(name) + 2 : end])
            if source[end : end + 1] != "}":
                raise PatternError(f'path "{source}" has a brace without its partner; write "{{name}}"')
            found = Wildcard(start, end + 1, name, expression)
            yield found
            at = found.end - 1
        elif char == "}":
            raise PatternError(f'path "{source}" has a brace without its partner; write "{{name}}"')
        at += 1


def without_expressions(source: str) -> str:
    """Write a path with `{name}` in the place of `{name:regular expression}`. Raises `PatternError`."""
    for wildcard in reversed(list(wildcards(source))):
        if wildcard.expression is not None:
            source = f"{source[: wildcard.start]}{{{wildcard.name}}}{source[wildcard.end :]}"
    return source


def written_segments(source: str) -> list[str]:
    """Split a path as it is written; a slash in a regular expression does not count."""
    text = list(source)
    for wildcard in wildcards(source):
        for at in range(wildcard.start, wildcard.end):
            if text[at] == "/":
                text[at] = _SLASH
    return [segment.replace(_SLASH, "/") for segment in "".join(text).split("/")]


def _end_of_expression(source: str, at: int) -> int:
    """Where the brace is that closes a wildcard whose regular expression begins at `at`: none of its own."""
    depth, members = 0, -1  # of a [class]: a "]" at its beginning is one of them
    while at < len(source):
        char = source[at]
        if char == "\\":
            at += 1
        elif members >= 0:
            if char == "]" and at > members:
                members = -1
        elif char == "[":
            members = at + (2 if source[at + 1 : at + 2] == "^" else 1)
            at = members - 1
        elif char == "{":
            depth += 1
        elif char == "}":
            if depth == 0:
                break
            depth -= 1
        at += 1
    return at


def with_captures(source: str, found: Sequence[Wildcard], capture: str) -> str:
    """Put `capture` in the place of each wildcard."""
    text, position = "", 0
    for wildcard in found:
        text += source[position : wildcard.start] + capture
        position = wildcard.end
    return text + source[position:]
