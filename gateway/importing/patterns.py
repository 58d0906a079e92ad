"""Our path patterns as values: made of prefixes and regular expressions, intersected, and rewritten symbolically.

A pattern is its segments as they are written in routes.yaml: a literal (`v1`), a wildcard (`{name}`), literal text
around a `*` (`api*`), or a regular expression (`{name:[0-9]+}`). `rest`: it ends in `/*`. `beneath`: of these paths,
the original does not take the one without the slash, which `/a/*` of ours takes: `/a/` in the sense of a prefix.
`further`: nor the one that ends in the slash: `/a/.+`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from gateway.algorithms.regex_syntax import Node, RegexError
from gateway.importing.languages import Common, anything, behind, chained, common, language, text_of

WILD = re.compile(r"\{\w+\}|\*")
TYPED = re.compile(r"([^{}*]*)\{\w+:(.*)\}([^{}*]*)", re.DOTALL)
"""A segment with an expression: what is in front of it, the expression, and what follows."""
_ESCAPES = str.maketrans({"{": "%7B", "}": "%7D", "*": "%2A"})  # in a literal, they stand for themselves
_REFERENCE = re.compile(r"\$(\d+)|\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One path pattern."""

    segments: tuple[str, ...]
    rest: bool = False
    beneath: bool = False
    further: bool = False

    @property
    def text(self) -> str:
        """As it is written in routes.yaml."""
        parts = [*self.segments, "*"] if self.rest else self.segments
        return "/" + "/".join(parts)

    def fits(self, path: str) -> bool:
        """Whether a path that is already normal fits, as the original has it."""
        return _compiled(self).fullmatch(path) is not None

    @property
    def excluded(self) -> tuple[Pattern, ...]:
        """Paths that match the text, but not the original."""
        bare = (Pattern(self.segments),) if self.rest and self.beneath and self.segments else ()
        return (*bare, Pattern((*self.segments, ""))) if self.rest and self.further else bare

    def captures(self) -> Iterator[str]:
        """Captures, as a rewrite refers to them."""
        for number, segment in enumerate(
            (s for s in ((*self.segments, "*") if self.rest else self.segments) if not is_literal(s)), 1
        ):
            yield "{" + name + "}" if (name := _name(segment)) else f"${number}"


@lru_cache(maxsize=10_000)
def _compiled(pattern: Pattern) -> re.Pattern[str]:
    body = "".join("/" + _expression(segment) for segment in pattern.segments)
    rest = ("/.+" if pattern.further else "/.*" if pattern.beneath else "(?:/.*)?") if pattern.rest else ""
    return re.compile(body + rest, re.DOTALL)


@lru_cache(maxsize=10_000)
def _compiled_segment(segment: str) -> re.Pattern[str]:
    return re.compile(_expression(segment))


def literal(path: str) -> Pattern:
    """The pattern of exactly this path."""
    return Pattern(tuple(path.removeprefix("/").translate(_ESCAPES).split("/")))


def below(path: str) -> Pattern:
    """The pattern of this path and of all below it; of what is below it only, where it ends in a slash."""
    stem = path.rstrip("/")
    return Pattern(literal(stem).segments if stem else (), True, stem != path)


def beginning(path: str) -> Pattern:
    """The pattern of what goes on behind this path within its last segment: `/api*/*` for `/api`."""
    *segments, last = literal(path).segments
    return Pattern((*segments, last + "*"), True)


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


def intersection(one: Pattern, other: Pattern, *, closely: bool = False) -> Pattern | None:
    """The pattern of what fits both; None where that is nothing, or is not known. `closely`: two different expressions
    are compared, too, exactly."""
    if len(one.segments) < len(other.segments):
        one, other = other, one
    if len(one.segments) > len(other.segments) and not other.rest:
        return None
    for a, b in zip(one.segments, other.segments, strict=False):
        if a != b and is_literal(a) and is_literal(b):
            return None  # most pairs end here, and there are many
    segments = [overlap(a, b, closely=closely) for a, b in zip(one.segments, other.segments, strict=False)]
    if None in segments:
        return None
    together = (*[s for s in segments if s is not None], *one.segments[len(other.segments) :])
    same = len(one.segments) == len(other.segments)
    rest = one.rest and (other.rest or not same)
    beneath = rest and (one.beneath or (same and other.beneath))
    if (same and one.rest != other.rest and (one.beneath or other.beneath)) or _is_only_slash(one, other):
        return None
    return Pattern(together, rest, beneath, rest and (one.further or (same and other.further)))


def _is_only_slash(one: Pattern, other: Pattern) -> bool:
    """Whether nothing is behind the slash that something has to be behind."""
    bare = len(one.segments) == len(other.segments) + 1 and one.segments[-1] == ""
    return other.further and bare and not one.rest


def are_apart(one: Pattern, other: Pattern) -> bool:
    """Whether it is known that no path fits both."""
    if len(one.segments) < len(other.segments):
        one, other = other, one
    same = len(one.segments) == len(other.segments)
    if (not other.rest and (not same or (one.rest and one.beneath))) or (same and not one.rest and other.beneath):
        return True
    if _is_only_slash(one, other):
        return True
    return any(_differ(a, b) for a, b in zip(one.segments, other.segments, strict=False))


