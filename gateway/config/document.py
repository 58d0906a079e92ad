"""YAML text to a tree of nodes that know their lines.

The tree is made of the parser's events, without recursion, so that no nesting and no alias of an alias can exhaust the
stack or the memory. YAML 1.2's core schema decides what a plain text means; tags, other keys than text and more
than one document are refused, because no file of ours has a use for them.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from gateway.config.problems import Path, Problem, format_path, quote

BARE_LIST = "routes"
"""A list at the top of a file stands for a mapping with this key."""

MAX_BYTES = 16 * 1024**2
MAX_DEPTH = 50
MAX_NODES = 500_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,30})", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,30}|(0|[1-9][0-9]{0,30})(\.[0-9]{0,30})?)([eE][-+]?[0-9]{1,3})?", re.ASCII)
_BASED = re.compile(r"0(x[0-9a-fA-F]{1,30}|o[0-7]{1,30})", re.ASCII)
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
_REMEDIES = (
    ("cannot start any token", "put the value in quotes"),
    ("mapping values are not allowed", 'check the indentation, and put a value that contains ": " in quotes'),
    ("could not find expected ':'", 'after a key there must be ":" and a space'),
    ("while scanning a simple key", 'after a key there must be ":" and a space'),
    ("end of stream", "close the quotes"),
    ("while parsing a flow", "close the bracket, and put values that contain [ ] { } or , in quotes"),
    ("while parsing a block", "check the indentation: keys of one level begin in the same column"),
    ("escape", 'in "..." a backslash begins an escape; write it twice, or use single quotes'),
)


@dataclass(slots=True)
class Scalar:
    """A value that is not a collection. `plain`: it was written without quotes. Lines and columns count from 1."""

    line: int
    column: int
    text: str
    plain: bool
    expanded: str = ""
    """The `${...}` that the value was made of, once it was expanded: the value itself must not be shown."""


@dataclass(slots=True)
class Sequence:
    """A list."""

    line: int
    column: int
    items: list["Node"] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """One key of a mapping, the place of the key, and its value."""

    line: int
    column: int
    node: "Node"


@dataclass(slots=True)
class Mapping:
    """Keys and values."""

    line: int
    column: int
    entries: dict[str, Entry] = field(default_factory=dict)


Node = Scalar | Sequence | Mapping


def resolve(text: str) -> str | int | float | bool | None:
    """What a plain text means by YAML 1.2: `on`, `1:30`, `0777`, `1_000` and dates are texts."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return int(text, 0) if _BASED.fullmatch(text) else text


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads: the path as far as the file has it, the node there, and the place of its key or itself."""

    path: Path
    line: int
    column: int
    node: Node | None


@dataclass(frozen=True, slots=True)
class Document:
    """One file, read. `root` is None when it is empty."""

    file: str
    root: Node | None

    def find(self, path: Path) -> Place:
        """The deepest place on the path that is in the file; at the top of it when nothing is."""
        node = self.root
        found = 0
        line, column = (node.line, node.column) if node is not None else (1, 1)
        for step in path:
            below = _step(node, step)
            if below is None:
                break
            line, column, found = below.line, below.column, found + 1
            node = below.node if isinstance(below, Entry) else below
        return Place(path[:found], line, column, node)


def _wrapped(node: Node) -> Node:
    """A bare list as the mapping it stands for, so that every path begins with a key."""
    if not isinstance(node, Sequence):
        return node
    return Mapping(node.line, node.column, {BARE_LIST: Entry(node.line, node.column, node)})


def _step(node: Node | None, step: str | int) -> Entry | Node | None:
    if isinstance(node, Mapping) and isinstance(step, str):
        return node.entries.get(step)
    if isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None


class DocumentError(Exception):
    """The text is not YAML that we read; nothing after `problem` was looked at."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def decode(file: str, data: bytes) -> str:
    """The text of a file; raises DocumentError when it is too large or not clean UTF-8."""
    if len(data) > MAX_BYTES:
        raise DocumentError(
            Problem(file, 0, 0, "", f"the file is larger than {MAX_BYTES // 1024**2} MiB; make it smaller")
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        message = "the file begins with a byte order mark; save it as UTF-8 without one (BOM)"
        raise DocumentError(Problem(file, 1, 1, "", message))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _position(data[: error.start].decode("utf-8"))
        raise DocumentError(Problem(file, line, column, "", "this is not UTF-8; save the file as UTF-8")) from None
    match = _UNPRINTABLE.search(text)
    if match is not None:
        line, column = _position(text[: match.start()])
        message = f"the character U+{ord(match[0]):04X} is not allowed in YAML; remove it"
        raise DocumentError(Problem(file, line, column, "", message))
    return text


def _position(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def compose(file: str, data: bytes) -> tuple[Document, list[Problem]]:
    """The tree of a file, and what is wrong with it that did not stop the reading.

    Raises DocumentError at what does.
    """
    text = decode(file, data)
    composer = _Composer(file)
    try:
        for event in yaml.parse(text, _LOADER):
            composer.handle(event)
    except yaml.MarkedYAMLError as error:
        raise DocumentError(_syntax_problem(file, text, error)) from None
    except yaml.YAMLError:
        raise DocumentError(Problem(file, 0, 0, "", "this is not YAML; check the file")) from None
    return Document(file, composer.root), composer.problems


def _syntax_problem(file: str, text: str, error: yaml.MarkedYAMLError) -> Problem:
    mark: Any = error.problem_mark or error.context_mark
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] + line[mark.column : mark.column + 1]:
        return Problem(file, mark.line + 1, mark.column + 1, "", "YAML does not indent with tabs; use spaces")
    sentence = ", ".join(part for part in (error.context, error.problem) if part)
    if error.context_mark is not None and error.context_mark.line != mark.line:
        sentence += f" (it begins on line {error.context_mark.line + 1})"
    remedy = next((remedy for part, remedy in _REMEDIES if part in sentence), "check the lines around it")
    return Problem(file, mark.line + 1, mark.column + 1, "", f"this is not YAML ({sentence}); {remedy}")


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
    node: Node
    nodes: int
    height: int


def _start(event: yaml.Event) -> tuple[int, int]:
    mark: Any = event.start_mark
    return mark.line + 1, mark.column + 1


class _Composer:
    """Builds the tree, one event after the other."""

    def __init__(self, file: str) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._file = file
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Anchor | None] = {}  # None while the anchor's collection is open
        self._nodes = 0

    def handle(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise self._stop(event, 'a file holds one document; remove this "---" and what follows, or what is before')

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._check_tag(event)
        node = Scalar(*_start(event), event.value, not event.style)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(node, 1, 0)
        self._count(event, 1)
        self._add(event, node, 0)

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        self._check_tag(event)
        self._check_depth(event, 1)
        kind = Sequence if isinstance(event, yaml.SequenceStartEvent) else Mapping
        node = kind(*_start(event))
        if self._wants_key():
            raise self._stop(event, "a key must be a text, not a list or a mapping")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._stack.append(_Frame(node, event.anchor, self._nodes))
        self._count(event, 1)

    def _close(self, event: yaml.CollectionEndEvent) -> None:
        frame = self._stack.pop()
        if isinstance(frame.node, Mapping) and "<<" in frame.node.entries:
            self._merge(frame.node.entries)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = _Anchor(frame.node, self._nodes - frame.nodes_before, frame.height + 1)
        self._add(event, frame.node, frame.height + 1)

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self._anchors:
            raise self._stop(event, f"there is no &{event.anchor} before this alias; define it, or write the value out")
        anchor = self._anchors[event.anchor]
        if anchor is None:
            raise self._stop(event, f"*{event.anchor} is inside of what it stands for; write the value out")
        if self._wants_key():
            raise self._stop(event, "an alias cannot be a key; write the key out (merge keys are <<: *name)")
        self._check_depth(event, anchor.height)
        self._count(event, anchor.nodes)
        self._add(event, anchor.node, anchor.height)

    def _add(self, event: yaml.Event, node: Node, height: int) -> None:
        """Put a finished node where it belongs: at the top, or into the collection that is open."""
        if not self._stack:
            self.root = _wrapped(node)
            return
        frame = self._stack[-1]
        frame.height = max(frame.height, height)
        if isinstance(frame.node, Sequence):
            frame.node.items.append(node)
        elif frame.key is not None:
            self._set(frame.node.entries, frame.key, node)
            frame.key = None
        elif isinstance(node, Scalar):
            frame.key = node
            if node.plain and not isinstance(resolve(node.text), str):
                self._report(event, "a key must be a text; put it in quotes")

    def _set(self, entries: dict[str, Entry], key: Scalar, node: Node) -> None:
        first = entries.get(key.text)
        if first is None:
            entries[key.text] = Entry(key.line, key.column, node)
            return
        message = f"the key {quote(key.text)} is there twice, first on line {first.line}; remove one of them"
        self.problems.append(Problem(self._file, key.line, key.column, format_path(self._path()), message))

    def _merge(self, entries: dict[str, Entry]) -> None:
        """`<<: *name` or `<<: [*a, *b]`: their keys, where the mapping does not have them itself."""
        merge = entries.pop("<<")
        for node in merge.node.items if isinstance(merge.node, Sequence) else [merge.node]:
            if isinstance(node, Mapping):
                for key, entry in node.entries.items():
                    entries.setdefault(key, entry)
            else:
                where = format_path((*self._path(), "<<"))
                message = 'after "<<:" there must be an alias of a mapping, or a list of such'
                self.problems.append(Problem(self._file, merge.line, merge.column, where, message))

    def _wants_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].node, Mapping) and self._stack[-1].key is None

    def _check_tag(self, event: yaml.NodeEvent) -> None:
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
        self.problems.append(self._problem(event, message))

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
