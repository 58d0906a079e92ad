"""Sections of middleware.yaml that belong to a machine, and not to the configuration of a control plane."""

from __future__ import annotations

import json
from typing import Any, Final

from gateway.config.yaml.compose import compose
from gateway.config.yaml.document import Entry, Mapping, Node, Scalar, Sequence, resolve

FILE: Final = "middleware.yaml"
LOCAL: Final = "control_plane"
"""The group that no bundle may have: with it, a rollout could cut its gateways off."""

KEPT: Final = ("admin", "state_directory")
"""Sections that are taken from the machine's own file if a bundle does not have them."""


def without_local(middleware: bytes) -> bytes:
    """The file without the group of the machine: what can be compared, and uploaded.

    A file without that group, or one that cannot be read, stays as it is. Raises ValueError where the group cannot be
    cut out.
    """
    entries = _entries(middleware)
    cut = entries.get(LOCAL)
    if cut is None:
        return middleware
    lines = middleware.splitlines(keepends=True)
    end = min((each.line for each in entries.values() if each.line > cut.line), default=len(lines) + 1) - 1
    while end > cut.line and end < len(lines) and _is_beside(lines[end - 1]):
        end -= 1  # what is said in front of the next key
    rest = b"".join(lines[: cut.line - 1] + lines[end:])
    before = {key: _plain(entry.node) for key, entry in entries.items() if key != LOCAL}
    if before != {key: _plain(entry.node) for key, entry in _entries(rest).items()}:
        raise ValueError(f"{LOCAL} of {FILE} cannot be cut out of it; write it as a group of its own lines")
    return rest if before else b""


def with_local(middleware: bytes, local: bytes) -> bytes:
    """The file of a bundle, with what is kept of the machine's own file `local` behind it."""
    there, mine = _entries(middleware), _entries(local)
    added = {key: mine[key].node for key in (LOCAL, *KEPT) if key in mine and key not in there}
    if not added:
        return middleware
    words = "".join(f"{key}: {_written(node)}\n" for key, node in added.items())
    whole = middleware + (b"" if middleware.endswith(b"\n") or not middleware else b"\n") + words.encode()
    return whole if _entries(whole).keys() == there.keys() | added.keys() else middleware


def has_local(middleware: bytes) -> bool:
    """Whether a file has the group of the machine."""
    return LOCAL in _entries(middleware)


def _entries(data: bytes) -> dict[str, Entry]:
    document, _ = compose(FILE, data)
    root = document.root if document is not None else None
    return root.entries if isinstance(root, Mapping) else {}


def _is_beside(line: bytes) -> bool:
    return line[:1] in b"#\r\n" or not line.strip()


def _plain(node: Node) -> Any:
    """A node without its place."""
    if isinstance(node, Scalar):
        return node.text, node.plain
    if isinstance(node, Sequence):
        return [_plain(item) for item in node.items]
    return {key: _plain(entry.node) for key, entry in node.entries.items()}


def _written(node: Node) -> str:
    """A node on one line."""
    if isinstance(node, Scalar):
        return json.dumps(resolve(node.text) if node.plain else node.text)
    if isinstance(node, Sequence):
        return f"[{', '.join(map(_written, node.items))}]"
    return f"{{{', '.join(f'{json.dumps(key)}: {_written(entry.node)}' for key, entry in node.entries.items())}}}"
