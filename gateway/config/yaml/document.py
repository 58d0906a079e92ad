"""One file as a tree of nodes that know their lines, and what its words mean."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.config.problems import Path

MAX_NODES = 2_000_000
"""Of a document, with those behind aliases as often as these stand there, and what is handed down."""

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,30})", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,30}|(0|[1-9][0-9]{0,30})(\.[0-9]{0,30})?)([eE][-+]?[0-9]{1,3})?", re.ASCII)
_BASED = re.compile(r"0(x[0-9a-fA-F]{1,30}|o[0-7]{1,30})", re.ASCII)
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}


@dataclass(slots=True)
class Scalar:
    """A value that is not a collection. `plain`: it was written without quotes. Lines and columns count from 1."""

    line: int
    column: int
    text: str
    plain: bool
    expanded: str = ""
    """The `${...}` that the value was made of, once it was expanded: the value itself must not be shown."""
    prefix: int = 0
    """How many characters of the text are the prefix of a group, which ends in no slash, whatever it expands to."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a part of a document really stands that was put together of several."""

    file: str
    path: Path


@dataclass(slots=True)
class Sequence:
    """A list. `origins` are those of items by their index."""

    line: int
    column: int
    items: list["Node"] = field(default_factory=list)
    origins: dict[str | int, Origin] | None = None


@dataclass(slots=True)
class Entry:
    """One key of a mapping, the place of the key, and its value."""

    line: int
    column: int
    node: "Node"


@dataclass(slots=True)
class Mapping:
    """Keys and values. `origins` are those of keys."""

    line: int
    column: int
    entries: dict[str, Entry] = field(default_factory=dict)
    origins: dict[str | int, Origin] | None = None


Node = Scalar | Sequence | Mapping


class Folded:
    """A value that was read already, and stands in a list of nodes in place of its node, which takes several times the
    memory. A base class. Only who has values folded (`compose`) meets any.
    """

    __slots__ = ()


def resolve(text: str) -> str | int | float | bool | None:
    """The value of a plain text by YAML 1.2: `on`, `1:30`, `0777`, `1_000` and dates are texts."""
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
    """Where a path leads: the path as far as the document has it, the node there, and the place of its key or itself.

    `shown` is the path in the `file` in which it stands.
    """

    path: Path
    line: int
    column: int
    node: Node | None
    file: str
    shown: Path


@dataclass(frozen=True, slots=True)
class Document:
    """One file, read. `root` is None when it is empty. `again` reads it once more, without folding values, which is
    for errors: it may take a second."""

    file: str
    root: Node | None
    again: "Callable[[], Document] | None" = field(default=None, repr=False, compare=False)

    def find(self, path: Path) -> Place:
        """The deepest place on the path that is in the document; at the top of it when nothing is."""
        node = self.root
        found = 0
        file, shown = self.file, path[:0]
        line, column = (node.line, node.column) if node is not None else (1, 1)
        for step in path:
            below = _step(node, step)
            if below is None:
                break
            if isinstance(below, Folded):
                assert self.again is not None
                return self.again().find(path)
            line, column, found = below.line, below.column, found + 1
            origins = None if isinstance(node, Scalar) or node is None else node.origins
            if origins is not None and step in origins:
                file, shown = origins[step].file, origins[step].path
            else:
                shown = (*shown, step)
            node = below.node if isinstance(below, Entry) else below
        return Place(path[:found], line, column, node, file, shown)


def _step(node: Node | None, step: str | int) -> Entry | Node | Folded | None:
    if isinstance(node, Mapping) and isinstance(step, str):
        return node.entries.get(step)
    if isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None
