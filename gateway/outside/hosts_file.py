"""The names of /etc/hosts, which come before what name servers say."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from ipaddress import ip_address
from pathlib import Path
from typing import Final

LARGEST: Final = 1024**2  # bytes that are read


class HostsFile:
    """Read again when it changes, which costs a look at its time of change for each question."""

    def __init__(self, path: Path = Path("/etc/hosts")) -> None:
        self._path = path
        self._changed = 0
        self._addresses: dict[str, list[str]] = {}

    def addresses(self, name: str) -> list[str]:
        """The addresses of a name (lower-cased), or none."""
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._changed:
                self._addresses = self._read()
                self._changed = changed
        except OSError:  # there need be none
            return []
        return self._addresses.get(name, [])

    def _read(self) -> dict[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        with self._path.open(errors="replace") as file:
            for line in file.read(LARGEST).splitlines():
                address, *names = line.partition("#")[0].split() or [""]
                with contextlib.suppress(ValueError):
                    ip_address(address)
                    for name in names:
                        found[name.lower().removesuffix(".")].append(address)
        return dict(found)
