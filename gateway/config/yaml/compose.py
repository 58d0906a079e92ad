"""YAML text to a Document.

The tree is made of the parser's events, without recursion, so that no nesting and no alias of an alias can exhaust the
stack or the memory. YAML 1.2's core schema decides what a plain text means; tags, other keys than text and more
than one document are refused, because no file of ours has a use for them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from gateway.config.problems import MOST_PROBLEMS, Path, Problem, and_more, format_path, quote
from gateway.config.yaml.document import MAX_NODES, Document, Entry, Folded, Mapping, Node, Scalar, Sequence, resolve
from gateway.config.yaml.text import DocumentError, decode, syntax_problem

BARE_LIST = "routes"
"""A list at the top of a file stands for a mapping with this key."""

MAX_DEPTH = 50

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Folding:
    """What becomes of the entries of the list under `key`, at the top of a file: their values, where `fold` gives any,
    as soon as each was read. So that a list of 100,000 entries never takes the memory of 100,000 trees."""

    key: str
    fold: Callable[[Node], Folded | None]


def compose(file: str, data: bytes, folding: Folding | None = None) -> tuple[Document | None, list[Problem]]:
    """The tree of a file, and what is wrong with it. There is no tree when the reading had to stop before its end."""
    composer = _Composer(file, folding)
    try:
        text = decode(file, data)
        try:
            events = _LOADER(text)
            while (event := events.get_event()) is not None:
                composer.handle(event)
        except yaml.YAMLError as error:
            raise DocumentError(syntax_problem(file, text, error)) from None
    except DocumentError as error:
        return None, [*composer.problems, error.problem]
    return Document(file, composer.root, _Again(file, data) if folding is not None else None), composer.problems


class _Again:
    """Reads a file once more, and folds nothing; the first time it is asked."""

    def __init__(self, file: str, data: bytes) -> None:
        self._file = file
        self._data = data
        self._document: Document | None = None

    def __call__(self) -> Document:
        """The same document."""
        if self._document is None:
            document, _ = compose(self._file, self._data)
            self._document = document or Document(self._file, None)
        return self._document


@dataclass(slots=True)
class _Frame:
    """A collection that is still open."""

    node: Sequence | Mapping
    anchor: str | None
    nodes_before: int
    key: Scalar | None = None
    height: int = 0


@dataclass(frozen=True, slots=True)
class _Anchor:
    """A node with a name, and how large it is, aliases below it included."""

    node: Node
    nodes: int
    height: int


def _start(event: yaml.Event) -> tuple[int, int]:
    mark: Any = event.start_mark
    return mark.line + 1, mark.column + 1


class _Composer:
    """Builds the tree, one event after the other."""

    def __init__(self, file: str, folding: Folding | None = None) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._file = file
        self._folding = folding
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Anchor | None] = {}  # None while the anchor's collection is open
        self._nodes = 0

    def handle(self, event: yaml.Event) -> None:
        # Of most files, nearly all is scalars, and the rest is the beginnings and ends of collections.
        if isinstance(event, ScalarEvent):
            if event.tag is not None:
                self._check_tag(event)
            mark: Any = event.start_mark
            node = Scalar(mark.line + 1, mark.column + 1, event.value, not event.style)
            if event.anchor is not None:
                self._anchors[event.anchor] = _Anchor(node, 1, 0)
            self._nodes += 1
            if self._nodes > MAX_NODES:
                self._count(event, 0)
            self._add(event, node, 0)
        elif isinstance(event, CollectionEndEvent):
            self._close(event)
        elif isinstance(event, CollectionStartEvent):
            self._open(event)
        elif isinstance(event, AliasEvent):
            self._alias(event)
        elif isinstance(event, DocumentStartEvent) and self.root is not None:
            raise self._stop(event, 'a file holds one document; remove this "---" and the part behind or before it')

    def _open(self, event: CollectionStartEvent) -> None:
        self._check_tag(event)
        self._check_depth(event, 1)
        kind = Sequence if isinstance(event, SequenceStartEvent) else Mapping
        node = kind(*_start(event))
        if self._wants_key():
            raise self._stop(event, "a key must be a text, not a list or a mapping")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._stack.append(_Frame(node, event.anchor, self._nodes))
        self._count(event, 1)

    def _close(self, event: CollectionEndEvent) -> None:
        frame = self._stack.pop()
        if isinstance(frame.node, Mapping) and "<<" in frame.node.entries:
            # `<<: *name` or `<<: [*a, *b]`: their keys, where the mapping does not have them itself.
            entries = frame.node.entries
            merge = entries.pop("<<")
            for node in merge.node.items if isinstance(merge.node, Sequence) else [merge.node]:
                if isinstance(node, Mapping):
                    for key, entry in node.entries.items():
                        entries.setdefault(key, entry)
                else:
                    where = format_path((*self._path(), "<<"))
                    message = 'after "<<:" there must be an alias of a mapping, or a list of such'
                    self._note(Problem(self._file, merge.line, merge.column, where, message))
        if frame.anchor is not None:
            self._anchors[frame.anchor] = _Anchor(frame.node, self._nodes - frame.nodes_before, frame.height + 1)
        self._add(event, frame.node, frame.height + 1)

    def _alias(self, event: AliasEvent) -> None:
        if event.anchor not in self._anchors:
            raise self._stop(event, f"there is no &{event.anchor} before this alias; define it, or write the value out")
        anchor = self._anchors[event.anchor]
        if anchor is None:
            raise self._stop(event, f"*{event.anchor} contains itself; write the value out")
        if self._wants_key():
            raise self._stop(event, "an alias cannot be a key; write the key out (merge keys are <<: *name)")
        self._check_depth(event, anchor.height)
        self._count(event, anchor.nodes)
        self._add(event, anchor.node, anchor.height)

    def _add(self, event: yaml.Event, node: Node, height: int) -> None:
        """Put a finished node where it belongs: at the top, or into the collection that is open."""
        if not self._stack:
            # Whether a document has a beginning (`---`), and nothing else.
            self.root = None if (isinstance(node, Scalar) and node.plain and not node.text) else _wrapped(node)
            return
        frame = self._stack[-1]
        frame.height = max(frame.height, height)
        if isinstance(frame.node, Sequence):
            if self._folding is not None and len(self._stack) == 2:
                node = cast(Node, self._folded(self._folding, node))
            frame.node.items.append(node)
        elif frame.key is not None:
            self._set(frame.node.entries, frame.key, node)
            frame.key = None
        elif isinstance(node, Scalar):
            frame.key = node
            if node.plain and not isinstance(resolve(node.text), str):
                self._report(event, "a key must be a text; put it in quotes")

    def _folded(self, folding: Folding, item: Node) -> Node | Folded:
        """An entry of a list at the top of the file, or what becomes of it."""
        key = self._stack[0].key
        return item if key is None or key.text != folding.key else folding.fold(item) or item

    def _set(self, entries: dict[str, Entry], key: Scalar, node: Node) -> None:
        first = entries.get(key.text)
        if first is None:
            entries[key.text] = Entry(key.line, key.column, node)
            return
        message = f"the key {quote(key.text)} is duplicated, first on line {first.line}; remove one of them"
        self._note(Problem(self._file, key.line, key.column, format_path(self._path()), message))

    def _wants_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].node, Mapping) and self._stack[-1].key is None

    def _check_tag(self, event: NodeEvent) -> None:
        if getattr(event, "tag", None) is not None:
            self._report(
                event, "tags (words that begin with !) are not supported; remove it, or put the text in quotes"
            )

    def _check_depth(self, event: yaml.Event, height: int) -> None:
        if len(self._stack) + height > MAX_DEPTH:
            raise self._stop(event, f"this is nested deeper than {MAX_DEPTH} levels; make it flatter")

    def _count(self, event: yaml.Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            message = f"the file has more than {MAX_NODES:,} values, those behind aliases included; make it smaller"
            raise self._stop(event, message)

    def _report(self, event: yaml.Event, message: str) -> None:
        self._note(self._problem(event, message))

    def _note(self, problem: Problem) -> None:
        self.problems.append(problem)
        if len(self.problems) >= MOST_PROBLEMS:
            raise DocumentError(and_more(self._file))

    def _stop(self, event: yaml.Event, message: str) -> DocumentError:
        return DocumentError(self._problem(event, message))

    def _problem(self, event: yaml.Event, message: str) -> Problem:
        return Problem(self._file, *_start(event), format_path(self._path()), message)

    def _path(self) -> Path:
        """Where the next node would go."""
        steps: list[str | int] = []
        if self._stack and isinstance(self._stack[0].node, Sequence):
            steps.append(BARE_LIST)
        for frame in self._stack:
            if isinstance(frame.node, Sequence):
                steps.append(len(frame.node.items))
            elif frame.key is not None:
                steps.append(frame.key.text)
        return tuple(steps)


def _wrapped(node: Node) -> Node:
    """A bare list as the mapping it stands for, so that every path begins with a key."""
    if not isinstance(node, Sequence):
        return node
    return Mapping(node.line, node.column, {BARE_LIST: Entry(node.line, node.column, node)})
