"""TOML as the same tree as YAML: `tomllib` reads the values, and the lines are found beside it."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from gateway.config.problems import ConfigError, Problem
from gateway.config.yaml.document import Entry, Mapping, Node, Scalar, Sequence

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")

_Path = tuple[str | int, ...]


def compose_toml(file: str, data: bytes) -> Node:
    """The tree of a TOML file. Raises ConfigError."""
    try:
        text = data.decode()
        values = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError([Problem(file, 0, 0, "", f"this is not TOML: {error}; correct it")]) from None
    except RecursionError:
        raise ConfigError([Problem(file, 0, 0, "", "this is nested too deep; make it flatter")]) from None
    # The line of every key and table header that begins one; what stands within a value is not looked for.
    found: dict[_Path, int] = {}
    counts: dict[_Path, int] = {}
    table: _Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            # The path of a header; names of arrays of tables are followed by the index of the last of them.
            names = _parts(header[2])
            array = header[1] == "[["
            path: _Path = ()
            for index, name in enumerate(names):
                path = (*path, name)
                if array and index == len(names) - 1:
                    counts[path] = counts.get(path, -1) + 1
                if path in counts:
                    path = (*path, counts[path])
            table = path
            for end in range(1, len(table) + 1):
                found.setdefault(table[:end], number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_parts(key[1])), number)
    return _node(values, (), found, 1)


def _parts(text: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(text)]


def _node(value: Any, path: _Path, lines: dict[_Path, int], above: int) -> Node:
    line = lines.get(path, above)
    if isinstance(value, dict):
        entries = {}
        for key, below in value.items():
            node = _node(below, (*path, key), lines, line)
            entries[key] = Entry(lines.get((*path, key), line), 1, node)
        return Mapping(line, 1, entries)
    if isinstance(value, list):
        return Sequence(line, 1, [_node(below, (*path, index), lines, line) for index, below in enumerate(value)])
    if isinstance(value, bool):
        return Scalar(line, 1, "true" if value else "false", True)
    return Scalar(line, 1, str(value), not isinstance(value, str))
