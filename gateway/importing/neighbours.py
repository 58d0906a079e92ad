"""Which patterns of many may have a path in common with one, so that only few have to be compared with it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gateway.importing.patterns import TYPED, Pattern, is_literal, overlap


@dataclass(slots=True)
class _Depth:
    """Patterns by one of their segments, all in the same place of a path: a literal, or what is before a star."""

    literals: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    heads: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    sorted_literals: list[str] = field(default_factory=list)
    sorted_heads: list[str] = field(default_factory=list)

    def all(self) -> Iterator[list[int]]:
        """Each of its lists."""
        yield from (*self.literals.values(), *self.heads.values())

    def sharing(self, segment: str) -> Iterator[list[int]]:
        """Those whose segment may be the same text as this one."""
        head = _head(segment)
        if head is not None:
            yield from (self.literals[key] for key in _beginning(self.sorted_literals, head))
            yield from (self.heads[key] for key in _beginning(self.sorted_heads, head))
            yield from self._shorter(head[:-1])
        elif is_literal(segment):
            yield self.literals.get(segment, [])
            yield from self._shorter(segment)
        elif TYPED.fullmatch(segment):  # which is not compared with heads
            yield from (found for key, found in self.literals.items() if overlap(segment, key) is not None)
        else:
            yield from self.all()

    def _shorter(self, text: str) -> Iterator[list[int]]:
        """Those with a head that this text begins with."""
        beginnings = (text[:length] for length in range(1, len(text) + 1))
        yield from (self.heads[each] for each in beginnings if each in self.heads)


class Neighbours:
    """Patterns by numbers: each by its rarest literal, or else by a head, as `api*` has one. What it answers may have
    more than asked for, and never less."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._depths: defaultdict[int, _Depth] = defaultdict(_Depth)
        self._anywhere: list[int] = []
        known = list(patterns)
        times = Counter(place for pattern in known for place in _literals(pattern))
        for number, pattern in enumerate(known):
            if literals := [*_literals(pattern)]:
                depth, text = min(literals, key=lambda place: (times[place], place))
                self._depths[depth].literals[text].append(number)
            elif heads := [(depth, head) for depth, segment in enumerate(pattern.segments) if (head := _head(segment))]:
                depth, text = heads[0]
                self._depths[depth].heads[text].append(number)
            else:
                self._anywhere.append(number)
        for each in self._depths.values():
            each.sorted_literals, each.sorted_heads = sorted(each.literals), sorted(each.heads)

    def of(self, pattern: Pattern) -> list[int]:
        """The numbers of those that this pattern may share a path with, in their order."""
        found = [*self._anywhere]
        for depth, known in self._depths.items():
            beyond = depth >= len(pattern.segments)
            if not beyond or pattern.rest:
                for numbers in known.all() if beyond else known.sharing(pattern.segments[depth]):
                    found += numbers
        return sorted(found)


def _literals(pattern: Pattern) -> Iterator[tuple[int, str]]:
    return ((depth, segment) for depth, segment in enumerate(pattern.segments) if is_literal(segment))


def _head(segment: str) -> str | None:
    """What is before the star of `api*`; None for other segments."""
    head = segment[:-1]
    return head if head and segment.endswith("*") and is_literal(head) else None


def _beginning(ordered: Sequence[str], head: str) -> Iterator[str]:
    for index in range(bisect_left(ordered, head), len(ordered)):
        if not ordered[index].startswith(head):
            return
        yield ordered[index]
