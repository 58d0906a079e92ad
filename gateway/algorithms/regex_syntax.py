"""Parses the text of a pattern to its nodes; `linear_regex` checks what patterns may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_LENGTH = 500  # of a pattern, in characters
MAX_DEPTH = 20  # of groups

_CLASSES = {
    "d": ((48, 57),),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "s": ((9, 13), (32, 32)),
}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}


class RegexError(ValueError):
    """The pattern means nothing here. `offset` is the character at which that shows."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of some ranges of code points, or outside of them."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False

    def fits(self, spellings: Sequence[int]) -> bool:
        """Whether a character, in any of its spellings, is meant."""
        found = any(low <= code <= high for low, high in self.ranges for code in spellings)
        return found is not self.negated


@dataclass(frozen=True, slots=True)
class Chain:
    """One after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of them."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """At least `least` times, and at most `most` (None: any number of) times."""

    item: Node
    least: int
    most: int | None


Node = Chars | Chain | Choice | Repeat

_ANY = Chars(((10, 10),), negated=True)


def parse(pattern: str) -> tuple[Node, bool]:
    """The pattern as a tree, and whether upper and lower case are the same to it. Raises RegexError."""
    parser = _Parser(pattern)
    return parser.parse(), parser.ignore_case


class _Parser:
    """Parses the text of a pattern to its nodes."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_LENGTH:
            raise RegexError(f"the pattern is longer than {MAX_LENGTH} characters; make it shorter", MAX_LENGTH)
        self.ignore_case = pattern.startswith("(?i)")
        self._at = 4 if self.ignore_case else 0
        self._end = len(pattern)
        self._text = pattern
        self._depth = 0

    def parse(self) -> Node:
        if self._peek() == "^":
            self._at += 1
        if self._text.endswith("$") and not self._text.endswith("\\$") and self._end > self._at:
            self._end -= 1
        node = self._choice()
        if self._at < self._end:
            raise self._error('")" without its "("; write \\) for the character')
        return node

    def _peek(self) -> str:
        return self._text[self._at] if self._at < self._end else ""

    def _next(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _error(self, message: str, offset: int | None = None) -> RegexError:
        return RegexError(message, self._at if offset is None else offset)

    def _choice(self) -> Node:
        items = [self._chain()]
        while self._peek() == "|":
            self._at += 1
            items.append(self._chain())
        return items[0] if len(items) == 1 else Choice(tuple(items))

    def _chain(self) -> Node:
        items: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            items.append(self._repeated())
        return Chain(tuple(items))

    def _repeated(self) -> Node:
        node = self._atom()
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        bounds: tuple[int, int | None] | None = None
        char = self._peek()
        if char in simple:
            self._at += 1
            bounds = simple[char]
        elif char == "{":
            bounds = self._counted()
        if bounds is None:
            return node
        if self._peek() and self._peek() in "*+?{":
            raise self._error("a quantifier after a quantifier; remove it")
        return Repeat(node, *bounds)

    def _counted(self) -> tuple[int, int | None]:
        start, closing = self._at, self._text.find("}", self._at, self._end)
        low, comma, high = self._text[start + 1 : max(closing, start)].partition(",")
        if closing < 0 or not _is_count(low) or not (_is_count(high) or not high):
            raise self._error("expected {2}, {2,} or {2,5}; write \\{ for the character")
        least = int(low)
        most = least if not comma else int(high) if high else None
        if most is not None and most < least:
            raise self._error(f"{most} is less than {least}; write the smaller number first")
        self._at = closing + 1
        return least, most

    def _atom(self) -> Node:
        start, char = self._at, self._next()
        if char == "(":
            return self._group(start)
        if char == "[":
            return self._char_class(start)
        if char == ".":
            return _ANY
        if char == "\\":
            return self._escape(start)
        if char in "*+?{":
            raise self._error("a quantifier with nothing before it; write a \\ before it for the character", start)
        if char in "^$":
            raise self._error(f'"{char}" within the pattern; the whole text is compared, remove it', start)
        return Chars(((ord(char), ord(char)),))

    def _group(self, start: int) -> Node:
        if self._peek() == "?" and self._text[self._at : self._at + 2] != "?:":
            raise self._error("groups that begin with (? are not known here, except (?: and a (?i) in front", start)
        if self._peek() == "?":
            self._at += 2
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"groups are nested more than {MAX_DEPTH} deep; make it simpler", start)
        node = self._choice()
        self._depth -= 1
        if self._next() != ")":
            raise self._error('"(" without its ")"; close it, or write \\( for the character', start)
        return node

    def _escape(self, start: int) -> Chars:
        char = self._next()
        if char and char.lower() in _CLASSES:
            return Chars(_CLASSES[char.lower()], negated=char.isupper())
        if not char or (char.isalnum() and char not in _CONTROLS):
            raise self._error("this escape is not known here; of letters there are \\d \\w \\s \\D \\W \\S", start)
        code = ord(_CONTROLS.get(char, char))
        return Chars(((code, code),))

    def _char_class(self, start: int) -> Chars:
        negated = self._peek() == "^"
        if negated:
            self._at += 1
        ranges: list[tuple[int, int]] = []
        while self._peek() != "]" or not ranges:
            if not self._peek():
                raise self._error('"[" without its "]"; close it, or write \\[ for the character', start)
            ranges.extend(self._range())
        self._at += 1
        return Chars(tuple(ranges), negated)

    def _range(self) -> tuple[tuple[int, int], ...]:
        start = self._at
        low = self._member()
        dash = self._text[self._at : self._at + 2]
        if not dash.startswith("-") or dash == "-]" or len(dash) < 2 or len(low) != 1:
            return low
        self._at += 1
        high = self._member()
        if len(high) != 1 or high[0][0] < low[0][0]:
            raise self._error("this is not a range; write the smaller character first, and \\- for a hyphen", start)
        return ((low[0][0], high[0][0]),)

    def _member(self) -> tuple[tuple[int, int], ...]:
        start, char = self._at, self._next()
        if char != "\\":
            return ((ord(char), ord(char)),)
        escaped = self._escape(start)
        if escaped.negated:
            raise self._error("\\D, \\W and \\S cannot be in brackets; use [^...]", start)
        return escaped.ranges


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3
