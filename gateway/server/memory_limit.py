"""How near the memory of this process is to the limit of its control group, behind which the kernel ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.live.machine_memory import OWN, ROOT, groups, limit_of, number_in

logger = logging.getLogger("gateway.memory")

SERVICE: Final = ("memory_limit",)
"""The one identity under which it lives."""
LOOK_SECONDS: Final = 5.0
TROUBLE: Final = 0.9  # of the limit
WELL: Final = 0.85  # below which it is over
_MIB: Final = 2**20


class MemoryLimit:
    """Looks from time to time. `root` is where control groups are mounted, `own` what says which is this process's."""

    def __init__(self, root: Path = ROOT, own: Path = OWN) -> None:
        self._root = root
        self._own = own
        self._used = self._limit = 0  # bytes; no limit: 0
        self._near = False

    async def watch(self) -> None:
        """Look, for ever."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Read the numbers; what changes is logged."""
        own = groups(self._root, self._own)
        limits = [(_working_set(group), limit) for group in own if (limit := limit_of(group)) is not None]
        self._used, self._limit = max(limits, key=lambda pair: pair[0] / pair[1], default=(0, 0))
        share = self._used / self._limit if self._limit else 0.0
        was, self._near = self._near, share >= (WELL if self._near else TROUBLE)
        if self._near and not was:
            logger.warning("%s", self._text())
        elif was and not self._near:
            logger.info("memory is %.0f%% of its limit again", 100 * share)

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if self._near:
            yield self._text()

    def measures(self) -> dict[str, float]:
        """See `Measured`."""
        if not self._limit:
            return {}
        return {"gateway_memory_limit_bytes": self._limit, "gateway_memory_used_bytes": self._used}

    def _text(self) -> str:
        return (
            f"{self._used / _MIB:.0f} of the {self._limit / _MIB:.0f} MiB of memory that this container or unit may "
            "have are used, and beyond them the kernel ends the gateway; raise the limit (resources.limits.memory, "
            "docker run --memory, MemoryMax), or lower cache.size and limits.connections: docs/sizing.md"
        )


def _working_set(group: Path) -> int:
    """Bytes that the kernel cannot take back at once, as Kubernetes counts them: not what it has read of files."""
    used = number_in(group / "memory.current") or number_in(group / "memory.usage_in_bytes") or 0
    with suppress(OSError, ValueError):
        numbers = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used -= int(numbers.get("total_inactive_file", numbers.get("inactive_file", 0)))
    return max(0, used)
