"""The route files as one: routes.yaml and those of several teams beside it, with what groups and defaults hand down.

What comes of it is a document as if all had been written out in one `routes:`, whose parts know where they really
stand. Nothing is handed down that the route has itself, or that its own keys leave no place for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.config.models.routes import ANSWERS, FORWARDING, RouteKeys
from gateway.config.problems import Path, Problem, format_path
from gateway.config.yaml.document import Document, Entry, Mapping, Node, Origin, Scalar, resolve
from gateway.config.yaml.document import Sequence as Items

MAIN: Final = "routes.yaml"
MAX_FILES: Final = 100  # beside the main one

is_route_file: Final = re.compile(r"routes\.[A-Za-z0-9_-][A-Za-z0-9._-]*\.yaml").fullmatch
"""Whether a file of this name is one beside routes.yaml."""

_HANDED_DOWN: Final = frozenset(RouteKeys.model_fields)
_ONLY_MAIN: Final = ("base_path", "accept_rewritten", "defaults")
_EXCLUSIVE: Final = (frozenset(ANSWERS), frozenset({"rewrite", "strip_prefix"}))
_ADDED_UP: Final = "authorize"


@dataclass(slots=True)
class RouteFiles:
    """All route files as one document. `groups` has the place of the id of each group, and of its routes in
    `routes`."""

    document: Document
    problems: list[Problem] = field(default_factory=list)
    groups: list[tuple[str, Sequence[int]]] = field(default_factory=list)


def combined(documents: Sequence[Document]) -> RouteFiles:
    """Put documents together, of which the first is routes.yaml."""
    main = documents[0]
    if len(documents) == 1 and not (
        isinstance(main.root, Mapping) and any(key in main.root.entries for key in ("groups", "defaults"))
    ):
        return RouteFiles(main)
    return _Combining(main).combine(documents)


@dataclass(frozen=True, slots=True)
class _Source:
    """A mapping of keys that are handed down, and where it stands."""

    node: Mapping
    file: str
    path: Path

    def origin(self, *steps: str | int) -> Origin:
        return Origin(self.file, (*self.path, *steps))


class _Combining:
    """One pass over all files. What is wrong with the shape of something is left to the models, at its place."""

    def __init__(self, main: Document) -> None:
        line, column = (main.root.line, main.root.column) if main.root is not None else (1, 1)
        self._root = Mapping(line, column, {}, {})
        self._routes = Items(line, column, [], {})
        self._groups = Items(line, column, [], {})
        self._services: Mapping | None = None
        self._result = RouteFiles(Document(main.file, self._root))

    def combine(self, documents: Sequence[Document]) -> RouteFiles:
        defaults: _Source | None = None
        for document in documents:
            root = document.root
            if isinstance(root, Mapping):
                if document.file == MAIN and (found := _mapping(root, "defaults")) is not None:
                    defaults = _Source(found, MAIN, ("defaults",))
                self._file(document.file, root, defaults)
            elif root is not None:
                message = 'expected "key: value" lines, or a list of routes'
                self._result.problems.append(Problem(document.file, root.line, root.column, "", message))
        ids = {_text(route, "id") for route in self._routes.items}
        for group, origin in zip(self._groups.items, (self._groups.origins or {}).values(), strict=True):
            if isinstance(group, Mapping) and (name := _text(group, "id")) is not None and name in ids:
                message = "a route has the same id; rename one of them"
                self._problem(origin.file, (*origin.path, "id"), group.entries["id"], message)
        if self._routes.items and "routes" not in self._root.entries:
            self._root.entries["routes"] = Entry(self._routes.line, self._routes.column, self._routes)
        if not self._root.entries and not self._result.problems:
            self._result.document = Document(MAIN, None)
        return self._result

    def _file(self, file: str, root: Mapping, defaults: _Source | None) -> None:
        for key, entry in root.entries.items():
            if key in _ONLY_MAIN and file != MAIN:
                message = f"{key} is only valid in {MAIN}, for all files; move it there"
                self._problem(file, (key,), entry, message)
            elif key == "routes" and isinstance(entry.node, Items):
                for index, node in enumerate(entry.node.items):
                    self._route(node, Origin(file, ("routes", index)), defaults, None)
            elif key == "groups" and isinstance(entry.node, Items):
                for index, node in enumerate(entry.node.items):
                    self._group(node, file, index, defaults)
                self._keep("groups", Entry(entry.line, entry.column, self._groups), file)
            elif key == "services" and isinstance(entry.node, Mapping):
                self._add_services(file, entry, entry.node)
            elif key in ("services", "groups") and isinstance(entry.node, Scalar) and _is_nothing(entry.node):
                continue  # all of them are commented out
            elif key in self._root.entries and key in ("routes", "groups", "services"):
                self._problem(file, (key,), entry, f"expected {'a mapping' if key == 'services' else 'a list'}")
            else:
                self._keep(key, entry, file)

    def _keep(self, key: str, entry: Entry, file: str) -> None:
        """A key at the top, at its place; of several files the first."""
        if key not in self._root.entries and self._root.origins is not None:
            self._root.entries[key] = entry
            self._root.origins[key] = Origin(file, (key,))

    def _add_services(self, file: str, entry: Entry, found: Mapping) -> None:
        if self._services is None:
            self._services = Mapping(found.line, found.column, {}, {})
            self._keep("services", Entry(entry.line, entry.column, self._services), file)
        known, origins = self._services.entries, self._services.origins
        for name, service in found.entries.items():
            if name in known and origins is not None:
                first = f"{origins[name].file} on line {known[name].line}"
                message = f"{first} has a service of this name; rename one of them"
                self._problem(file, ("services", name), service, message)
            elif origins is not None:
                known[name] = service
                origins[name] = Origin(file, ("services", name))

    def _group(self, node: Node, file: str, index: int, defaults: _Source | None) -> None:
        """The keys of a group for its model, and its routes among all others."""
        origin = Origin(file, ("groups", index))
        routes = node.entries.get("routes") if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping) or routes is None or not isinstance(routes.node, Items):
            self._append(self._groups, node, origin)
            return
        keys = {key: entry for key, entry in node.entries.items() if key != "routes"}
        keys["routes"] = Entry(routes.line, routes.column, Items(routes.line, routes.column))
        self._append(self._groups, Mapping(node.line, node.column, keys), origin)
        first = len(self._routes.items)
        group = _Source(node, file, origin.path)
        for number, route in enumerate(routes.node.items):
            self._route(route, Origin(file, (*origin.path, "routes", number)), defaults, group)
        if (name := _text(node, "id")) is not None:
            self._result.groups.append((name, range(first, len(self._routes.items))))
            self._unique(name, origin, node.entries["id"])

    def _unique(self, name: str, origin: Origin, entry: Entry) -> None:
        for index, earlier in enumerate(self._groups.items[:-1]):
            if _text(earlier, "id") == name and isinstance(earlier, Mapping) and self._groups.origins is not None:
                first = self._groups.origins[index]
                where = f"{format_path(first.path)} of {first.file} on line {earlier.entries['id'].line}"
                self._problem(origin.file, (*origin.path, "id"), entry, f"{where} has the same id; rename one of them")
                return

    def _append(self, items: Items, node: Node, origin: Origin) -> None:
        if items.origins is not None:
            items.origins[len(items.items)] = origin
        items.items.append(node)

    def _route(self, node: Node, origin: Origin, defaults: _Source | None, group: _Source | None) -> None:
        if isinstance(node, Mapping):
            node = _handed_down(node, origin, [source for source in (group, defaults) if source is not None], group)
        self._append(self._routes, node, origin)

    def _problem(self, file: str, path: Path, entry: Entry, message: str) -> None:
        self._result.problems.append(Problem(file, entry.line, entry.column, format_path(path), message))


def _handed_down(node: Mapping, origin: Origin, sources: Sequence[_Source], group: _Source | None) -> Mapping:
    """A route with what it does not say itself, from the nearest of what it stands in."""
    entries = _below_prefix(node.entries, group)
    origins: dict[str | int, Origin] = {}
    for source in sources:
        # What a route that has these keys gets from nowhere else.
        keys = entries.keys()
        taken = set(keys)
        for family in _EXCLUSIVE:
            if not family.isdisjoint(taken):
                taken |= family
        if "redirect" in keys or "respond" in keys:
            taken |= FORWARDING
        for key, entry in source.node.entries.items():
            if key in _HANDED_DOWN and key not in taken:
                entries[key] = entry
                origins[key] = source.origin(key)
    if _ADDED_UP in entries and any(_ADDED_UP in source.node.entries for source in sources):
        own = _Source(node, origin.file, origin.path)
        if (total := _added_up([*reversed(sources), own])) is not None:
            entries[_ADDED_UP] = total
    return Mapping(node.line, node.column, entries, origins)


def _added_up(sources: Sequence[_Source]) -> Entry | None:
    """The entries of all, the outermost first; None if one of them is not a list, which its model reports."""
    entry: Entry | None = None
    items: list[Node] = []
    origins: dict[str | int, Origin] = {}
    for source in sources:
        found = source.node.entries.get(_ADDED_UP)
        if found is None:
            continue
        if not isinstance(found.node, Items):
            return None
        for number, item in enumerate(found.node.items):
            origins[len(items)] = source.origin(_ADDED_UP, number)
            items.append(item)
        entry = found
    return None if entry is None else Entry(entry.line, entry.column, Items(entry.line, entry.column, items, origins))


def _below_prefix(entries: dict[str, Entry], group: _Source | None) -> dict[str, Entry]:
    prefix = _text(group.node, "prefix") if group is not None else None
    if prefix is None or not prefix.startswith(("/", "${")):
        return dict(entries)
    return {
        key: _joined(prefix.rstrip("/"), entry) if key in ("path", "paths") else entry for key, entry in entries.items()
    }


def _joined(prefix: str, entry: Entry) -> Entry:
    node = entry.node
    if isinstance(node, Items):
        paths = [_behind(prefix, each) for each in node.items]
        return Entry(entry.line, entry.column, Items(node.line, node.column, paths))
    return Entry(entry.line, entry.column, _behind(prefix, node))


def _behind(prefix: str, node: Node) -> Node:
    if not isinstance(node, Scalar) or _is_nothing(node):  # reported by its model
        return node
    if node.text and not node.text.startswith(("/", "${")):
        return node
    return Scalar(node.line, node.column, prefix + node.text, False, prefix=len(prefix))


def _is_nothing(node: Scalar) -> bool:
    return node.plain and resolve(node.text) is None


def _mapping(node: Mapping, key: str) -> Mapping | None:
    entry = node.entries.get(key)
    return entry.node if entry is not None and isinstance(entry.node, Mapping) else None


def _text(node: Node | None, key: str) -> str | None:
    entry = node.entries.get(key) if isinstance(node, Mapping) else None
    return entry.node.text if entry is not None and isinstance(entry.node, Scalar) else None


def in_order(names: Iterable[str]) -> Iterator[str]:
    """The names of route files as their routes follow each other: routes.yaml, then the others by name."""
    others = sorted(name for name in names if is_route_file(name))
    yield MAIN
    yield from others
