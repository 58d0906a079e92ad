"""Messages to one peer: a bounded queue, and the connection over which they go."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.agents.broker import PORT
from gateway.agents.daemon import Connection, DaemonError, DaemonGone, DaemonSocket, connected
from gateway.agents.directory import Directory
from gateway.agents.frames import encoded
from gateway.agents.link import PeerStanding
from gateway.agents.pilotctl import PilotctlError
from gateway.agents.rates import PER_SECOND
from gateway.agents.trust import Named

MOST: Final = 1000  # messages; the oldest makes room
MOST_BYTES: Final = 16 * 1024 * 1024
LATE: Final = 60.0  # seconds after which a message is no news any more: states are said again every 30 s
PAUSES: Final = (0.2, 0.5, 1.0, 2.0)  # seconds between attempts, the last one again and again
STUCK: Final = 5.0  # seconds in which nothing of what was sent arrives: the other node is gone
TAKEN_WITHIN: Final = 10.0  # seconds for the daemon to take a message
PER_TURN: Final = PER_SECOND * 0.9  # messages in a second: the peer refuses more


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A message that waits. `since` is a time of `time.monotonic`."""

    topic: str
    payload: bytes
    since: float


class Queue:
    """Messages that wait for a peer; what there is no room for is counted by topic."""

    def __init__(self) -> None:
        self._messages: deque[Waiting] = deque()
        self._bytes = 0
        self._there = asyncio.Event()
        self.dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, topic: str, payload: bytes) -> None:
        """Add one."""
        now = time.monotonic()
        self._messages.append(Waiting(topic, payload, now))
        self._bytes += len(payload)
        while len(self._messages) > MOST or self._bytes > MOST_BYTES or self._messages[0].since < now - LATE:
            self.drop(self._messages[0])
        self._there.set()

    async def first(self) -> Waiting:
        """The oldest one, which stays until `done`."""
        while not self._messages:
            self._there.clear()
            await self._there.wait()
        return self._messages[0]

    def done(self, message: Waiting) -> bool:
        """It was sent. Whether it was still there: it may have been dropped meanwhile."""
        if not self._messages or self._messages[0] is not message:
            return False
        self._messages.popleft()
        self._bytes -= len(message.payload)
        return True

    def drop(self, message: Waiting) -> None:
        """It will not be sent."""
        if self.done(message):
            self.dropped[message.topic] += 1


class Pace:
    """Spaces messages so that the other end takes them all."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second
        self._next = 0.0
        self._ahead = 0.1  # seconds that may be made up for by a burst: each message costs both ends, and the daemons

    async def turn(self) -> None:
        """Wait for the next turn."""
        now = time.monotonic()
        self._next = max(self._next, now - self._ahead) + self._interval
        if self._next > now:
            await asyncio.sleep(self._next - now)


class Stream:
    """A connection to port 1002 of a peer, over a socket of its own, so that no peer waits for another."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._daemon: DaemonSocket | None = None
        self._connection: int | None = None
        self.node: int | None = None
        self._sent = 0
        self._arrived = 0
        self._progress = 0.0

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None

    def opened(self, connection: int, node: int, port: int) -> None:
        """No calls arrive here."""

    def received(self, connection: int, data: bytes) -> None:
        """A broker sends back what was published: that is of no interest."""

    def ended(self, connection: int) -> None:
        """The peer has closed it, or the daemon has given it up."""
        if connection == self._connection:
            self._connection = None

    async def send(self, node: int, topic: str, payload: bytes) -> None:
        """Publish to a node. Raises DaemonError or DaemonGone."""
        if self.node != node:
            await self.close()
        if self._connection is None:
            self._daemon = self._daemon or await connected(self._socket_path, self)
            self._connection = await self._daemon.dial(node, PORT)
            self.node = node
            first = encoded(topic)
            self._daemon.send(self._connection, first)
            self._sent, self._arrived, self._progress = len(first), 0, time.monotonic()
        assert self._daemon is not None
        frame = encoded(topic, payload)
        self._daemon.send(self._connection, frame)
        self._sent += len(frame)
        try:
            async with asyncio.timeout(TAKEN_WITHIN):
                await self._daemon.drain()
        except TimeoutError as error:
            raise DaemonGone("the daemon takes no more for this peer") from error

    def confirm(self, connections: Sequence[Connection]) -> bool:
        """Learn from the daemon's list how much has arrived. Whether the other node seems to be gone."""
        if self._connection is None:
            return False
        found = next((item for item in connections if item.id == self._connection), None)
        if found is not None and (found.arrived > self._arrived or not found.unacknowledged):
            self._arrived, self._progress = found.arrived, time.monotonic()
        return time.monotonic() - self._progress > STUCK

    def give_up(self) -> None:
        """End a connection on which nothing arrives; the next message makes another."""
        if self._daemon is not None and self._connection is not None:
            self._daemon.end(self._connection)
        self._connection = None

    async def close(self) -> None:
        """End the connection and its socket."""
        daemon, self._daemon, self._connection, self.node = self._daemon, None, None, None
        if daemon is not None:
            await daemon.close()


