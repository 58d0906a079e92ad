"""models.yaml and control-plane.yaml as such files are elsewhere: in JSON, with keys in camelCase."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from typing import Final

from gateway.config.models.base import Model, keys_of
from gateway.config.models.layout import Level, levels
from gateway.config.problems import MOST_PROBLEMS, Path, Problem, format_path, quote
from gateway.config.yaml.document import Document, Entry, Mapping, Node, Origin, Sequence

_PAIR: Final = rb"(?<!\\)((?:\\\\)*)((?:\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})+)"
_UPPER = re.compile(r"(?<=[a-z0-9])([A-Z])")


def in_snake_case(document: Document, top: type[Model] | None = None) -> tuple[Document, list[Problem]]:
    """The document with the keys that its models know, and what is there in both spellings. The names that people
    choose, such as those of providers, are as they were; and all of it knows how it stands in the file.

    `top` is the model of a file which is none of a gateway's.
    """
    if document.root is None:
        return document, []
    spelling = _Spelling(document.file, levels(document.file, top))
    return Document(document.file, spelling.spelled(document.root, (), ())), spelling.problems


def without_pairs(data: bytes) -> bytes:
    r"""JSON as YAML: what programs write as a pair of escapes (`\ud83d\ude00`), as the character itself."""
    if not data.lstrip().startswith(b"{"):
        return data
    return re.sub(_PAIR, lambda match: match[1] + json.loads(b'"%b"' % match[2]).encode(), data)


@dataclass(slots=True)
class _Spelling:
    """Spells the keys of one file."""

    file: str
    models: MappingOf[Level, type[Model]]
    problems: list[Problem] = field(default_factory=list)

    def spelled(self, node: Node, level: Level, path: Path) -> Node:
        """The node at a level, and at a path of the file."""
        if isinstance(node, Mapping):
            model = self.models.get(level)
            known = keys_of(model).keys() if model is not None else ()
            entries: dict[str, Entry] = {}
            origins: dict[str | int, Origin] = {}
            for key, entry in node.entries.items():
                snake = _UPPER.sub(lambda match: "_" + match[1].lower(), key)
                name = snake if key not in known and snake in known else key
                place = (*path, key)
                if name in entries:
                    message = f"{quote(name)} is the same key in another spelling; remove one of them"
                    if len(self.problems) <= MOST_PROBLEMS:  # one more than are shown, which says so
                        self.problems.append(Problem(self.file, entry.line, entry.column, format_path(place), message))
                    continue
                if name != key:
                    origins[name] = Origin(self.file, place)
                below = (*level, name if model is not None else "<name>")
                entries[name] = Entry(entry.line, entry.column, self.spelled(entry.node, below, place))
            return Mapping(node.line, node.column, entries, origins)
        if isinstance(node, Sequence):
            below = (*level, "[]")
            items = [self.spelled(item, below, (*path, index)) for index, item in enumerate(node.items)]
            return Sequence(node.line, node.column, items, node.origins)
        return node
