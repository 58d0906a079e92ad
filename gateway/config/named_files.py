"""Files that a configuration names, beside its own and its policies: certificates, keys, passwords, `${file:...}`.

Their contents are watched, too, also where the configuration is refused: a file that was missing may come.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.config.directories import contents_of, files_of
from gateway.config.regular_files import read_regular

KEYS = frozenset({"ca", "certificate_file", "key_file"})
"""Whose value is the name of a file, wherever they stand in one of the four files."""

KEYS_OF_AUTH = frozenset({"file", "htpasswd", "directory"})
"""The same in auth.yaml: of a file or of a directory, or a list of such names."""

MAX_BYTES = 16 * 1024**2
RACY_SECONDS = 2.0  # a file that was written later than this before it was read may have the same times and change

_Times = tuple[tuple[str, int, int, int, int], ...]


def named_in(file: str, value: Any) -> Iterable[str]:
    """The files that the values of one of the four name."""
    if isinstance(value, dict):
        if file == "models.yaml" and isinstance(value.get("prices"), dict):
            yield from named_in("auth.yaml", value["prices"])  # whose `file` is one, too
        for key, inner in value.items():
            if key in KEYS or (key in KEYS_OF_AUTH and file == "auth.yaml"):
                yield from (name for name in (inner if isinstance(inner, list) else [inner]) if isinstance(name, str))
            elif key != "routes":  # many, and no files
                yield from named_in(file, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named_in(file, inner)


class Digests:
    """Identifies the contents of files; unmodified files are not read again."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._known: dict[str, tuple[_Times, bytes]] = {}

    def of(self, names: Iterable[str]) -> Mapping[str, bytes]:
        """The SHA-256 of each, and nothing for what cannot be read."""
        known, self._known = self._known, {}
        return {name: self._digest(name, known.get(name)) for name in names}

    def _digest(self, name: str, known: tuple[_Times, bytes] | None) -> bytes:
        path = self._base / name
        try:
            is_directory = path.is_dir()
            found = files_of(path) if is_directory else [("", os.stat(path))]
            times = tuple((n, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for n, s in found)
            if known is None or known[0] != times:
                known = times, _of_directory(path) if is_directory else sha256(read_regular(path, MAX_BYTES)).digest()
        except (OSError, ValueError):
            return b""
        if time.time() - max((max(s.st_mtime, s.st_ctime) for _, s in found), default=0.0) > RACY_SECONDS:
            self._known[name] = known
        return known[1]


def _of_directory(path: Path) -> bytes:
    digest = sha256(b"directory")
    for name, content in contents_of(path).items():
        read = content if isinstance(content, bytes) else b"\0" + content.encode()
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + sha256(read).digest())
    return digest.digest()
