"""State by key, for a bounded number of keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

S = TypeVar("S")

MOST_KEYS: Final = 100_000
"""Keys that one limit keeps apart."""

LOOKED_AT: Final = 16
"""Slots that a new key looks at in a full table, to remove those that are idle. Not before it is full: as many keys as
there may be are in use in turn without any that goes and comes again."""

LOOKED_ON: Final = 256
"""Slots that it passes over then for the sake of those that are to go last."""


class Table(Generic[S]):
    """Slots by key, at most `most` of them.

    Only idle slots are ever removed, in which nothing is owed: a client that is being limited stays limited,
    however many others there are. When the table is full of slots that are not idle, new keys share one slot, so
    that all newcomers together have the budget of one until there is room again; what they owe then is what each of
    them begins with. No request passes uncounted.

    `make(key, shared)` makes a slot, which begins with what is owed in `shared`, if there is such a slot. `removed` is
    told of each slot that is removed. `last`: idle slots that are removed only where no others are found.
    """

    __slots__ = (
        "_hand",
        "_idle",
        "_last",
        "_make",
        "_most",
        "_order",
        "_overflow",
        "_removed",
        "by_key",
        "era",
        "overflows",
    )

    def __init__(
        self,
        make: Callable[[str, S | None], S],
        idle: Callable[[S, int], bool],
        most: int = MOST_KEYS,
        removed: Callable[[S], None] | None = None,
        last: Callable[[S], bool] | None = None,
    ) -> None:
        self._make = make
        self._idle = idle
        self._most = most
        self._removed = removed
        self._last = last
        self.by_key: dict[str, S] = {}
        self.era = object()  # of which there is another once a slot is removed: until then each is that of its key
        self._order: list[str] = []  # the keys, for the hand that goes around them
        self._hand = 0
        self._overflow: S | None = None
        self.overflows = 0  # requests that were counted in the shared slot

    def __len__(self) -> int:
        return len(self.by_key)

    def slot(self, key: str, now: int) -> S:
        """The slot under which this key counts."""
        found = self.by_key.get(key)
        if found is not None:
            return found
        if len(self.by_key) >= self._most:
            spared = False
            for _ in range(LOOKED_AT):
                spared = self._look(now, self._last) or spared
            if spared:
                self._look_on(now)
        shared = self._overflow
        if len(self.by_key) >= self._most:
            self.overflows += 1
            if shared is None:
                shared = self._overflow = self._make("", None)
            return shared
        if shared is not None and self._idle(shared, now):
            shared = self._overflow = None
        slot = self.by_key[key] = self._make(key, shared)
        self._order.append(key)
        return slot

    def peek(self, key: str) -> S | None:
        """The slot of this key, if it has one, or shares one because the table is full."""
        found = self.by_key.get(key)
        return self._overflow if found is None and len(self.by_key) >= self._most else found

    def slots(self) -> list[S]:
        """All of them."""
        return [*self.by_key.values(), *([] if self._overflow is None else [self._overflow])]

    def _look_on(self, now: int) -> None:
        """Look for one idle slot, and take one of the last where many have been passed over."""
        for number in range(LOOKED_ON + LOOKED_AT):
            if len(self.by_key) < self._most:
                return
            self._look(now, self._last if number < LOOKED_ON else None)

    def _look(self, now: int, spare: Callable[[S], bool] | None) -> bool:
        """Move the hand to the next slot, and remove it if it is idle. Whether it was, and is spared for now."""
        order = self._order
        if not order:
            return False
        self._hand = self._hand + 1 if self._hand + 1 < len(order) else 0
        key = order[self._hand]
        slot = self.by_key[key]
        if self._idle(slot, now):
            if spare is not None and spare(slot):
                return True
            del self.by_key[key]
            if self._removed is not None:
                self._removed(slot)
            self.era = object()
            last = order.pop()
            if last != key:
                order[self._hand] = last
        return False
