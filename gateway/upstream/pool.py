"""Which connection serves the next request to an endpoint: one that is idle, a new one, or the next to come free.

Decides only: nothing here opens, closes or waits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

C = TypeVar("C")
W = TypeVar("W")


class Verdict(Enum):
    """What to do where no idle connection is at hand."""

    OPEN = "open"  # one more may be opened; it is counted already
    WAIT = "wait"  # join the queue
    FULL = "full"  # the queue is full too


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections one endpoint may have."""

    connections: int = 512  # open at once
    pending: int = 1024  # requests that wait for one
    idle: int = 128  # kept open without a request
    idle_seconds: float = 60.0
    age: float = 3600.0  # seconds after which a connection serves no other request
    requests: int = 0  # that one connection serves; 0: any number
    drain: float = 30.0  # seconds for which streams go on when the endpoint has left its service


class Pool(Generic[C, W]):
    """The connections of one endpoint. `C` is a connection, `W` a place in the queue for one."""

    __slots__ = ("_idle", "_open", "limits", "waiting")

    def __init__(self, limits: PoolLimits) -> None:
        self.limits = limits
        self._idle: deque[C] = deque()  # the most recently used last
        self._open = 0
        self.waiting: deque[W] = deque()

    @property
    def open(self) -> int:
        """Connections that are open or being opened."""
        return self._open

    @property
    def idle(self) -> int:
        """Connections without a request."""
        return len(self._idle)

    def take(self) -> C | None:
        """An idle connection, the most recently used first, so that the others may expire."""
        return self._idle.pop() if self._idle else None

    def youngest(self) -> C | None:
        """The one that `take` would answer with."""
        return self._idle[-1] if self._idle else None

    def oldest(self) -> C | None:
        """Takes the one that has been idle longest, to make room for a fresh one."""
        return self._idle.popleft() if self._idle else None

    def reserve(self) -> Verdict:
        """Room for a fresh connection, whatever is idle."""
        if self._open < self.limits.connections:
            self._open += 1
            return Verdict.OPEN
        return Verdict.WAIT if len(self.waiting) < self.limits.pending else Verdict.FULL

    def give_back(self, connection: C) -> bool:
        """Keep an idle connection; False where there are enough of them already."""
        if len(self._idle) >= self.limits.idle or self._open > self.limits.connections:
            return False
        self._idle.append(connection)
        return True

    def gone(self, connection: C | None) -> bool:
        """A connection is closed, or (None) could not be opened. Whether it was idle."""
        self._open -= 1
        if connection not in self._idle:
            return False
        self._idle.remove(connection)  # type: ignore[arg-type]
        return True

    def drain(self) -> list[C]:
        """Every idle connection, to be closed."""
        drained = list(self._idle)
        self._idle.clear()
        return drained
