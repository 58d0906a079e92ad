"""Our path patterns as values: made of prefixes and regular expressions, intersected, and rewritten symbolically.

A pattern is its segments as they are written in routes.yaml: a literal (`v1`), a wildcard (`{name}`), literal text
around a `*` (`api*`), or a regular expression (`{name:[0-9]+}`). `rest`: it ends in `/*`. `beneath`: of these paths,
the original does not take the one without the slash, which `/a/*` of ours takes: `/a/` in the sense of a prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

WILD = re.compile(r"\{\w+\}|\*")
TYPED = re.compile(r"([^{}*]*)\{\w+:(.*)\}([^{}*]*)", re.DOTALL)
"""A segment with an expression: what is in front of it, the expression, and what follows."""
_REFERENCE = re.compile(r"\$(\d+)|\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One path pattern."""

    segments: tuple[str, ...]
    rest: bool = False
    beneath: bool = False

    @property
    def text(self) -> str:
        """As it is written in routes.yaml."""
        parts = [*self.segments, "*"] if self.rest else self.segments
        return "/" + "/".join(parts)

    def fits(self, path: str) -> bool:
        """Whether a path that is already normal fits, as the original has it."""
        return _compiled(self).fullmatch(path) is not None

    @property
    def excluded(self) -> Pattern | None:
        """What the text takes, but the original does not."""
        return Pattern(self.segments) if self.rest and self.beneath and self.segments else None

    def captures(self) -> Iterator[str]:
        """What is captured, as a rewrite refers to it."""
        for number, segment in enumerate(
            (s for s in ((*self.segments, "*") if self.rest else self.segments) if not is_literal(s)), 1
        ):
            yield f"${number}" if "*" in segment else "{" + _name(segment) + "}"


@lru_cache(maxsize=10_000)
def _compiled(pattern: Pattern) -> re.Pattern[str]:
    body = "".join("/" + _expression(segment) for segment in pattern.segments)
    rest = ("/.*" if pattern.beneath else "(?:/.*)?") if pattern.rest else ""
    return re.compile(body + rest, re.DOTALL)


@lru_cache(maxsize=10_000)
def _compiled_segment(segment: str) -> re.Pattern[str]:
    return re.compile(_expression(segment))


def literal(path: str) -> Pattern:
    """The pattern of exactly this path."""
    return Pattern(tuple(map(_escape, path.removeprefix("/").split("/"))))


def below(path: str) -> Pattern:
    """The pattern of this path and of all below it; of what is below it only, where it ends in a slash."""
    stem = path.rstrip("/")
    return Pattern(literal(stem).segments if stem else (), True, stem != path)


def beginning(path: str) -> Pattern:
    """The pattern of what goes on behind this path within its last segment: `/api*/*` for `/api`."""
    *segments, last = literal(path).segments
    return Pattern((*segments, last + "*"), True)


def _escape(segment: str) -> str:
    """A literal: braces and stars of the original are escapes here."""
    return segment.replace("{", "%7B").replace("}", "%7D").replace("*", "%2A")


def is_literal(segment: str) -> bool:
    """Whether a segment captures nothing."""
    return "*" not in segment and "{" not in segment


def _name(segment: str) -> str:
    match = re.search(r"\{(\w+)", segment)
    return match[1] if match else ""


def _expression(segment: str) -> str:
    if typed := TYPED.fullmatch(segment):
        before, body, behind = typed.groups()
        body = f"((?i:{body[4:]}))" if body.startswith("(?i)") else f"({body})"
        return re.escape(before) + body + re.escape(behind)
    if WILD.fullmatch(segment):
        return "([^/]+)"
    return "".join(
        "([^/]+)" if WILD.fullmatch(part) else re.escape(part) for part in re.split(r"(\{\w+\}|\*)", segment)
    )


def as_it_came(pattern: Pattern) -> str:
    """The path itself, written as a rewrite."""
    text, number = "", 0
    for segment in (*pattern.segments, *(["*"] if pattern.rest else [])):
        pieces = re.split(r"(\{\w+:.*\}|\{\w+\}|\*)", segment)
        written = ""
        for piece in pieces:
            if piece == "*":
                number += 1
                written += f"${number}"
            elif match := re.match(r"\{(\w+)", piece):
                number += 1
                written += "{" + match[1] + "}"
            else:
                written += piece
        text += "/" + written
    return text or "/"


def intersection(one: Pattern, other: Pattern) -> Pattern | None:
    """The pattern of what fits both; None where that is nothing, or is not known."""
    if len(one.segments) < len(other.segments):
        one, other = other, one
    if len(one.segments) > len(other.segments) and not other.rest:
        return None
    for a, b in zip(one.segments, other.segments, strict=False):
        if a != b and is_literal(a) and is_literal(b):
            return None  # most pairs end here, and there are many
    segments = [overlap(a, b) for a, b in zip(one.segments, other.segments, strict=False)]
    if None in segments:
        return None
    together = (*[s for s in segments if s is not None], *one.segments[len(other.segments) :])
    same = len(one.segments) == len(other.segments)
    rest = one.rest and (other.rest or not same)
    beneath = rest and (one.beneath or (same and other.beneath))
    if same and one.rest != other.rest and (one.beneath or other.beneath):
        return None
    return Pattern(together, rest, beneath)


def covers(wide: Pattern, narrow: Pattern) -> bool:
    """Whether all that fits `narrow` fits `wide`, as far as that is known."""
    return wide == narrow or intersection(wide, narrow) == narrow


def overlap(one: str, other: str) -> str | None:
    """The segment of what fits both; None where that is nothing, or is not known."""
    if one == other or WILD.fullmatch(other):
        return one if one else None if other else one
    if WILD.fullmatch(one):
        return other or None
    for a, b in ((one, other), (other, one)):
        if is_literal(a) and not is_literal(b):
            return a if _compiled_segment(b).fullmatch(a) else None
    if one.endswith("*") and other.endswith("*"):
        longer, shorter = sorted((one, other), key=len, reverse=True)
        return longer if longer.startswith(shorter[:-1]) else None
    return None


def transferred(rewrite: str, pattern: Pattern, narrower: Pattern) -> str | None:
    """A rewrite of `pattern` for the paths of `narrower`, which is a part of it; None where it is not known."""
    own = list(narrower.captures())
    taken: list[str] = []
    for index, segment in enumerate(narrower.segments):
        text = segment if is_literal(segment) else own.pop(0)
        if index >= len(pattern.segments):
            taken.append(text)
        elif not is_literal(pattern.segments[index]):
            taken.append(_taken(pattern.segments[index], segment, text))
    count = sum(not is_literal(segment) for segment in pattern.segments)
    rest = "/".join([*taken[count:], *own])
    names = [*taken[:count], *([rest] if pattern.rest else [])]
    if "\0" in names or len(names) < len(list(pattern.captures())):
        return None
    places = dict(zip(pattern.captures(), names, strict=False))
    numbered = {f"${number}": name for number, name in enumerate(names, 1)}
    written = _REFERENCE.sub(lambda match: (numbered | places).get(match[0], "\0"), rewrite)
    return None if "\0" in written else re.sub("/+", "/", written) if not rest else written


def _taken(wide: str, narrow: str, text: str) -> str:
    """What the wildcard of `wide` takes of the segment `narrow`; a NUL where that is not one piece."""
    if WILD.fullmatch(wide) or wide == narrow:
        return text
    if (typed := TYPED.fullmatch(wide)) and not typed[1] and not typed[3]:
        return text
    match = _compiled_segment(wide).fullmatch(narrow) if is_literal(narrow) else None
    return match[1] if match and match.lastindex == 1 else "\0"
