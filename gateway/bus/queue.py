"""Messages that wait to be sent or handled, in memory that is bounded."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from gateway.bus.bus import Counts
from gateway.bus.letters import Letter

MOST: Final = 10_000
MOST_BYTES: Final = 16 * 1024**2
RUN: Final = 100  # that are taken at a time
RUN_BYTES: Final = 256 * 1024
OVERHEAD: Final = 400  # bytes of one, beside its text


class LetterQueue:
    """A queue. A message by key takes the place of the former one; where there is no room, the oldest goes."""

    def __init__(self, counts: Counts, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self.wanted = asyncio.Event()  # set while there are any
        self.bytes = 0
        self._counts = counts
        self.most = most
        self.most_bytes = most_bytes
        self._letters: OrderedDict[tuple[str, str], Letter] = OrderedDict()

    def __len__(self) -> int:
        return len(self._letters)

    def __iter__(self) -> Iterator[Letter]:
        return iter(self._letters.values())

    def put(self, letter: Letter) -> None:
        """Append it as the last one."""
        self.remove(letter.place)
        self._letters[letter.place] = letter
        self.bytes += _size(letter)
        while len(self._letters) > self.most or self.bytes > self.most_bytes:
            _, oldest = self._letters.popitem(last=False)
            self.bytes -= _size(oldest)
            self._counts.drop(oldest.kind, "queue", f"{len(self._letters)} wait already to be sent")
        self.wanted.set()

    def remove(self, place: tuple[str, str]) -> None:
        """Take it out, if it is there: see `Letter.place`."""
        former = self._letters.pop(place, None)
        if former is not None:
            self.bytes -= _size(former)

    def take(self) -> list[Letter]:
        """Some of the oldest, all of one kind, and all with a key or all without."""
        taken: list[Letter] = []
        size = 0
        while self._letters and len(taken) < RUN and size < RUN_BYTES:
            letter = next(iter(self._letters.values()))
            if taken and (letter.kind, letter.key is None) != (taken[0].kind, taken[0].key is None):
                break
            self._letters.popitem(last=False)
            taken.append(letter)
            size += _size(letter)
        self.bytes -= size
        if not self._letters:
            self.wanted.clear()
        return taken


def _size(letter: Letter) -> int:
    return len(letter.data) + OVERHEAD + 2 * len(letter.id)
