"""Finds the patterns that fit a path, the most specific first, in a time that does not grow with their number."""

from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gateway.routes.pattern import WILD, Pattern, Pieces, Segment, literal_length, taker

V = TypeVar("V")

_REST = 0
"""In place of the index to go on at: what comes next is the rest below the node. Indices of segments begin at 1."""


class Trie(Generic[V]):
    """Map from patterns to values, asked by path. Not changed once it is asked."""

    def __init__(self) -> None:
        self._literals: dict[str, list[V]] = {}
        self._root: _Node[V] = _Node()

    def add(self, pattern: Pattern, value: V) -> None:
        """Add a value. Of what the pattern leaves open, whichever is added first goes first."""
        if pattern.literal is not None:
            self._literals.setdefault(pattern.literal, []).append(value)
            return
        node = self._root
        for segment in pattern.segments:
            node = node.child(segment)
        if pattern.rest:
            node.rest = node.rest or []
            node.rest.append(value)
        else:
            node.here = node.here or []
            node.here.append(value)

    def find(self, path: str) -> Iterator[tuple[Sequence[V], Sequence[str]]]:
        """Give what was added for every pattern that fits a normalised `path`, and the segments of `path`.

        The most specific comes first: the literal path, then what lies down the literal children, and after that, from
        the nearest on, the turns that were passed on the way. Literal patterns get no segments.
        """
        if literal := self._literals.get(path):
            yield literal, ()
        segments = path.split("/")
        end = len(segments)
        turns: list[tuple[_Node[V], int]] = []
        node, index = self._root, 1
        while True:
            while index < end:
                segment = segments[index]
                index += 1
                if node.rest:
                    turns.append((node, _REST))
                if node.branches:
                    node.branches.fitting(segment, index, turns)
                child = node.literals.get(segment) if node.literals else None
                if child is None:
                    break
                node = child
            else:
                turns.append((node, _REST))
                if node.here:
                    yield node.here, segments
            while turns:
                node, index = turns.pop()
                if index != _REST:
                    break
                yield node.rest or (), segments
            else:
                return


@dataclass(slots=True, eq=False)
class _Node(Generic[V]):
    """What comes after one beginning of patterns: `here` if they end, `rest` if they take the rest.

    Most nodes have one of the four, so that containers are made when they are needed.
    """

    here: list[V] | None = None
    rest: list[V] | None = None
    literals: "dict[str, _Node[V]] | None" = None
    branches: "_Branches[V] | None" = None

    def child(self, segment: Segment) -> "_Node[V]":
        """Return the node below `segment`, which is made if there is none."""
        if not isinstance(segment, str):
            self.branches = self.branches or _Branches()
            return self.branches.child(segment)
        if self.literals is None:
            self.literals = {}
        node = self.literals.get(segment)
        if node is None:
            node = self.literals[segment] = _Node()
        return node


@dataclass(slots=True, eq=False)
class _Branches(Generic[V]):
    """The children of a node that are below wildcards.

    `ranked` has the partly literal ones, the least specific first: the length of their literal text, minus their
    number, what they take, and the child.
    """

    wild: _Node[V] | None = None
    partial: dict[Pieces, _Node[V]] = field(default_factory=dict)
    ranked: list[tuple[int, int, Callable[[str], object], _Node[V]]] = field(default_factory=list)

    def child(self, segment: Pieces) -> _Node[V]:
        """Return the node below `segment`, which is made if there is none."""
        if segment == WILD:
            self.wild = self.wild or _Node()
            return self.wild
        if segment not in self.partial:
            node = self.partial[segment] = _Node()
            insort(self.ranked, (literal_length(segment), -len(self.partial), taker(segment), node))
        return self.partial[segment]

    def fitting(self, segment: str, index: int, turns: list[tuple[_Node[V], int]]) -> None:
        """Put the children that `segment` fits on `turns`, the least specific first, to go on at `index`."""
        if self.wild is not None and segment:
            turns.append((self.wild, index))
        for _, _, take, node in self.ranked:
            if take(segment) is not None:
                turns.append((node, index))
