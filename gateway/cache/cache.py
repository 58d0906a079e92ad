"""The cache of a gateway: its store, what is on its way into it, and what it counts. It outlives reloads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any, Final

from gateway.algorithms.byte_cache import ByteCache
from gateway.algorithms.room import Room
from gateway.cache.flights import Flights
from gateway.cache.store import Key, Purge, Store, Stored

logger = logging.getLogger("gateway.cache")

NOTED_BYTES: Final = 1024 * 1024  # of what was invalidated lately, and again of what Vary named
MOST_REFRESHES: Final = 64  # at a time, for which no client waits


class Counts:
    """Results of requests since the start."""

    def __init__(self) -> None:
        self.hits = 0
        self.collapsed = 0
        self.stale = 0
        self.revalidated = 0
        self.misses = 0
        self.bypassed = 0
        self.stored = 0
        self.invalidated = 0
        self.purged = 0


class Cache:
    """The state that all routes share. `room` is for bodies that are being stored."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.room = Room(store.size)
        self.flights = Flights()
        self.counts = Counts()
        self.refreshing = 0
        self._vary: ByteCache[Key, tuple[bytes, ...]] = ByteCache(NOTED_BYTES)
        self._invalidated: ByteCache[str, float] = ByteCache(NOTED_BYTES)
        self._purged_at = float("-inf")
        self._running: set[asyncio.Task[None]] = set()

    def resize(self, size: int) -> None:
        """Keep at most so much from now on."""
        self.store.resize(size)
        self.room.size = size

    def retire(self) -> None:
        """No route has it any more: what is on its way ends by itself."""

    async def stop(self) -> None:
        """End what is on its way."""
        for task in self._running:
            task.cancel()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a response could not be fetched or stored", exc_info=error)

    def vary(self, key: Key) -> tuple[bytes, ...]:
        """The fields that Vary named the last time."""
        return self._vary.get(key) or ()

    async def keep(self, key: Key, stored: Stored, began: float, seconds: float) -> bool:
        """Store a response for so long. Not where it was invalidated since it was asked for; whether it was stored."""
        if max(self._purged_at, self._invalidated.get(key.resource) or self._purged_at) >= began:
            return False
        if stored.vary != self.vary(key):
            self._vary.put(key, stored.vary)
        kept = await self.store.keep(key, stored, seconds)
        self.counts.stored += kept
        return kept

    async def invalidate(self, resource: str) -> None:
        """Invalidate what is stored of a resource, and fetches in progress."""
        self._invalidated.put(resource, self.store.now())
        self.counts.invalidated += 1
        await self.store.drop(resource)

    async def purge(self, purge: Purge) -> int | None:
        """Remove what is meant; how many responses that were. Nothing that is on its way now is stored.

        None where the store does not answer.
        """
        self._purged_at = self.store.now()
        purged = await self.store.purge(purge)
        self.counts.purged += purged or 0
        return purged

    def measures(self) -> Mapping[str, float]:
        """The numbers of the cache, for metrics."""
        counts = self.counts
        return {
            "gateway_cache_hits_total": counts.hits,
            "gateway_cache_collapsed_total": counts.collapsed,
            "gateway_cache_stale_total": counts.stale,
            "gateway_cache_revalidated_total": counts.revalidated,
            "gateway_cache_misses_total": counts.misses,
            "gateway_cache_bypassed_total": counts.bypassed,
            "gateway_cache_stored_total": counts.stored,
            "gateway_cache_invalidated_total": counts.invalidated,
            "gateway_cache_purged_total": counts.purged,
            **self.store.measures(),
        }
