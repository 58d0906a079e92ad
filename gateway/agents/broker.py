"""Port 1002 of this node: who calls subscribes first, and may then publish, as the event stream of the network has it.

What is published is judged elsewhere. A subscriber who does not read is cut off. It is never sent more than it can
take: while a connection is full, the daemon reads nothing more from our socket, and all others would wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.agents.daemon import Connection
from gateway.agents.frames import EVERYTHING, Event, FrameError, Frames, encoded

PORT: Final = 1002
CONNECTIONS_MOST: Final = 128
CONNECTIONS_OF_A_NODE: Final = 16
CONNECTIONS_OF_LISTENERS: Final = 96  # who is no peer finds no room beyond these, however many nodes are trusted
CONNECTIONS_OF_STRANGERS: Final = 64  # nor who is not known to be trusted yet beyond these
WAITING_MOST: Final = 256 * 1024  # bytes that wait for a subscriber; who has more is cut off
UNSENT_MOST: Final = 4 * 1024 * 1024  # bytes of all that the daemon has not taken from our socket
UNCONFIRMED_MOST: Final = (
    64 * 1024
)  # of a subscriber, counted in whole packets: the daemon has room for 98 KiB at first
PACKET: Final = 1152  # bytes that the network counts for each packet, however short
PIECE: Final = 16 * 1024  # bytes
READS_NOT: Final = 128 * 1024  # who has no more room than this, of 576 KiB, is sent nothing until it has read


class Line(Protocol):
    """The socket of the daemon that has the connections (daemon.py)."""

    def send(self, connection: int, data: bytes) -> None:
        """Bytes of a connection."""

    def end(self, connection: int) -> None:
        """Close it."""

    @property
    def unsent(self) -> int:
        """Bytes that the daemon has not taken."""


@dataclass(slots=True)
class Caller:
    """One connection. `sent` counts bytes since its beginning; `under_way` has, of those, what has not arrived."""

    node: int
    frames: Frames = field(default_factory=Frames)
    topic: str | None = None  # what it has subscribed to
    published: bool = False  # it called to publish, and reads nothing
    waiting: deque[bytes] = field(default_factory=deque)  # pieces of frames
    waiting_bytes: int = 0
    sent: int = 0
    under_way: deque[tuple[int, int]] = field(default_factory=deque)  # where pieces end, and their packets in bytes
    unconfirmed: int = 0  # the sum of these
    allowed: int = UNCONFIRMED_MOST  # which it may not exceed

    @property
    def is_near_the_end(self) -> bool:
        """Whether it may soon be sent no more, as far as is known."""
        return bool(self.under_way or self.waiting) and self.allowed - self.unconfirmed < UNCONFIRMED_MOST // 2

    def takes(self, length: int) -> bool:
        """Whether a piece may be sent now."""
        return self.unconfirmed + _packets(length) <= self.allowed

    def sends(self, length: int) -> None:
        """A piece is sent."""
        self.sent += length
        self.unconfirmed += _packets(length)
        self.under_way.append((self.sent, _packets(length)))

    def confirm(self, found: Connection) -> None:
        """Take the daemon's figures. They are a fifth of a second old, which is on the safe side."""
        while self.under_way and self.under_way[0][0] <= found.arrived:
            self.unconfirmed -= self.under_way.popleft()[1]
        room = UNCONFIRMED_MOST if found.window is None else found.window - READS_NOT
        self.allowed = min(room, UNCONFIRMED_MOST if found.congestion is None else found.congestion, UNCONFIRMED_MOST)


