"""Messages of the bus for a reader that polls the admin API.

Messages are numbered, and kept until there are too many. Of messages by key the last one is kept, so that a reader that
is new, or has missed some, begins with these.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from gateway.bus.bus import Bus, Received, Subscription
from gateway.events import Message

MOST: Final = 2000  # messages without a key
MOST_BYTES: Final = 8 * 1024**2  # of these
MOST_KEYED_BYTES: Final = 64 * 1024**2
ANSWER: Final = 500  # messages of one answer
ANSWER_BYTES: Final = 1024**2
OVERHEAD: Final = 200  # bytes of one, beside its text
GATHER_SECONDS: Final = (0.3, 0.7)
"""In which what comes is answered together, as each answer costs as much as some requests. How long that is is left to
chance, so that the answers to several readers do not fall together."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message, as it is written."""

    number: int
    kind: str
    body: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return len(self.body) + OVERHEAD


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages behind a cursor, the next cursor, and how many were dropped already."""

    entries: Sequence[Entry]
    next: str
    missed: int


class Outbox:
    """See above. `kinds` are kept."""

    def __init__(self, bus: Bus, kinds: Sequence[type[Message]]) -> None:
        self.kinds = frozenset(kind.KIND for kind in kinds)
        self._bus = bus
        self._kept = kinds
        self._subscriptions: list[Subscription] = []
        self._epoch = secrets.token_hex(4)  # numbers of another process mean nothing here
        self._number = 0
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._keyed: dict[tuple[str, str], Entry] = {}
        self._keyed_bytes = 0
        self._gone: dict[str, int] = {}  # number of the last one that is not kept any more, by kind
        self._newest: dict[str, int] = {}  # number of the last one, by kind
        self._waiting: dict[asyncio.Future[None], Collection[str]] = {}  # readers, and the kinds that they wait for

    async def start(self) -> None:
        """Begin to listen."""
        self._subscriptions = [self._bus.subscribe(kind, self._take) for kind in self._kept]

    async def stop(self) -> None:
        """Listen no more."""
        for subscription in self._subscriptions:
            subscription.end()
        self._wake(self.kinds)

    async def after(self, cursor: str, seconds: float, kinds: Collection[str]) -> Batch:
        """The messages of these kinds behind this cursor; waits for so long if there are none."""
        number = self._number_of(cursor)
        if max((self._newest.get(kind, 0) for kind in kinds), default=0) <= number:
            news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[news] = kinds
            with contextlib.suppress(TimeoutError):
                try:
                    async with asyncio.timeout(seconds):
                        await news
                finally:
                    del self._waiting[news]
                await asyncio.sleep(random.uniform(*GATHER_SECONDS))
        behind = [each for each in self._keyed.values() if each.number > number and each.kind in kinds]
        missed = 0
        if number >= 0:
            missed = max([0, *(self._gone.get(kind, 0) - number for kind in kinds)])
            since = takewhile(lambda each: each.number > number, reversed(self._entries))
            behind += [each for each in since if each.kind in kinds]
        behind.sort(key=lambda each: each.number)
        taken, size = 0, 0
        for each in behind[:ANSWER]:
            size += each.size
            if taken and size > ANSWER_BYTES:
                break
            taken += 1
        end = self._number if taken == len(behind) else behind[taken - 1].number
        # A reader that is new gets what is kept by key first, in as many answers as that takes, and then what comes.
        return Batch(behind[:taken], f"{self._epoch}-{end}", missed)

    def _number_of(self, cursor: str) -> int:
        """-1: it knows nothing."""
        epoch, _, number = cursor.partition("-")
        known = epoch == self._epoch and number.isascii() and number.isdecimal() and len(number) < 18
        return int(number) if known and int(number) <= self._number else -1

    async def _take(self, message: Message, received: Received) -> None:
        self._number += 1
        entry = Entry(self._number, message.KIND, message.to_json())
        if message.key is None:
            self._entries.append(entry)
            self._bytes += entry.size
            while len(self._entries) > MOST or self._bytes > MOST_BYTES:
                oldest = self._entries.popleft()
                self._bytes -= oldest.size
                self._gone[oldest.kind] = oldest.number
        else:
            key = message.key
            former = self._keyed.pop((entry.kind, key), None)
            self._keyed_bytes -= former.size if former is not None else 0
            if self._keyed_bytes + entry.size <= MOST_KEYED_BYTES:
                self._keyed[entry.kind, key] = entry
                self._keyed_bytes += entry.size
        self._newest[entry.kind] = entry.number
        self._wake(frozenset((entry.kind,)))

    def _wake(self, kinds: frozenset[str]) -> None:
        """Answer those who wait for one of these."""
        for news, wanted in self._waiting.items():
            if not (news.done() or kinds.isdisjoint(wanted)):
                news.set_result(None)
