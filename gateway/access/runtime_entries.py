"""The entries that are made at runtime: by the admin API, by failed authentication, by other gateways.

Everything is decided on what is known in this process. A task of its own writes changes to the file, and exchanges them
with Redis; neither is ever waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from heapq import nsmallest

from gateway.access.entries import Entry, EntryTable, Key
from gateway.access.sharing import SharedEntries
from gateway.access.store import EntryFile
from gateway.algorithms.backoff import doubled
from gateway.algorithms.sliding_window import SlidingWindow
from gateway.config.models.blocklist import MAX_PATTERNS, AutomaticBans
from gateway.live import Tasks
from gateway.plurals import counted

logger = logging.getLogger("gateway.blocklist")

CAPACITY = 50_000  # entries
DROPPED_AT_A_TIME = CAPACITY // 50
MOST_CLIENTS = 20_000  # clients whose failures are remembered
ROUND_SECONDS = 1.0
LIFTED_SECONDS = 30 * 86400.0  # how long a gateway may be away and still hear that an entry was lifted


class BlocklistFull(Exception):
    """There is no room for one more entry."""


class RuntimeEntries:
    """Runtime entries, which outlive reloads. `table` is the look-up table of requests."""

    def __init__(self, file: EntryFile, shared: SharedEntries | None, clock: Callable[[], float] = time.time) -> None:
        self.table = EntryTable()
        self.file = file
        self.shared = shared
        self._clock = clock
        self._entries: dict[Key, Entry] = {}
        self._failures = SlidingWindow(MOST_CLIENTS)
        self._unsaved: set[Key] = set()
        self._unpublished: set[Key] = set()
        self._wanted = asyncio.Event()
        self._busy = asyncio.Lock()
        self.tasks = Tasks()

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        return self.file.troubles()

    async def start(self) -> None:
        """Read the file, so that what it says holds from the first request on, and begin to share."""
        for entry in await self.file.read():
            self._put(entry)
        self.tasks.supervise("the writing and sharing of the blocklist", self._work)

    async def stop(self) -> None:
        """Write and share what is left."""
        await self.tasks.end()
        await self.settle()
        await self.file.close()

    # What it holds.

    def entries(self) -> list[Entry]:
        """Those that hold now, the latest first."""
        now = self._clock()
        return sorted((entry for entry in self._entries.values() if entry.holds(now)), key=lambda e: -e.changed)

    @property
    def kept(self) -> bool:
        """Whether every entry would be there after a restart."""
        return not self._unsaved

    @property
    def published(self) -> bool:
        """Whether the other gateways know every entry, or can."""
        return self.shared is None or not self._unpublished

    # Changes.

    def add(self, entry: Entry) -> Entry:
        """Put an entry in, in place of the one with its key. Raises BlocklistFull."""
        self._check_room(entry)
        entry = replace(entry, changed=self._change_of(entry.key))
        self._put(entry)
        self._changed(entry.key)
        return entry

    def lift(self, key: Key) -> bool:
        """Take an entry out; whether there was one."""
        entry, now = self._entries.get(key), self._clock()
        if entry is None or not entry.holds(now):
            return False
        lifted = replace(entry, lifted=True, bans=0, changed=self._change_of(key), kept=now + LIFTED_SECONDS)
        self._put(lifted)
        self._changed(key)
        return True

    def failed(self, key: Key, settings: AutomaticBans) -> None:
        """Count a failed authentication; after so many, ban the key."""
        now = self._clock()
        if not self._failures.add(key, now, limit=settings.failures, window=settings.window):
            return
        former = self._entries.get(key)
        if former is not None and former.holds(now):
            return
        bans = former.bans + 1 if former is not None and not former.is_over(now) else 1
        until = now + doubled(settings.ban, bans, settings.longest)
        reason = f"{settings.failures} failed authentications within {settings.window:g} s"
        entry = Entry(*key, reason, until, "automatic", bans=bans, kept=until + settings.longest)
        try:
            entry = self.add(entry)
        except BlocklistFull:
            logger.warning("the blocklist is full: %s %s is not banned", *key)
        else:
            logger.warning("ban number %d: %s", bans, entry.described())

    def _change_of(self, key: Key) -> float:
        """The time of a change, later than that of the one before, whatever the clock does."""
        former = self._entries.get(key)
        return max(self._clock(), former.changed + 1e-3 if former else 0.0)

    def _changed(self, key: Key) -> None:
        self._unsaved.add(key)
        if self.shared is not None:
            self._unpublished.add(key)
        self._wanted.set()

    def _put(self, entry: Entry) -> None:
        self._entries[entry.key] = entry
        if entry.lifted:
            self.table.remove(entry.key)
        else:
            self.table.add(entry)

    def _drop(self, keys: Iterable[Key]) -> None:
        for key in keys:
            del self._entries[key]
            self.table.remove(key)
            self._unpublished.discard(key)
            self._unsaved.add(key)

    def _check_room(self, entry: Entry) -> None:
        """Raises BlocklistFull where there is no room for it, and none can be made."""
        if entry.key in self._entries:
            return
        if entry.kind in ("user_agent", "path") and self.table.patterns >= MAX_PATTERNS:
            raise BlocklistFull
        if len(self._entries) >= CAPACITY:
            # Drop what goes soonest of what was not added by hand. Raises BlocklistFull.
            now = self._clock()
            dispensable = [
                entry for entry in self._entries.values() if entry.source == "automatic" or not entry.holds(now)
            ]
            if not dispensable:
                raise BlocklistFull
            soonest = nsmallest(DROPPED_AT_A_TIME, dispensable, key=lambda entry: (entry.holds(now), entry.kept or 0))
            logger.warning("the blocklist is full: %s that would end soonest dropped", counted(len(soonest), "entry"))
            self._drop([entry.key for entry in soonest])

    # Beside the request path.

    async def _work(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUND_SECONDS):
                    await self._wanted.wait()
            await self.settle()

    async def settle(self) -> None:
        """Write unwritten entries, exchange new ones, and drop expired ones."""
        async with self._busy:
            self._wanted.clear()
            if self.shared is not None:
                await self._share(self.shared)
            now = self._clock()
            self._drop([entry.key for entry in list(self._entries.values()) if entry.is_over(now)])
            keys, self._unsaved = self._unsaved, set()
            if keys and not await self.file.write({key: self._entries.get(key) for key in keys}):
                self._unsaved |= keys

    async def _share(self, shared: SharedEntries) -> None:
        heard = await shared.pull()
        if heard is None:
            return
        entries, anew = heard
        for entry in entries:
            self._hear(entry)
        if anew:
            self._unpublished |= self._entries.keys()
        keys, self._unpublished = self._unpublished, set()
        if keys and not await shared.push([self._entries[key] for key in keys if key in self._entries]):
            self._unpublished |= keys & self._entries.keys()

    def _hear(self, entry: Entry) -> None:
        """Merge an entry of another gateway; the local one may be newer."""
        known = self._entries.get(entry.key)
        if (known is not None and known.changed >= entry.changed) or entry.is_over(self._clock()):
            return
        try:
            self._check_room(entry)
        except BlocklistFull:
            return
        self._put(entry)
        self._unpublished.discard(entry.key)
        self._unsaved.add(entry.key)
