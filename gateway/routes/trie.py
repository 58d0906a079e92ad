"""Patterns by their segments: which of thousands fit a path, the most specific first."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, TypeVar
from urllib.parse import quote, unquote_to_bytes

from gateway.algorithms.regex_beginnings import beginnings
from gateway.routes.pattern import WILD, Pattern, Pieces, Segment, closeness, taker
from gateway.routes.wildcards import Expression

V = TypeVar("V")

_Taker = Callable[[str], object]
_Ranked = tuple[int, int, _Taker, "_Node[V]"]
_Turn = tuple["_Node[V]", int, Sequence["_Ranked[V]"], int]
"""What to go on with, and at which index. Or children that the segment before it may fit, of which this one is the next
to be looked at, and then those in front of it: of a thousand mostly the first is taken."""

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

    def pieces(self) -> Iterator[object]:
        """Its nodes, and the lists of values, those above first."""
        yield from self._literals.values()
        nodes = [self._root]
        while nodes:
            node = nodes.pop()
            yield node
            nodes += node.below()

    def find(self, path: str) -> Iterator[tuple[Sequence[V], Sequence[str]]]:
        """Give what was added for every pattern that fits a normalised `path`, and the segments of `path`.

        The most specific comes first: the literal path, then what lies down the literal children, and after that, from
        the nearest on, the turns that were passed on the way. Literal patterns get no segments.
        """
        if literal := self._literals.get(path):
            yield literal, ()
        segments = path.split("/")
        end = len(segments)
        turns: list[_Turn[V]] = []
        node, index = self._root, 1
        while True:
            while index < end:
                segment = segments[index]
                index += 1
                if node.rest:
                    turns.append((node, _REST, (), 0))
                if node.branches:
                    node.branches.fitting(segment, index, turns)
                child = node.literals.get(segment) if node.literals else None
                if child is None:
                    break
                node = child
            else:
                turns.append((node, _REST, (), 0))
                if node.here:
                    yield node.here, segments
            while turns:
                node, index, children, number = turns.pop()
                if index == _REST:
                    yield node.rest or (), segments
                elif (fitting := _next(node, index, children, number, segments[index - 1], turns)) is not None:
                    node = fitting
                    break
            else:
                return


def _next(
    node: _Node[V], index: int, children: Sequence[_Ranked[V]], number: int, segment: str, turns: list[_Turn[V]]
) -> _Node[V] | None:
    """The next of the children that `segment` fits; those in front of it are put back on `turns`. Without any, the node
    itself."""
    if not children:
        return node
    while number >= 0:
        _, _, take, child = children[number]
        number -= 1
        if take(segment) is not None:
            if number >= 0:
                turns.append((node, index, children, number))
            return child
    return None


class _Node(Generic[V]):
    """The continuation of one prefix of patterns: `here` if they end, `rest` if they take the rest.

    Most nodes have one of the four, so that containers are made when they are needed.
    """

    __slots__ = ("branches", "here", "literals", "rest")

    def __init__(self) -> None:
        self.here: list[V] | None = None
        self.rest: list[V] | None = None
        self.literals: dict[str, _Node[V]] | None = None
        self.branches: _Branches[V] | None = None

    def child(self, segment: Segment) -> _Node[V]:
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

    def below(self) -> Iterator[_Node[V]]:
        """All of its children."""
        yield from (self.literals or {}).values()
        if self.branches is not None:
            yield from self.branches.below()


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

    def fitting(self, segment: str, index: int, turns: list[_Turn[V]]) -> None:
        """Put the children that `segment` may fit on `turns`, the least specific first, to go on at `index`."""
        if self.wild and segment:
            turns.append((self.wild, index, (), 0))
        if self.partial and (children := self.partial.begun(segment)):
            turns.append((children[0][3], index, children, len(children) - 1))

    def below(self) -> Iterator[_Node[V]]:
        """All of these children."""
        if self.wild is not None:
            yield self.wild
        if self.partial is not None:
            yield from self.partial.nodes.values()


class _Partial(Generic[V]):
    """The children of a node that are below partly literal segments, by texts that such a segment begins with.

    With each child goes what sorts it: how close it is, and minus its number, so that of equals the first sorts last.
    Thousands of expressions that begin alike, as `(users|orders)` and `(users|carts)` do, are common where a
    configuration came from elsewhere: so they are found by all texts that they can begin with, decoded and in lower
    case, and not asked one after the other.
    """

    __slots__ = ("expressions", "heads", "nodes")

    def __init__(self) -> None:
        self.nodes: dict[Pieces, _Node[V]] = {}
        self.heads = _ByBeginning[V]()
        self.expressions = _ByBeginning[V]()

    def child(self, segment: Pieces) -> _Node[V]:
        """Return the node below `segment`, which is made if there is none."""
        if segment not in self.nodes:
            node = self.nodes[segment] = _Node()
            ranked = (closeness(segment), -len(self.nodes), taker(segment), node)
            head = segment[0] if isinstance(segment[0], str) else ""
            expression = next((piece for piece in segment if isinstance(piece, Expression)), None)
            if expression is None:
                self.heads.add([head], ranked)
            else:
                texts = beginnings(expression.source)
                self.expressions.add([_folded(head) + _folded(quote(text, errors="replace")) for text in texts], ranked)
        return self.nodes[segment]

    def begun(self, segment: str) -> Sequence[_Ranked[V]]:
        """Return the children whose beginning `segment` has, the least specific first."""
        found = self.heads.find(segment)
        if not self.expressions.lengths:
            return found
        others = self.expressions.find(_folded(segment))
        return sorted([*found, *others]) if found and others else found or others


class _ByBeginning(Generic[V]):
    """Children by the texts of which a segment has one as its beginning."""

    __slots__ = ("children", "lengths")

    def __init__(self) -> None:
        self.children: dict[str, list[_Ranked[V]]] = {}
        self.lengths: set[int] = set()

    def add(self, texts: Sequence[str], child: _Ranked[V]) -> None:
        """Add a child once for each of the texts that begins with no other of them, so that it is found once."""
        shortest: list[str] = []
        for text in sorted(texts):
            if not shortest or not text.startswith(shortest[-1]):
                shortest.append(text)
                insort(self.children.setdefault(text, []), child)
                self.lengths.add(len(text))

    def find(self, segment: str) -> Sequence[_Ranked[V]]:
        """Return those with a text that `segment` begins with, the least specific first."""
        found: Sequence[_Ranked[V]] = ()
        for length in self.lengths:
            if length <= len(segment) and (more := self.children.get(segment[:length])):
                found = sorted([*found, *more]) if found else more
        return found


def _folded(segment: str) -> str:
    """The decoded text, a character for each byte, and in lower case if it is ASCII."""
    return unquote_to_bytes(segment.encode("utf-8", "surrogatepass")).lower().decode("latin-1")