class Peer:
    """All that is sent to one role."""

    def __init__(
        self,
        role: str,
        hostname: str,
        directory: Directory,
        socket_path: str,
        by_inbox: Callable[[Named, str, bytes], Awaitable[None]],
        signed: Callable[[str, str, bytes], Awaitable[bytes]],
        inbox: frozenset[str],
    ) -> None:
        """`by_inbox(receiver, topic, payload)` sends a message of the topics `inbox`; `signed` adds a signature."""
        self.role = role
        self.hostname = hostname
        self._directory = directory
        self._by_inbox = by_inbox
        self._signed = signed
        self._inbox = inbox
        self._stream = Stream(socket_path)
        self._queue = Queue()
        self._pace = Pace(PER_TURN)
        self.problem = ""
        self.sent = 0
        self.last_sent: float | None = None
        self.last_received: float | None = None

    def put(self, topic: str, payload: bytes) -> None:
        """Queue a message."""
        self._queue.put(topic, payload)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Messages that were dropped, by topic."""
        return self._queue.dropped

    def confirm(self, connections: Sequence[Connection]) -> None:
        """Take the daemon's list of connections: one that is dead is ended, and made anew with the next message."""
        if self._stream.confirm(connections):
            self._stream.give_up()

    async def run(self) -> None:
        """Send what comes, until cancelled."""
        failures = 0
        try:
            while True:
                message = await self._queue.first()
                if message.since < time.monotonic() - LATE:
                    self._queue.drop(message)
                    continue
                if await self._try(message):
                    failures = 0
                    continue
                await self._stream.close()
                changed = self._directory.changed
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PAUSES[min(failures, len(PAUSES) - 1)]):
                        await changed.wait()
                failures += 1
        finally:
            await self._stream.close()

    async def _try(self, message: Waiting) -> bool:
        self.problem = self._directory.send_problem(self.hostname)
        named, _ = self._directory.found(self.hostname)
        if self.problem or named is None:
            return False
        await self._pace.turn()
        try:
            if message.topic in self._inbox:
                await self._by_inbox(named, message.topic, message.payload)
            else:
                whole = await self._signed(self.hostname, message.topic, message.payload)
                await self._stream.send(named.node, message.topic, whole)
        except (DaemonError, DaemonGone, PilotctlError) as error:
            self.problem = str(error)
            return False
        except ValueError as error:
            self.problem = f"a message of {message.topic} cannot be sent: {error}"
            self._queue.drop(message)
            return True
        self._queue.done(message)
        self.sent += 1
        self.last_sent = time.monotonic()
        return True

    @property
    def standing(self) -> PeerStanding:
        """How it stands."""
        named, trust = self._directory.found(self.hostname)
        return PeerStanding(
            role=self.role,
            hostname=self.hostname,
            node=None if named is None else named.node,
            trusted=trust is not None,
            mutual=trust is not None and trust.mutual,
            key=b"" if named is None else named.key,
            connected=self._stream.connected,
            waiting=len(self._queue),
            sent=self.sent,
            dropped=self._queue.dropped.total(),
            last_sent=self.last_sent,
            last_received=self.last_received,
            problem=self.problem or self._directory.send_problem(self.hostname),
        )