def _differ(one: str, other: str) -> bool:
    """Whether it is known that no text fits both segments."""
    if is_literal(one) or is_literal(other):
        return overlap(one, other) is None
    both = _in_common(one, other)
    return both is not None and both.text is None


def covers(wide: Pattern, narrow: Pattern) -> bool:
    """Whether all that fits `narrow` fits `wide`, as far as that is known."""
    if wide == narrow:
        return True
    both = intersection(wide, narrow)
    if both is None or both == narrow:
        return both is not None
    if replace(both, segments=narrow.segments) != narrow or len(both.segments) != len(narrow.segments):
        return False
    return all(_covers(a, b) for a, b in zip(wide.segments, narrow.segments, strict=False))


def _covers(wide: str, narrow: str) -> bool:
    if overlap(wide, narrow) == narrow:
        return True
    both = _in_common(wide, narrow) if TYPED.fullmatch(wide) or TYPED.fullmatch(narrow) else None
    return both is not None and both.text is not None and both.second_within


def overlap(one: str, other: str, *, closely: bool = False) -> str | None:
    """The segment of what fits both; None where that is nothing, or is not known. `closely`: two different expressions
    are compared, too."""
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
    typed = [bool(TYPED.fullmatch(segment)) for segment in (one, other)]
    if (not any(typed) or all(typed)) and not closely:
        return None
    return _common_segment(one, other)


def _head_of(segment: str) -> str:
    """The literal text that a segment begins with."""
    return re.split(r"[{*]", segment, maxsplit=1)[0]


@lru_cache(maxsize=10_000)
def _in_common(one: str, other: str) -> Common | None:
    a, b = _language(one), _language(other)
    return None if a is None or b is None else common(a, b)


def _language(segment: str) -> Node | None:
    """All texts that fit a segment; None where its expression is not known."""
    try:
        if typed := TYPED.fullmatch(segment):
            return chained((text_of(typed[1]), language(typed[2]), text_of(typed[3])))
    except RegexError:
        return None
    pieces = re.split(r"(\{\w+\}|\*)", segment)
    return chained(anything() if WILD.fullmatch(piece) else text_of(piece) for piece in pieces)


def _closeness(segment: str) -> tuple[int, bool]:
    typed = TYPED.fullmatch(segment)
    literal = typed[1] + typed[3] if typed else WILD.sub("", segment)
    return len(literal), typed is not None


def _common_segment(one: str, other: str) -> str | None:
    """The segment of what fits an expression and another segment, at least as close as either."""
    both = _in_common(one, other)
    if both is None or both.text is None:
        return None
    for within, segment, wider in ((both.first_within, one, other), (both.second_within, other, one)):
        if within and _closeness(segment) >= _closeness(wider):
            return segment
    head = max(_head_of(one), _head_of(other), key=len)
    a, b = _language(one), _language(other)
    rest = None if a is None or b is None else common(behind(a, head), behind(b, head))
    if rest is None or rest.expression is None:
        return None
    if re.fullmatch(r"[\w~-]+", rest.expression) or not rest.expression:
        return head + rest.expression
    name = _name(one) or _name(other) or "part"
    found = head + "{" + name + ":" + rest.expression + "}"
    return found if _closeness(found) >= max(_closeness(one), _closeness(other)) else None


def transferred(rewrite: str, pattern: Pattern, narrower: Pattern) -> str | None:
    """A rewrite of `pattern` for the paths of `narrower`, which is a part of it; None where it is not known."""
    own = list(narrower.captures())
    taken: list[str] = []
    for index, segment in enumerate(narrower.segments):
        text = segment if is_literal(segment) else _with(segment, own.pop(0))
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
    if pattern.rest and not rest:
        rewrite = rewrite.removesuffix(f"/${len(names)}") or "/"  # as ours does, where nothing is left for the rest
    written = _REFERENCE.sub(lambda match: (numbered | places).get(match[0], "\0"), rewrite)
    return None if "\0" in written else re.sub("/+", "/", written) if not rest else written


def _with(segment: str, capture: str) -> str:
    """A segment, as a rewrite writes it."""
    return re.sub(r"\{\w+:.*\}|\{\w+\}|\*", lambda _: capture, segment, count=1, flags=re.DOTALL)


def _taken(wide: str, narrow: str, text: str) -> str:
    """What the wildcard of `wide` takes of the segment `narrow`, which a rewrite writes as `text`; a NUL where that is
    not one piece."""
    typed = TYPED.fullmatch(wide)
    if WILD.fullmatch(wide) or (typed and not typed[1] and not typed[3]):
        return text
    head, _, tail = (typed[1], "", typed[3]) if typed else re.sub(r"\{\w+\}", "*", wide).partition("*")
    single = typed is not None or re.sub(r"\{\w+\}", "*", wide).count("*") == 1
    fits = text.startswith(head) and text.endswith(tail) and len(text) > len(head + tail)
    return text[len(head) : len(text) - len(tail)] if single and fits else "\0"
