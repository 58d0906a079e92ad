"""The configurations that were served since the start, so that they can be compared, and served again."""

from __future__ import annotations

import difflib
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.config.secrets import HIDDEN, KnownSecrets, names_a_secret

VERSIONS: Final = 20
MAX_BYTES: Final = 16 * 1024**2  # of all versions together; the newest is kept in any case

_KEY: Final = r"([\w.-]+)[\"']?\s*:\s+(?=[^\s#{\[&*|>])"


@dataclass(frozen=True, slots=True)
class Version:
    """The files of one configuration."""

    digest: str
    loaded_at: float  # time.time()
    cause: str  # start, files, request, rollback or control plane
    files: Mapping[str, bytes]  # contents by name
    revision: str | None = None  # the digest of the bundle that it was, where it has come from a control plane

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))


class History:
    """The last configurations, the newest last. Bounded in number and bytes."""

    def __init__(self) -> None:
        self._versions: deque[Version] = deque(maxlen=VERSIONS)

    def add(self, version: Version) -> None:
        """This one is served now."""
        self._versions.append(version)
        while len(self._versions) > 1 and sum(each.size for each in self._versions) > MAX_BYTES:
            self._versions.popleft()

    def __iter__(self) -> Iterator[Version]:
        return iter(self._versions)

    def __reversed__(self) -> Iterator[Version]:
        return reversed(self._versions)

    def __len__(self) -> int:
        return len(self._versions)

    def find(self, digest: str) -> Version | None:
        """The newest with this digest, or the one whose digest begins so, where that is one only."""
        found = [each for each in self._versions if digest and each.digest.startswith(digest)]
        return found[-1] if len({each.digest for each in found}) == 1 else None


def difference(old: Version, new: Version, secrets: KnownSecrets) -> str:
    """The changes, as a unified diff of all files, without secrets. Not for the event loop."""
    lines: list[str] = []
    for name in sorted(old.files.keys() | new.files.keys()):
        before, after = old.files.get(name, b""), new.files.get(name, b"")
        if before == after:
            continue
        names = f"{old.digest}/{name}", f"{new.digest}/{name}"
        changed = difflib.unified_diff(_shown(before, secrets), _shown(after, secrets), *names, lineterm="")
        lines += list(changed) or [f"--- {names[0]}", f"+++ {names[1]}", "(only secrets differ)"]
    return "".join(f"{line}\n" for line in lines)


def _shown(data: bytes, secrets: KnownSecrets) -> list[str]:
    text = secrets.hide(data.decode("utf-8", "backslashreplace"))
    return [_masked(line) for line in text.splitlines()]


def _masked(line: str) -> str:
    """A line without what stands behind a key that names a secret; in a mapping on one line, all of the rest."""
    for key in re.finditer(_KEY, line):
        if names_a_secret(key[1]):
            return line[: key.end()] + HIDDEN
    return line
