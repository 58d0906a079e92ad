"""Which patterns of many may have a path in common with one, so that only few have to be compared with it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gateway.algorithms.regex_beginnings import beginnings
from gateway.algorithms.regex_syntax import RegexError
from gateway.importing.patterns import TYPED, Pattern, is_literal, overlap


@dataclass(slots=True)
class _Depth:
    """Patterns by one of their segments, all in the same place of a path: a literal, one with an expression, or what is
    before a star, in lower case. `beginnings` has the segments with an expression by what fitting texts begin with, in
    lower case, too."""

    literals: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    typed: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    beginnings: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    heads: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    sorted_literals: list[str] = field(default_factory=list)
    sorted_heads: list[str] = field(default_factory=list)
    sorted_beginnings: list[str] = field(default_factory=list)

    def all(self) -> Iterator[list[int]]:
        """Each of its lists."""
        yield from (*self.literals.values(), *self.typed.values(), *self.heads.values())

    def sharing(self, segment: str) -> Iterator[list[int]]:
        """Those whose segment may be the same text as this one."""
        head = _head(segment)
        if head is not None:
            folded = head.lower()
            yield from (self.literals[key] for key in _beginning(self.sorted_literals, head))
            yield from (self.heads[key] for key in _beginning(self.sorted_heads, folded))
            yield from self._shorter(folded)
            yield from self._begun([*_beginning(self.sorted_beginnings, folded), *_prefixes(folded)])
        elif is_literal(segment):
            yield self.literals.get(segment, [])
            yield from self._shorter(segment.lower())
            yield from self._begun(_prefixes(segment.lower()))
        elif TYPED.fullmatch(segment):
            yield from (found for key, found in self.literals.items() if overlap(segment, key) is not None)
            texts = [text.lower() for text in _beginnings(segment)]
            yield from self._begun([each for text in texts for each in _beginning(self.sorted_beginnings, text)])
            yield from self._begun([each for text in texts for each in _prefixes(text)])
            for text in texts:
                yield from (self.heads[key] for key in _beginning(self.sorted_heads, text))
                yield from self._shorter(text)
        else:
            yield from self.all()

    def _begun(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """Those with an expression that can begin so."""
        return (self.typed[each] for text in texts for each in self.beginnings.get(text, ()))

    def _shorter(self, text: str) -> Iterator[list[int]]:
        """Those with a head that this text begins with."""
        return (self.heads[each] for each in _prefixes(text) if each in self.heads)


class Neighbours:
    """Patterns by numbers: each by its rarest literal or expression, or else by a head, as `api*` has one. What it
    answers may have more than asked for, and never less."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._depths: defaultdict[int, _Depth] = defaultdict(_Depth)
        self._anywhere: list[int] = []
        known = list(patterns)
        times = Counter(place for pattern in known for place in _places(pattern))
        for number, pattern in enumerate(known):
            if places := [*_places(pattern)]:
                depth, text = min(places, key=lambda place: (times[place], not is_literal(place[1]), place))
                at = self._depths[depth]
                (at.literals if is_literal(text) else at.typed)[text].append(number)
            elif heads := [(depth, head) for depth, segment in enumerate(pattern.segments) if (head := _head(segment))]:
                depth, text = heads[0]
                self._depths[depth].heads[text.lower()].append(number)
            else:
                self._anywhere.append(number)
        for each in self._depths.values():
            each.sorted_literals, each.sorted_heads = sorted(each.literals), sorted(each.heads)
            for segment in each.typed:
                for text in _beginnings(segment):
                    each.beginnings[text.lower()].add(segment)
            each.sorted_beginnings = sorted(each.beginnings)

    def of(self, pattern: Pattern) -> list[int]:
        """The numbers of those that this pattern may share a path with, in their order."""
        found = [*self._anywhere]
        for depth, known in self._depths.items():
            beyond = depth >= len(pattern.segments)
            if not beyond or pattern.rest:
                for numbers in known.all() if beyond else known.sharing(pattern.segments[depth]):
                    found += numbers
        return sorted(set(found))


def _places(pattern: Pattern) -> Iterator[tuple[int, str]]:
    """Its segments that are literals or have an expression."""
    return (
        (depth, segment)
        for depth, segment in enumerate(pattern.segments)
        if is_literal(segment) or TYPED.fullmatch(segment)
    )


def _beginnings(segment: str) -> Sequence[str]:
    """The beginnings of texts that match a segment with an expression."""
    typed = TYPED.fullmatch(segment)
    try:
        return [typed[1] + text for text in beginnings(typed[2])] if typed else [""]
    except RegexError:
        return [""]


def _head(segment: str) -> str | None:
    """The part before the star of `api*`; None for other segments."""
    head = segment[:-1]
    return head if head and segment.endswith("*") and is_literal(head) else None


def _prefixes(text: str) -> list[str]:
    return [text[:length] for length in range(len(text) + 1)]


def _beginning(ordered: Sequence[str], head: str) -> Iterator[str]:
    for index in range(bisect_left(ordered, head), len(ordered)):
        if not ordered[index].startswith(head):
            return
        yield ordered[index]
