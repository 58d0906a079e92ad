"""What was so of the last events: how many, and which share of them. Pure."""

from __future__ import annotations

from collections import deque


class Recent:
    """The events of the last seconds, at most so many of them. Times only grow."""

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._events: deque[tuple[float, bool]] = deque()
        self._true = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def share(self) -> float:
        """Of events that were so, from 0 to 1."""
        return self._true / len(self._events) if self._events else 0.0

    def add(self, now: float, so: bool) -> None:
        """One event."""
        self._events.append((now, so))
        self._true += so
        while len(self._events) > self._most or self._events[0][0] < now - self._seconds:
            _, was_so = self._events.popleft()
            self._true -= was_so

    def clear(self) -> None:
        """Forget all of them."""
        self._events.clear()
        self._true = 0
