"""Counts that end with this process: a book that remembers nothing, because the ledger has it all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.limits.ledger import Increment


class MemoryBook:
    """Says that the counts are what the ledger makes of them. See `Book`."""

    keeps: Final = False
    available: Final = True
    outages: Final = 0
    patience: Final = 0.1
    replicas: Final = 1

    async def write(self, increments: Sequence[Increment]) -> Sequence[int] | None:
        """The known totals with the additions."""
        return [increment.known + increment.added for increment in increments]
