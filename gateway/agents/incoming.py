"""Messages that are not checked yet, and accepted ones that are not read yet: both bounded."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from gateway.agents.link import Reason, Received, Refused, shown
from gateway.agents.rates import Rates

MOST: Final = 1000  # messages
MOST_BYTES: Final = 16 * 1024 * 1024
MOST_OF_STRANGERS: Final = 200  # nodes that have not the name of a peer, as far as is known
MOST_BYTES_OF_STRANGERS: Final = 4 * 1024 * 1024
MOST_READ_BYTES: Final = 2 * 1024 * 1024  # of accepted ones, whose contents take up to twenty times as much


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message as it came. `connection` is -1 for the inbox."""

    topic: str
    payload: bytes | None
    node: int
    connection: int

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return 0 if self.payload is None else len(self.payload)


class _Waiting:
    """A queue of what arrived."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._messages: deque[Arrived] = deque()
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, arrived: Arrived) -> bool:
        """Append one, if there is room."""
        if len(self._messages) >= self._most or self._bytes + arrived.size > self._most_bytes:
            return False
        self._messages.append(arrived)
        self._bytes += arrived.size
        return True

    def take(self) -> Arrived:
        """The oldest one."""
        arrived = self._messages.popleft()
        self._bytes -= arrived.size
        return arrived


class UncheckedMessages:
    """Messages that wait to be checked. Those that come too fast, or find no room, are refused at once.

    To check one of a stranger may take seconds, as it is looked up who that is: peers go first, and have room of their
    own.
    """

    def __init__(self, refuse: Callable[[Reason, str, int, str], None], is_peer: Callable[[int], bool]) -> None:
        """`refuse(reason, topic, node, detail)` is called for each refusal; an empty detail is only counted."""
        self._refuse = refuse
        self._is_peer = is_peer
        self._rates = Rates()
        self._of_peers = _Waiting(MOST, MOST_BYTES)
        self._of_strangers = _Waiting(MOST_OF_STRANGERS, MOST_BYTES_OF_STRANGERS)
        self._there = asyncio.Event()

    def put(self, arrived: Arrived) -> None:
        """A message has come."""
        now = time.monotonic()
        if not self._rates.allows(arrived.node, now):
            refused = self._rates.to_report(arrived.node, now)
            self._refuse("rate", arrived.topic, arrived.node, f"{refused} messages too many" if refused else "")
        elif (self._of_peers if self._is_peer(arrived.node) else self._of_strangers).put(arrived):
            self._there.set()
        else:
            self._refuse("rate", arrived.topic, arrived.node, "too many messages of all nodes wait")

    def broken(self, node: int, why: str) -> None:
        """A node has sent what is no frame."""
        self._refuse("schema", "", node, why if self._rates.allows(node, time.monotonic()) else "")

    async def next(self) -> Arrived:
        """The oldest one of peers, or else of others."""
        while not (self._of_peers or self._of_strangers):
            self._there.clear()
            await self._there.wait()
        return (self._of_peers or self._of_strangers).take()


class AcceptedMessages:
    """Accepted messages that wait for their reader. The oldest makes room."""

    def __init__(self) -> None:
        self._waiting: deque[Received] = deque()
        self._bytes = 0
        self._there = asyncio.Event()
        self._closed = False
        self.received: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()

    def put(self, received: Received) -> None:
        """One more."""
        self._waiting.append(received)
        self._bytes += len(received.payload)
        self.received[received.topic] += 1
        while len(self._waiting) > MOST or self._bytes > MOST_READ_BYTES:
            self.unread[self._pop().topic] += 1
        self._there.set()

    def close(self) -> None:
        """No more come."""
        self._closed = True
        self._there.set()

    async def read(self) -> AsyncIterator[Received]:
        """As they come, until closed."""
        while True:
            while self._waiting:
                yield self._pop()
            if self._closed:
                return
            self._there.clear()
            await self._there.wait()

    def _pop(self) -> Received:
        received = self._waiting.popleft()
        self._bytes -= len(received.payload)
        return received


class Refusals:
    """Refused messages, counted by reason."""

    def __init__(self, recorded: Callable[[Refused], None], hostname_of: Callable[[int], str]) -> None:
        self._recorded = recorded
        self._hostname_of = hostname_of
        self.by_reason: Counter[Reason] = Counter()

    def __call__(self, reason: Reason, topic: str, node: int, detail: str) -> None:
        """One more. Without a detail it is only counted."""
        self.by_reason[reason] += 1
        if detail:
            self._recorded(Refused(reason, shown(topic), node, shown(self._hostname_of(node)), shown(detail)))
