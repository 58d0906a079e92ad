"""A YAML, JSON or TOML file that remembers what was looked at, so that the rest can be named.

A reader asks an `Item` for its keys. What it never asked for is found by `rest`, which makes it impossible to drop a
key silently.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from gateway.config.problems import format_path
from gateway.config.yaml.document import Entry, Mapping, Node, Scalar, Sequence, resolve
from gateway.importing.report import Place, Report

_Path = tuple[str | int, ...]

_NEEDLESS, _NAMED = "needless", "named already"
"""The states of a value that need not be written, and of one that is in the report already."""


@dataclass(slots=True)
class Seen:
    """The values that were read from a file, by path, and their translations."""

    report: Report
    fold: bool = False
    """Whether keys are the same in upper and lower case."""
    asked: set[_Path] = field(default_factory=set)
    became: dict[_Path, str] = field(default_factory=dict)


class Item:
    """One value of a file."""

    def __init__(self, node: Node, line: int, path: _Path, seen: Seen) -> None:
        self.node = node
        self.line = line
        self.path = path
        self._seen = seen
        seen.asked.add(path)

    @property
    def place(self) -> Place:
        """Where it is, for the report."""
        return Place(self.line, format_path(self.path))

    @property
    def report(self) -> Report:
        """Where findings go."""
        return self._seen.report

    def get(self, key: str) -> Item | None:
        """The value of a key, unless there is none, or it is null."""
        entries = self._entries()
        if self._seen.fold and key not in entries:
            key = next((name for name in entries if name.lower() == key.lower()), key)
        entry = entries.get(key)
        if entry is None:
            return None
        item = Item(entry.node, entry.line, (*self.path, key), self._seen)
        return None if item.value is None and isinstance(entry.node, Scalar) else item

    def keys(self) -> list[str]:
        """The names of its keys; this alone reads none of their values."""
        return list(self._entries())

    def pairs(self) -> Iterator[tuple[str, Item]]:
        """Every key with its value; null is an empty text."""
        for key, entry in self._entries().items():
            yield key, Item(entry.node, entry.line, (*self.path, key), self._seen)

    def items(self, key: str = "") -> list[Item]:
        """The items of a list, or of the list under a key; a single value is a list of one."""
        item = self.get(key) if key else self
        if item is None:
            return []
        if not isinstance(item.node, Sequence):
            return [item]
        return [Item(node, node.line, (*item.path, index), self._seen) for index, node in enumerate(item.node.items)]

    @property
    def value(self) -> Any:
        """A text, number, true, false or None; the node itself where it is no scalar."""
        if not isinstance(self.node, Scalar):
            return self.node
        return resolve(self.node.text) if self.node.plain else self.node.text

    def text(self, key: str, default: str = "") -> str:
        """The text under a key, whatever kind of scalar it is."""
        item = self.get(key)
        return item.node.text if item is not None and isinstance(item.node, Scalar) else default

    def texts(self, key: str) -> list[str]:
        """The texts of a list under a key."""
        return [item.node.text for item in self.items(key) if isinstance(item.node, Scalar)]

    def number(self, key: str, default: float | None = None) -> float | None:
        """The number under a key; `default` where it is none."""
        item = self.get(key)
        value = None if item is None else item.value
        if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
            return default
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """Whether a key is true."""
        item = self.get(key)
        return default if item is None else item.value in (True, "true")

    @property
    def own_text(self) -> str:
        """Its text, where it is a scalar."""
        return self.node.text if isinstance(self.node, Scalar) else ""

    def said(self, text: str, key: str = "") -> None:
        """Set its translation, or that of a key of it, and that of everything read below it."""
        item = self.get(key) if key else self
        if item is not None:
            self._seen.became[item.path] = text

    def differs(self, text: str, key: str = "") -> None:
        """It, or the value of a key of it, was translated with this difference."""
        item = self.get(key) if key else None
        self.report.differs((item or self).place, text)

    def unsaid(self, text: str, key: str = "") -> None:
        """It, or the value of a key of it, could not be translated, and is done with."""
        item = (self.get(key) or self) if key else self
        # Its place, with all of its lines.
        self.report.unsaid(replace(item.place, last=max(item.line, *(node.line for node in _nodes(item.node)))), text)
        item._done(_NAMED)  # of the same class

    def ignore(self) -> None:
        """Nothing below it needs to be written."""
        self._done(_NEEDLESS)

    def taken(self) -> None:
        """All below it is part of what it, or something above it, became."""
        self._seen.asked.update(_paths(self.node, self.path))

    def _done(self, became: str) -> None:
        for path in _paths(self.node, self.path):
            self._seen.asked.add(path)
            self._seen.became.setdefault(path, became)

    def ignore_keys(self, *keys: str) -> None:
        """These keys say nothing about requests."""
        for key in keys:
            if (item := self.get(key)) is not None:
                item.ignore()

    def ignore_default(self, key: str, *values: Any) -> None:
        """A key that says what holds anyway; any other value is named as not translated."""
        item = self.get(key)
        if item is None:
            return
        if item.value in values:
            item.ignore()
        else:
            item.unsaid("the gateway has no such setting")

    def _entries(self) -> dict[str, Entry]:
        return self.node.entries if isinstance(self.node, Mapping) else {}

    def rest(self) -> None:
        """Put into the report, line by line, what became of everything below it, and what was never asked for."""
        _report_rest(self, "")


def _report_rest(item: Item, inherited: str) -> None:
    seen = item._seen  # the record is shared by all items of a file
    became = seen.became.get(item.path, inherited)
    if isinstance(item.node, Scalar):
        if became == _NEEDLESS:
            seen.report.needless(item.place)
        elif became != _NAMED:
            seen.report.said(item.place, became or "taken into account")
        return
    for path, line, node in _children(item.node, item.path):
        if path in seen.asked:
            _report_rest(Item(node, line, path, seen), became)
        elif not (isinstance(node, Scalar) and node.plain and resolve(node.text) is None):
            Item(node, line, path, seen).unsaid("the gateway has no such setting")


def _children(node: Node, path: _Path) -> Iterator[tuple[_Path, int, Node]]:
    if isinstance(node, Mapping):
        for key, entry in node.entries.items():
            yield (*path, key), entry.line, entry.node
    elif isinstance(node, Sequence):
        for index, below in enumerate(node.items):
            yield (*path, index), below.line, below


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for _, _, below in _children(node, ()):
        yield from _nodes(below)


def _paths(node: Node, path: _Path) -> Iterator[_Path]:
    yield path
    for child, _, below in _children(node, path):
        yield from _paths(below, child)
