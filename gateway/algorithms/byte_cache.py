"""A cache of computed values, bounded by their size in memory, however large single values are.

What was used last is kept. `size_of` measures a value with all that it leads to, so that a thousand claims of three
bytes each count as the tens of kilobytes that they are as objects.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

OVERHEAD = 300  # bytes that an entry takes beside key and value
SHARE = 16  # no entry takes more than this part of the whole


class ByteCache(Generic[K, V]):
    """At most `limit` bytes of entries; a value of more than 1/16 of it is never kept."""

    __slots__ = ("_entries", "evicted", "limit", "size")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()  # the one that was used last is the last
        self.size = 0
        """Bytes that all entries take."""
        self.evicted = 0
        """Entries that made room for others, since the start."""

    def get(self, key: K) -> V | None:
        """The value that was kept under this key."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V) -> None:
        """Keep a value, in the place of others that were not used for longer."""
        self.discard(key)
        most = self.limit // SHARE
        size = OVERHEAD + size_of((key, value), most)
        if size > most:
            return
        self._make_room(self.limit - size)
        self._entries[key] = value, size
        self.size += size

    def resize(self, limit: int) -> None:
        """Take at most so many bytes from now on."""
        self.limit = limit
        self._make_room(limit)

    def _make_room(self, most: int) -> None:
        while self.size > most:
            _, (_, freed) = self._entries.popitem(last=False)
            self.size -= freed
            self.evicted += 1

    def discard(self, key: K) -> None:
        """Keep it no longer, if it is there."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry[1]

    def keys(self) -> list[K]:
        """All keys, that which was used last as the last."""
        return list(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def size_of(value: object, most: int) -> int:
    """The bytes that a value takes with all that is in it. Counting ends beyond `most`.

    It looks into the collections of the language and into data classes; what several lead to counts several times.
    """
    total, waiting = 0, [value]
    while waiting and total <= most:
        item = waiting.pop()
        total += sys.getsizeof(item)
        if type(item) not in _LEAVES:
            if isinstance(item, list | tuple | set | frozenset):
                waiting.extend(item)
            elif isinstance(item, dict | Mapping):
                waiting.extend(item)
                waiting.extend(item.values())
            elif is_dataclass(item):
                waiting.extend(getattr(item, field.name) for field in fields(item))
    return total


_LEAVES = frozenset({str, bytes, int, float, bool, type(None)})