def _packets(length: int) -> int:
    return -(-length // PACKET) * PACKET


class Broker:
    """The connections of port 1002, and what each of them is sent. It does no I/O but by its line."""

    def __init__(
        self,
        published: Callable[[int, int, Event], None],
        broken: Callable[[int, str], None],
        may_listen: Callable[[int], bool],
        is_peer: Callable[[int], bool],
        behind: Callable[[], None],
    ) -> None:
        """`published(node, connection, event)` is called with each event, `broken(node, why)` for invalid frames.

        `behind` is called while it is not known of much whether it arrived: `confirm` is then to be called soon.
        """
        self._fell_behind = behind
        self._published = published
        self._broken = broken
        self._may_listen = may_listen
        self._is_peer = is_peer
        self._callers: dict[int, Caller] = {}
        self._line: Line | None = None
        self.cut = 0  # subscribers who did not read

    def attach(self, line: Line | None) -> None:
        """Use a new socket; the connections of the former one are over."""
        self._callers.clear()
        self._line = line

    @property
    def subscribers(self) -> int:
        """How many connections listen."""
        return sum(1 for caller in self._callers.values() if caller.topic is not None and not caller.published)

    @property
    def behind(self) -> bool:
        """Whether it is not known of much that a subscriber was sent whether it arrived."""
        return any(caller.is_near_the_end for caller in self._callers.values())

    def opened(self, connection: int, node: int, port: int) -> None:
        """A node has called."""
        of_the_node = sum(1 for caller in self._callers.values() if caller.node == node)
        most = CONNECTIONS_OF_LISTENERS if self._may_listen(node) else CONNECTIONS_OF_STRANGERS
        most = CONNECTIONS_MOST if self._is_peer(node) else most
        if port != PORT or of_the_node >= CONNECTIONS_OF_A_NODE or len(self._callers) >= most:
            self._end(connection)
        else:
            self._callers[connection] = Caller(node)

    def received(self, connection: int, data: bytes) -> None:
        """Bytes of a connection."""
        caller = self._callers.get(connection)
        if caller is None:
            return
        try:
            for event in caller.frames.feed(data):
                if caller.topic is None:
                    caller.topic = event.topic
                else:
                    caller.published = True
                    self._published(caller.node, connection, event)
        except FrameError as error:
            self._broken(caller.node, str(error))
            self._end(connection)

    def ended(self, connection: int) -> None:
        """A connection is over."""
        self._callers.pop(connection, None)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send an event of ours to all who subscribed to its topic. Events that others publish here are not
        forwarded."""
        frame = encoded(topic, payload)
        for connection, caller in list(self._callers.items()):
            if caller.topic not in (topic, EVERYTHING) or not self._may_listen(caller.node):
                continue
            if caller.waiting_bytes > WAITING_MOST:
                self.cut += 1
                self._end(connection)
                continue
            caller.waiting.extend(frame[start : start + PIECE] for start in range(0, len(frame), PIECE))
            caller.waiting_bytes += len(frame)
            self._send_waiting(connection, caller)
            if caller.is_near_the_end:
                self._fell_behind()

    def confirm(self, connections: Sequence[Connection]) -> None:
        """Learn from the daemon's list how much of each connection has arrived, and send what waits."""
        for found in connections:
            caller = self._callers.get(found.id)
            if caller is not None:
                caller.confirm(found)
        for connection, caller in list(self._callers.items()):
            self._send_waiting(connection, caller)

    def drop(self, unwanted: Callable[[int], bool]) -> Sequence[tuple[int, str]]:
        """End the connections of nodes that are not trusted, or not any more.

        Returns node and topic of those that did not publish, and hear no reason from their daemon; the topic is empty
        where none was said yet.
        """
        ended = [(connection, caller) for connection, caller in self._callers.items() if unwanted(caller.node)]
        for connection, _ in ended:
            self._end(connection)
        return [(caller.node, caller.topic or "") for _, caller in ended if not caller.published]

    def _send_waiting(self, connection: int, caller: Caller) -> None:
        line = self._line
        while caller.waiting and line is not None:
            if not caller.takes(len(caller.waiting[0])) or line.unsent >= UNSENT_MOST:
                return
            piece = caller.waiting.popleft()
            caller.waiting_bytes -= len(piece)
            caller.sends(len(piece))
            line.send(connection, piece)

    def _end(self, connection: int) -> None:
        self._callers.pop(connection, None)
        if self._line is not None:
            self._line.end(connection)
