r"""Regular expressions whose cost grows with the length of the text and never explodes.

Python's own go back and forth: `(a+)+b` takes longer than the universe on forty letters. Here a pattern becomes the
set of its positions (Glushkov's automaton), and a text is read once, with all positions that are possible at a time
as the bits of one number. Steps that were made before are remembered. The dearest pattern takes some
microseconds for each character of the worst text.

What there is: characters, `.`, `[a-z]`, `[^a-z]`, `\d \w \s` and their opposites (ASCII), `( )`, `(?: )`, `|`, `* + ?`,
`{2}`, `{2,}`, `{2,5}`, and `(?i)` in front. Always the whole text is compared; `^` and `$` may say so. No references
back, no looking around, and no lazy quantifiers, which would mean nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.algorithms.regex_syntax import Chain, Chars, Node, RegexError, Repeat, parse

MAX_POSITIONS = 250  # of a pattern, once its repetitions are written out
MAX_TEXT = 8192  # characters of a text
REMEMBERED = 4096  # steps

_START = 1  # the bit of the position before the text
_BYTES = (MAX_POSITIONS + 9) // 8  # of a set of positions


class TextTooLong(Exception):
    """A text has more than MAX_TEXT characters: whether it fits is not known."""


class LinearRegex:
    """A compiled pattern. Raises RegexError."""

    __slots__ = ("_accepting", "_automaton", "_steps", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._automaton = _Automaton(*parse(pattern))
        self._accepting = self._automaton.accepting
        self._steps: dict[tuple[int, str], int] = {}

    def matches(self, text: str) -> bool:
        """Whether the whole text fits. Takes time in proportion to its length. Raises TextTooLong."""
        if len(text) > MAX_TEXT:
            raise TextTooLong
        steps = self._steps
        state = _START
        for char in text:
            following = steps.get((state, char))
            if following is None:
                following = self._step(state, char)
            if not following:
                return False
            state = following
        return bool(state & self._accepting)

    def _step(self, state: int, char: str) -> int:
        if not char.isascii():  # of those there are many, of their kinds a few
            char = self._automaton.kind(char)
            following = self._steps.get((state, char))
            if following is not None:
                return following
        if len(self._steps) >= REMEMBERED:
            self._steps.clear()
        following = self._automaton.step(state, char)
        self._steps[state, char] = following
        return following


@dataclass(frozen=True, slots=True)
class _Part:
    """Properties of a part of a pattern: whether it can be empty, and its first and last positions (as bits)."""

    nullable: bool
    first: int
    last: int


_NOTHING = _Part(True, 0, 0)


class _Automaton:
    """The positions of a pattern, and which can follow which."""

    def __init__(self, node: Node, ignore_case: bool) -> None:
        self._chars: list[Chars] = [Chars(())]  # nothing leads back to the start
        self._follow: list[int] = [0]
        self._ignore_case = ignore_case
        self._known: dict[str, int] = {}
        self._unions: dict[tuple[int, int], int] = {}
        part = self._add(node)
        self._follow[0] = part.first
        self.accepting = part.last | (_START if part.nullable else 0)
        ranges = [bounds for chars in self._chars for bounds in chars.ranges]
        self._borders = sorted({0, 128} | {low for low, _ in ranges} | {high + 1 for _, high in ranges})

    def kind(self, char: str) -> str:
        """The first of the characters between which the pattern makes no difference."""
        return chr(self._borders[bisect_right(self._borders, ord(char)) - 1])

    def step(self, state: int, char: str) -> int:
        """The positions after `char`, from any of those in `state`. `char` is ASCII, or the first of its kind."""
        reachable = 0
        for index, byte in enumerate(state.to_bytes(_BYTES, "little")):
            if byte:
                # The positions that can follow eight positions, of which `byte` is the set: at most 8192 of these are
                # kept.
                union = self._unions.get((index, byte))
                if union is None:
                    union = 0
                    for bit in _bits(byte):
                        union |= self._follow[8 * index + bit]
                    self._unions[index, byte] = union
                reachable |= union
        # The positions at which the pattern takes this character.
        positions = self._known.get(char)
        if positions is None:
            spellings = self._spellings(char)
            positions = sum(1 << index for index, chars in enumerate(self._chars) if chars.fits(spellings))
            self._known[char] = positions
        return reachable & positions

    def _spellings(self, char: str) -> Sequence[int]:
        if self._ignore_case and char.isascii():
            return ord(char.lower()), ord(char.upper())
        return (ord(char),)

    def _add(self, node: Node) -> _Part:
        if isinstance(node, Chars):
            if len(self._chars) > MAX_POSITIONS:
                raise RegexError(f"the pattern stands for more than {MAX_POSITIONS} characters; make it simpler", 0)
            bit = 1 << len(self._chars)
            self._chars.append(node)
            self._follow.append(0)
            return _Part(False, bit, bit)
        if isinstance(node, Chain):
            return self._chained(map(self._add, node.items))
        if isinstance(node, Repeat):
            return self._chained(self._copies(node))
        parts = [self._add(item) for item in node.items]
        first = last = 0
        for part in parts:
            first, last = first | part.first, last | part.last
        return _Part(any(part.nullable for part in parts), first, last)

    def _copies(self, node: Repeat) -> Iterator[_Part]:
        """The repetition written out: what must be there, then what may be."""
        for count in range(max(node.least, 1) if node.most is None else node.most):
            part = self._add(node.item)
            if node.most is None and count == max(node.least, 1) - 1:
                self._link(part.last, part.first)
            yield _Part(part.nullable or count >= node.least, part.first, part.last)
            if not part.first:
                break  # nothing, however often

    def _chained(self, parts: Iterator[_Part]) -> _Part:
        whole = _NOTHING
        for part in parts:
            self._link(whole.last, part.first)
            whole = _Part(
                whole.nullable and part.nullable,
                whole.first | (part.first if whole.nullable else 0),
                part.last | (whole.last if part.nullable else 0),
            )
        return whole

    def _link(self, last: int, first: int) -> None:
        for position in _bits(last):
            self._follow[position] |= first


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
