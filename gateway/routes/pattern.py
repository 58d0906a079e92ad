"""Path patterns: literal text, `{name}`, `{name:regular expression}` and `*`.

- `{name}` stands for one or more characters within one segment, as does `*`. Both may be a part of a segment
  (`/v{version}/x`, `/img/*.png`); where a segment has several, each takes as little as it can.
- `{id:[1-9][0-9]*}` is the same, of which the whole fits the regular expression (`algorithms/linear_regex.py`) once its
  escapes are decoded. A segment with one has no other wildcard. What cannot be decoded as UTF-8, and what is longer
  than such expressions are compared with, fits none.
- `*` as the whole last segment stands for the rest: any number of segments, none included, and the slash before them.
  `/v1/x/*` fits `/v1/x`, `/v1/x/` and `/v1/x/a/b`.
- Everything else is literal and case-sensitive, and a trailing slash counts.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from gateway.algorithms.linear_regex import MAX_TEXT, LinearRegex
from gateway.algorithms.regex_syntax import RegexError
from gateway.http.paths import normalise_literal
from gateway.routes.wildcards import Expression, PatternError, wildcards, with_captures

Pieces = tuple[str | Expression | None, ...]
"""A segment with wildcards, each of them None or an Expression: ("v", None), or `WILD`."""

Segment = str | Pieces
"""A segment of a pattern; literal text is a string. A trailing slash is the segment ""."""

Key = tuple[tuple[Segment, ...], bool]
"""`segments` and `rest` of a pattern: the same for patterns that fit the same paths."""

WILD: Pieces = (None,)
CAPTURE = "\0"
"""Stands for a wildcard in text that is still to be split into segments."""

_is_plain = re.compile(r"[A-Za-z0-9._~!$&'()+,;=:@/-]*").fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed pattern: `segments` and `rest` decide what it fits, `names` name what the wildcards took.

    `names` has an entry for every wildcard in order, the rest being the last, and None for those without a name.
    """

    source: str
    segments: tuple[Segment, ...]
    rest: bool
    names: tuple[str | None, ...]

    @property
    def key(self) -> Key:
        """Decides what fits; names have no part in it."""
        return self.segments, self.rest

    @property
    def specificity(self) -> tuple[tuple[int, int], ...]:
        """Sorts patterns that fit the same path, the most specific first."""
        ranks = [_rank(segment) for segment in self.segments]
        return (*ranks, (3, 0)) if self.rest else tuple(ranks)

    @property
    def literal(self) -> str | None:
        """The one path that it fits, None if there are wildcards."""
        return None if self.names else self.sample("")

    def sample(self, stand_in: str) -> str:
        """Return a path that it fits, with `stand_in` for every wildcard and for the rest."""
        segments = [*self.segments, WILD] if self.rest else self.segments
        return "".join(["/" + show(segment, stand_in) for segment in segments])


def parse(source: str) -> Pattern:
    """Parse the path of a rule. Raises `PatternError`."""
    if not source.startswith("/"):
        raise PatternError(f'path "{source}" must begin with "/"')
    rest = source.endswith("/*")
    body = source[:-2] if rest else source
    if _is_plain(body):
        return Pattern(source, split(body), rest, (None,) if rest else ())
    if _CONTROL.search(body):
        raise PatternError(f"path {source!r} contains a control character; remove it")
    found = list(wildcards(body))
    names = [wildcard.name for wildcard in found]
    _check_names(source, [name for name in names if name is not None])
    text = with_captures(body, found, CAPTURE)
    if CAPTURE * 2 in text:
        raise PatternError(f'path "{source}" has two wildcards side by side; write one, or put text between them')
    segments = with_expressions(split(normalise_literal(text)), [wildcard.expression for wildcard in found])
    for segment in segments:
        if not isinstance(segment, str):
            _check_expression(source, segment)
    return Pattern(source, segments, rest, (*names, None) if rest else tuple(names))


def split(text: str) -> tuple[Segment, ...]:
    """Split a path in which `CAPTURE` stands for wildcards."""
    segments = text.split("/")[1:]
    return tuple([_pieces(s) if CAPTURE in s else s for s in segments]) if CAPTURE in text else tuple(segments)


def with_expressions(segments: tuple[Segment, ...], expressions: list[Expression | None]) -> tuple[Segment, ...]:
    """Put regular expressions in the place of wildcards, one for each, from the left; None leaves it as it is."""
    if not any(expressions):
        return segments
    following = iter(expressions)
    return tuple(
        [
            s if isinstance(s, str) else tuple([p if isinstance(p, str) else next(following, None) for p in s])
            for s in segments
        ]
    )


def has_expression(segment: Segment) -> bool:
    """Whether a wildcard of the segment takes only what fits a regular expression."""
    return not isinstance(segment, str) and any(isinstance(piece, Expression) for piece in segment)


