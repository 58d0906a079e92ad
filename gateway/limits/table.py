"""What is kept of each key, for a bounded number of keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

E = TypeVar("E")

MOST_KEYS: Final = 100_000
"""Keys that one limit keeps apart."""

LOOKED_AT: Final = 2
"""Entries that each new key looks at, to remove those that are idle, once the table is half full: twice as fast as
keys can come."""

LOOKED_AT_WHEN_FULL: Final = 16


class Table(Generic[E]):
    """Entries by key, at most `most` of them.

    Only idle entries are ever removed, in which nothing is owed: a client that is being limited stays limited,
    however many others there are. When the table is full of entries that are not idle, new keys share one entry, so
    that all newcomers together have the budget of one until there is room again; what they owe then is what each of
    them begins with. Nobody is let through uncounted.

    `make(key, shared)` makes an entry, which begins with what is owed in `shared`, if there is such an entry.
    """

    __slots__ = ("_entries", "_hand", "_idle", "_make", "_most", "_order", "_overflow", "overflows")

    def __init__(
        self, make: Callable[[str, E | None], E], idle: Callable[[E, int], bool], most: int = MOST_KEYS
    ) -> None:
        self._make = make
        self._idle = idle
        self._most = most
        self._entries: dict[str, E] = {}
        self._order: list[str] = []  # the keys, for the hand that goes around them
        self._hand = 0
        self._overflow: E | None = None
        self.overflows = 0  # requests that were counted in the shared entry

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, key: str, now: int) -> E:
        """The entry under which this key counts."""
        found = self._entries.get(key)
        return self._new(key, now) if found is None else found

    def peek(self, key: str) -> E | None:
        """The entry of this key, if it has one, or shares one because the table is full."""
        found = self._entries.get(key)
        return self._overflow if found is None and len(self._entries) >= self._most else found

    def entries(self) -> list[E]:
        """All of them."""
        return [*self._entries.values(), *([] if self._overflow is None else [self._overflow])]

    def _new(self, key: str, now: int) -> E:
        used = len(self._entries)
        if 2 * used >= self._most:
            for _ in range(LOOKED_AT if used < self._most else LOOKED_AT_WHEN_FULL):
                self._look(now)
        shared = self._overflow
        if len(self._entries) >= self._most:
            self.overflows += 1
            if shared is None:
                shared = self._overflow = self._make("", None)
            return shared
        if shared is not None and self._idle(shared, now):
            shared = self._overflow = None
        entry = self._entries[key] = self._make(key, shared)
        self._order.append(key)
        return entry

    def _look(self, now: int) -> None:
        """Move the hand to the next entry, and remove it if it is idle."""
        order = self._order
        if not order:
            return
        self._hand = self._hand + 1 if self._hand + 1 < len(order) else 0
        key = order[self._hand]
        if self._idle(self._entries[key], now):
            del self._entries[key]
            last = order.pop()
            if last != key:
                order[self._hand] = last
