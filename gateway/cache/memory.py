"""A store in this process, bounded in bytes; what was not used for longest goes first."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from gateway.algorithms.byte_cache import OVERHEAD, SHARE, ByteCache, size_of
from gateway.cache.store import MOST_VARIANTS, Key, Purge, Stored, VariantOf

_NOTHING: Final[tuple[tuple[str, Stored, float], ...]] = ()


@dataclass(frozen=True, slots=True)
class _Resource:
    """Selector, response, and until when it is kept; the latest is the last."""

    entries: tuple[tuple[str, Stored, float], ...]


class MemoryStore:
    """At most `size` bytes of responses. One resource takes at most 1/16 of that."""

    local = True

    def __init__(self, size: int) -> None:
        self._kept: ByteCache[str, _Resource] = ByteCache(size)

    @property
    def size(self) -> int:
        return self._kept.limit

    def now(self) -> float:
        return time.monotonic()

    def resize(self, size: int) -> None:
        """Keep at most so much from now on."""
        self._kept.resize(size)

    async def find(self, key: Key, variant_of: VariantOf) -> Stored | None:
        return self.peek(key, variant_of)

    def peek(self, key: Key, variant_of: VariantOf) -> Stored | None:
        resource = self._kept.get(key.resource)
        if resource is None:
            return None
        now = time.monotonic()
        for selector, stored, until in reversed(resource.entries):
            if selector == key.selector and until > now and stored.variant == variant_of(stored.vary):
                return stored
        return None

    async def keep(self, key: Key, stored: Stored, seconds: float) -> bool:
        now = time.monotonic()
        resource = self._kept.get(key.resource)
        others = [
            entry
            for entry in (resource.entries if resource is not None else _NOTHING)
            if entry[2] > now and not (entry[0] == key.selector and entry[1].variant == stored.variant)
        ]
        entries = [*others, (key.selector, stored, now + seconds)][-MOST_VARIANTS:]
        self._kept.put(key.resource, _Resource(tuple(_that_fit(entries, self._kept.limit // SHARE))))
        return self._kept.get(key.resource) is not None

    async def drop(self, resource: str) -> None:
        self._kept.discard(resource)

    async def purge(self, purge: Purge) -> int:
        purged = 0
        for name in self._kept.keys():  # noqa: SIM118  no mapping
            resource = self._kept.get(name) if purge.fits(name) else None
            if resource is None:
                continue
            left = tuple(entry for entry in resource.entries if not purge.fits_route(entry[0]))
            purged += len(resource.entries) - len(left)
            self._kept.discard(name)
            if left:
                self._kept.put(name, replace(resource, entries=left))
        return purged

    def measures(self) -> Mapping[str, float]:
        return {
            "gateway_cache_bytes": self._kept.size,
            "gateway_cache_resources": len(self._kept),
            "gateway_cache_evicted_total": self._kept.evicted,
        }


def _that_fit(entries: list[tuple[str, Stored, float]], most: int) -> list[tuple[str, Stored, float]]:
    """The latest of these that one resource may have, so that many variants cost only each other."""
    room = most - 2 * OVERHEAD
    for index in range(len(entries) - 1, -1, -1):
        room -= OVERHEAD + size_of(entries[index], most)
        if room < 0:
            return entries[index + 1 :] or entries[-1:]
    return entries