def is_whole(segment: Segment) -> bool:
    """Whether the segment is one wildcard, and nothing else."""
    return not isinstance(segment, str) and len(segment) == 1


def closeness(segment: Segment) -> int:
    """Sorts segments that are partly literal: the more literal text, and then with a regular expression, the higher."""
    return 2 * literal_length(segment) + has_expression(segment)


def literal_length(segment: Segment) -> int:
    """How much of a segment is literal text, in characters."""
    return sum(len(piece) for piece in segment if isinstance(piece, str))


def fits(pattern: Pattern, segments: list[str]) -> bool:
    """Whether a path, given as its segments without the "" in front, fits. Not for the request path."""
    wanted = pattern.segments
    if len(segments) < len(wanted) or (len(segments) > len(wanted) and not pattern.rest):
        return False
    return all(segment_fits(one, given) for one, given in zip(wanted, segments, strict=False))


def segment_fits(wanted: Segment, given: str) -> bool:
    """Whether one segment of a path fits one of a pattern. Not for the request path."""
    return wanted == given if isinstance(wanted, str) else taker(wanted)(given) is not None


def show(segment: Segment, stand_in: str = "*") -> str:
    """Write a segment with `stand_in` for each wildcard."""
    if isinstance(segment, str):
        return segment
    return "".join([piece if isinstance(piece, str) else stand_in for piece in segment])


def taker(segment: Pieces) -> Callable[[str], tuple[str, ...] | None]:
    """Return the function that finds what the wildcards of `segment` take from a text, None if it does not fit.

    A wildcard takes escapes whole, so that what it took cannot make a new escape elsewhere. Not a regular expression of
    Python's: those cost 100 us each to compile, and backtrack on text that a stranger chose.
    """
    head, *middles, tail = show(segment, CAPTURE).split(CAPTURE)
    start, least = len(head), len(head) + len(tail) + 1
    for piece in segment:
        if isinstance(piece, Expression):
            return _fitting_taker(head, LinearRegex(piece.source), tail)

    def take(text: str) -> tuple[str, ...] | None:
        if len(text) < least or not text.startswith(head) or not text.endswith(tail):
            return None
        taken = []
        position, end = start, len(text) - len(tail)
        for middle in middles:
            # The first `middle` at least one character after `position` and not inside an escape.
            found = text.find(middle, position + 1, end)
            while found > 0 and _splits_escape(text, position, found):
                found = text.find(middle, found + 1, end)
            if found < 0:
                return None
            taken.append(text[position:found])
            position = found + len(middle)
        if position >= end or _splits_escape(text, position, end):
            return None
        return (*taken, text[position:end])

    return take


def _fitting_taker(head: str, regex: LinearRegex, tail: str) -> Callable[[str], tuple[str, ...] | None]:
    start, least = len(head), len(head) + len(tail) + 1

    def take_fitting(text: str) -> tuple[str, ...] | None:
        if len(text) < least or not text.startswith(head) or not text.endswith(tail):
            return None
        end = len(text) - len(tail)
        taken = text[start:end]
        if "%" in taken:
            if _splits_escape(text, start, end):
                return None
            try:
                decoded = unquote(taken, errors="strict")
            except UnicodeDecodeError:
                return None
        else:
            decoded = taken
        return (taken,) if len(decoded) <= MAX_TEXT and regex.matches(decoded) else None

    return take_fitting


def _splits_escape(text: str, start: int, end: int) -> bool:
    return "%" in text[max(start, end - 2) : end]


def _rank(segment: Segment) -> tuple[int, int]:
    if isinstance(segment, str):
        return 0, 0
    return (2, 0) if segment == WILD else (1, -closeness(segment))


def _check_expression(source: str, segment: Pieces) -> None:
    """One that can be used, and that has the segment's wildcards for itself: where it ends is plain then."""
    for piece in segment:
        if isinstance(piece, Expression):
            if sum(not isinstance(each, str) for each in segment) > 1:
                remedy = "a segment with one has no other wildcard: put a slash between them, or have one take both"
                raise PatternError(f'path "{source}" has a regular expression beside another wildcard; {remedy}')
            try:
                LinearRegex(piece.source)
            except RegexError as error:
                place = f"see character {error.offset + 1}, {error}"
                raise PatternError(f'path "{source}": "{piece.source}" cannot be used: {place}') from None


def _pieces(segment: str) -> Pieces:
    return tuple([None if piece == CAPTURE else piece for piece in re.split(f"({CAPTURE})", segment) if piece])


def _check_names(source: str, names: list[str]) -> None:
    for name in names:
        if not name.isidentifier():
            raise PatternError(f'path "{source}": "{{{name}}}" is not a name; use letters, digits and "_"')
        if names.count(name) > 1:
            raise PatternError(f'path "{source}" has "{{{name}}}" twice; give each a name of its own')
