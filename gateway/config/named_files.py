"""Files that a configuration names, beside its own three and its policies: certificates, keys, `${file:...}`.

Their contents are watched, too, also where the configuration is refused: a file that was missing may come.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.config.regular_files import read_regular

KEYS = frozenset({"ca", "key_file"})
"""Whose value is the name of a file, wherever they stand in one of the three files."""

MAX_BYTES = 16 * 1024**2
RACY_SECONDS = 2.0  # a file that was written later than this before it was read may have the same times and change

_Times = tuple[int, int, int, int]


def named_in(file: str, value: Any) -> Iterable[str]:
    """The files that the values of one of the three name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and (key in KEYS or (key == "file" and file == "auth.yaml")):
                yield inner
            elif key != "routes":  # many, and no files
                yield from named_in(file, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named_in(file, inner)


class Digests:
    """Tells the contents of files apart; what has not been touched is not read again."""

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
            status = os.stat(path)
            times = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if known is None or known[0] != times:
                known = times, sha256(read_regular(path, MAX_BYTES)).digest()
        except (OSError, ValueError):
            return b""
        if time.time() - max(status.st_mtime, status.st_ctime) > RACY_SECONDS:
            self._known[name] = known
        return known[1]
