"""The interface of a bus: it takes messages from one role, and delivers them to the others."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from gateway.bus.letters import Letter, Unreadable, letter_of
from gateway.events import KINDS, Message
from gateway.live import Tasks
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.bus")

LOG_SECONDS: Final = 10.0

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Received:
    """The metadata of a delivered message."""

    id: str
    sender: str
    age: float  # seconds since it was published; by no clock of the sender


Handler = Callable[[M, Received], Awaitable[None]]
"""Takes a message. The same may come twice, if something went wrong meanwhile; what it raises is logged and counted."""


class Counts:
    """How many messages went through, and how many did not and why; by kind."""

    def __init__(self) -> None:
        self.published: dict[str, int] = {}
        self.received: dict[str, int] = {}
        self.dropped: dict[tuple[str, str], int] = {}  # by kind and reason
        self._log = ThrottledLog(logger.warning, LOG_SECONDS)

    def publish(self, kind: str, number: int = 1) -> None:
        """So many were sent."""
        self.published[kind] = self.published.get(kind, 0) + number

    def receive(self, kind: str) -> None:
        """One came, and was handled."""
        self.received[kind] = self.received.get(kind, 0) + 1

    def drop(self, kind: str, reason: str, why: str, number: int = 1) -> None:
        """So many were lost, or are not for this gateway. `reason` is one of a few words."""
        kind = kind if kind in KINDS else "unknown"
        self.dropped[kind, reason] = self.dropped.get((kind, reason), 0) + number
        self._log.line("a message %s is dropped: %s", kind, why)


class LetterWriter:
    """Numbers the messages of one sender and puts them into envelopes. On any thread."""

    def __init__(self, sender: str, counts: Counts) -> None:
        self._sender = sender
        self._counts = counts
        self._numbers = itertools.count(1)

    def write(self, message: Message) -> Letter | None:
        """The message as it is sent; None where it cannot be, which is counted."""
        try:
            return letter_of(message, self._sender, next(self._numbers))
        except Unreadable as error:
            self._counts.drop(message.KIND, error.reason, str(error))
            return None


class Subscription(Protocol):
    """Some kind of message that a handler wants."""

    def end(self) -> None:
        """Hand over no more."""
        ...


class Bus(Protocol):
    """One of them lives in a process. It is used on the event loop."""

    name: str  # of this process, on the bus
    counts: Counts
    tasks: Tasks

    def letter(self, message: Message) -> Letter | None:
        """The message as it is sent; None where it cannot be, which is counted. On any thread, because it may take
        long where the message is large."""
        ...

    def send(self, letter: Letter) -> None:
        """Publish what `letter` has made."""
        ...

    def publish(self, message: Message) -> None:
        """Send it to all who want it, in this process and in others. Never waits and never raises; bounded, so that
        the oldest are dropped, and counted, where they cannot be sent in time."""
        ...

    def retract(self, kind: type[Message], key: str) -> None:
        """Delete the retained message of this key, so that later subscribers do not get it."""
        ...

    def subscribe(self, kind: type[M], handle: Handler[M], group: str | None = None) -> Subscription:
        """Have `handle` called with each message of this kind from now on, one after the other.

        With a `group` each message is handled by one of the processes that are in it, and goes to another one where
        that dies before it has. Without, every process gets all of them, and at first the last message of each key.
        """
        ...

    @property
    def waiting(self) -> int:
        """How many messages wait to be sent."""
        ...

    @property
    def busy(self) -> bool:
        """Whether so much waits to be sent that more should wait, where it can."""
        ...

    @property
    def connected(self) -> bool:
        """Whether other processes can be reached."""
        ...

    def silence(self, sender: str) -> float:
        """Seconds since this process last gave a sign of life; infinite where none is known."""
        ...

    @property
    def losses(self) -> int:
        """How often what was said by key may have been lost, or is for this process to say from now on: when this
        number rises, it is to be said again."""
        ...
