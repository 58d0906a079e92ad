"""Files that a configuration names, beside its own and its policies: certificates, keys, passwords, `${file:...}`.

Their contents are watched, too, also where the configuration is refused: a file that was missing may come.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterable, Mapping
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

MANY = 1000  # files, those of directories included: half of them is looked at each time
AT_ONCE = 2500  # at most, which takes some ten milliseconds

_State = tuple[tuple[str, int, int, int, int], ...]
"""Of a file, or of those of a directory: names, and what changes when something is written."""


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
        self._base = str(base)
        self._known: dict[str, tuple[_State, bytes]] = {}
        self._turn = 0

    def of(self, names: Collection[str]) -> Mapping[str, bytes]:
        """The SHA-256 of each, and nothing for what cannot be read."""
        known, self._known = self._known, {}
        return {name: self._digest(name, known.get(name)) for name in names}

    def in_turn(self, names: Collection[str]) -> Mapping[str, bytes]:
        """The same, but where there are very many, those that were the same are not all looked at each time."""
        files = sum(len(state) for state, _ in self._known.values())
        if files <= MANY:
            return self.of(names)
        turns = max(2, -(-files // AT_ONCE))
        self._turn = (self._turn + 1) % turns
        known, self._known = self._known, {}
        found = {}
        for number, name in enumerate(names):
            before = known.get(name)
            if before is not None and number % turns != self._turn:
                self._known[name] = before
                found[name] = before[1]
            else:
                found[name] = self._digest(name, before)
        return found

    def _digest(self, name: str, known: tuple[_State, bytes] | None) -> bytes:
        path = os.path.join(self._base, name)
        try:
            status = os.stat(path)
            is_directory = stat.S_ISDIR(status.st_mode)
            found = files_of(Path(path)) if is_directory else [("", status)]
            state = tuple([(n, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for n, s in found])
            if known is not None and known[0] == state:
                self._known[name] = known
                return known[1]
            digest = _of_directory(Path(path)) if is_directory else sha256(read_regular(Path(path), MAX_BYTES)).digest()
        except (OSError, ValueError):
            return b""
        if time.time() - max((max(s.st_mtime, s.st_ctime) for _, s in found), default=0.0) > RACY_SECONDS:
            self._known[name] = state, digest
        return digest


def _of_directory(path: Path) -> bytes:
    digest = sha256(b"directory")
    for name, content in contents_of(path).items():
        read = content if isinstance(content, bytes) else b"\0" + content.encode()
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + sha256(read).digest())
    return digest.digest()
