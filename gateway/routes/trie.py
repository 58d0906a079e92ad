"""Finds the patterns that fit a path, the most specific first, in a time that does not grow with their number."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final, Generic, TypeVar

from gateway.routes.pattern import WILD, Pattern, Pieces, Segment, literal_length, taker

V = TypeVar("V")

_Taker = Callable[[str], object]

_REST: Final = 0
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


class _Node(Generic[V]):
    """What comes after one beginning of patterns: `here` if they end, `rest` if they take the rest.

    Most nodes have one of the four, so that containers are made when they are needed.
    """

    __slots__ = ("branches", "here", "literals", "rest")

    def __init__(self) -> None:
        self.here: list[V] | None = None
        self.rest: list[V] | None = None
        self.literals: dict[str, _Node[V]] | None = None
        self.branches: _Branches[V] | None = None

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


class _Branches(Generic[V]):
    """The children of a node that are below wildcards: below a whole segment, and below partly literal ones."""

    __slots__ = ("partial", "wild")

    def __init__(self) -> None:
        self.wild: _Node[V] | None = None
        self.partial: _Partial[V] | None = None

    def child(self, segment: Pieces) -> _Node[V]:
        """Return the node below `segment`, which is made if there is none."""
        if segment == WILD:
            self.wild = self.wild or _Node()
            return self.wild
        self.partial = self.partial or _Partial()
        return self.partial.child(segment)

    def fitting(self, segment: str, index: int, turns: list[tuple[_Node[V], int]]) -> None:
        """Put the children that `segment` fits on `turns`, the least specific first, to go on at `index`."""
        if self.wild and segment:
            turns.append((self.wild, index))
        if self.partial:
            turns += [(node, index) for node in self.partial.fitting(segment)]


class _Partial(Generic[V]):
    """The children of a node that are below partly literal segments, by the text that such a segment begins with.

    With each child goes what sorts it: the length of the literal text, and minus its number, so that of equals the
    first sorts last.
    """

    __slots__ = ("heads", "lengths", "nodes")

    def __init__(self) -> None:
        self.nodes: dict[Pieces, _Node[V]] = {}
        self.heads: dict[str, list[tuple[int, int, _Taker, _Node[V]]]] = {}
        self.lengths: set[int] = set()

    def child(self, segment: Pieces) -> _Node[V]:
        """Return the node below `segment`, which is made if there is none."""
        if segment not in self.nodes:
            node = self.nodes[segment] = _Node()
            head = segment[0] or ""
            ranked = (literal_length(segment), -len(self.nodes), taker(segment), node)
            self.heads.setdefault(head, []).append(ranked)
            self.lengths.add(len(head))
        return self.nodes[segment]

    def fitting(self, segment: str) -> list[_Node[V]]:
        """Return the children that `segment` fits, the least specific first."""
        begun = chain.from_iterable(self.heads.get(segment[:length], ()) for length in self.lengths)
        fitting = sorted(child for child in begun if child[2](segment) is not None)
        return [node for _, _, _, node in fitting]
