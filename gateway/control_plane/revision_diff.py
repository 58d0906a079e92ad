"""Differences between two revisions: key by key, and by lines of the files. Without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

from gateway.bundles import Bundle
from gateway.config.history import Version, difference
from gateway.config.problems import Path, format_path
from gateway.config.secrets import HIDDEN, KnownSecrets, names_a_secret
from gateway.config.yaml.compose import compose
from gateway.config.yaml.document import Mapping as Map
from gateway.config.yaml.document import Node, Scalar, resolve

MOST_CHANGES: Final = 1000
MOST_TEXT: Final = 256 * 1024  # characters of the lines
MOST_LINES: Final = 20_000  # of a file whose lines are compared, which takes longer the more there are
MOST_VALUE: Final = 200  # characters of one value

_IDENTITIES: Final = ("id", "name", "path", "address")
"""Keys by one of which the entries of a list are known again, wherever they stand in it."""

Kind = Literal["added", "removed", "changed", "moved"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `where`: the way to it, such as `routes[web].timeout.total`; the values as JSON, shortened."""

    file: str
    where: str
    kind: Kind
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        """A change as text: `~ routes.yaml routes[web].timeout.total: "5s" -> "1s"`."""
        sign = {"added": "+", "removed": "-", "changed": "~", "moved": ">"}[self.kind]
        values = " -> ".join(value for value in (self.before, self.after) if value is not None)
        return f"{sign} {self.file} {self.where}" + (f": {values}" if values else "")


@dataclass(frozen=True, slots=True)
class Difference:
    """All of it. `truncated`: there is more than is shown."""

    changes: tuple[Change, ...]
    text: str
    truncated: bool


def compare(before: Bundle, after: Bundle) -> Difference:
    """Takes time by the size of the files: not for the event loop."""
    changes = tuple(islice(_changes(before, after), MOST_CHANGES + 1))
    both = [*before.files.items(), *after.files.items()]
    large = {name for name, content in both if content.count(b"\n") > MOST_LINES}
    versions = [_version(each, large) for each in (before, after)]
    text = difference(versions[0], versions[1], KnownSecrets())
    for name in sorted(large):
        if before.files.get(name) != after.files.get(name):
            text += f"--- {name}\n+++ {name}\n(it has more than {MOST_LINES} lines, which are not compared)\n"
    truncated = len(changes) > MOST_CHANGES or len(text) > MOST_TEXT
    return Difference(changes[:MOST_CHANGES], text[:MOST_TEXT], truncated)


def _version(bundle: Bundle, without: Set[str]) -> Version:
    files = {name: content for name, content in bundle.files.items() if name not in without}
    return Version(bundle.digest[:12], 0.0, "revision", files)


def _changes(before: Bundle, after: Bundle) -> Iterator[Change]:
    for file in sorted(before.files.keys() | after.files.keys()):
        old, new = before.files.get(file), after.files.get(file)
        if old == new:
            continue
        if old is None:
            yield Change(file, "", "added")
        elif new is None:
            yield Change(file, "", "removed")
        else:
            yield from _of_values(file, (), _read(file, old), _read(file, new))


def _read(file: str, content: bytes) -> Any:
    document, _ = compose(file, content)
    return _plain(document.root) if document is not None else None


def _plain(node: Node | None) -> Any:
    if node is None:
        return None
    if isinstance(node, Scalar):
        return resolve(node.text) if node.plain else node.text
    if isinstance(node, Map):
        return {key: _plain(entry.node) for key, entry in node.entries.items()}
    return [_plain(item) for item in node.items]


def _of_values(file: str, path: Path, old: Any, new: Any) -> Iterator[Change]:
    if old == new and type(old) is type(new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _of_entries(file, path, old, new)
        return
    if isinstance(old, list) and isinstance(new, list):
        names = _names(old), _names(new)
        if names[0] is not None and names[1] is not None:
            yield from _of_entries(file, path, names[0], names[1])
            both = [name for name in names[0] if name in names[1]]
            if both != [name for name in names[1] if name in names[0]]:
                yield Change(file, format_path(path), "moved", None, "the order is another")
            return
    yield Change(file, format_path(path), "changed", _shown(path, old), _shown(path, new))


def _of_entries(file: str, path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for key in (*old, *(key for key in new if key not in old)):
        where = (*path, key)
        if key not in new:
            yield Change(file, format_path(where), "removed", _shown(where, old[key]))
        elif key not in old:
            yield Change(file, format_path(where), "added", None, _shown(where, new[key]))
        else:
            yield from _of_values(file, where, old[key], new[key])


def _names(items: list[Any]) -> dict[str, Any] | None:
    """The entries of a list by what they are called; None: they are not called anything, or two the same."""
    if not all(isinstance(item, dict) for item in items):
        return None
    for key in _IDENTITIES:
        names = {f"{item.get(key)}": item for item in items if item.get(key) is not None}
        if len(names) == len(items):
            return names
    return None


def _shown(path: Path, value: Any) -> str:
    secret = any(isinstance(step, str) and names_a_secret(step) for step in path[-2:])
    text = json.dumps(_without_secrets(HIDDEN if secret and not _refers(value) else value), ensure_ascii=False)
    text = KnownSecrets().hide(text)
    return text if len(text) <= MOST_VALUE else text[: MOST_VALUE - 1] + "…"


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: HIDDEN
            if names_a_secret(key) and isinstance(inner, str) and not _refers(inner)
            else _without_secrets(inner)
            for key, inner in value.items()
        }
    return [_without_secrets(inner) for inner in value] if isinstance(value, list) else value


def _refers(value: Any) -> bool:
    """Whether it is nothing but the name of a variable or a file."""
    return isinstance(value, str) and value.startswith("${") and value.endswith("}") and ":-" not in value
