"""What the tests of limits share: exchanges, compiled windows, and how late the loop is."""

from __future__ import annotations

import asyncio

from gateway.config.models.rate_limits import windows_of
from gateway.http import Exchange, Identity
from gateway.http.testing import make_exchange
from gateway.limits.windows import WindowSet


def windows(*limits: str, burst: int | None = None, name: str = "test") -> WindowSet:
    """The windows of a rate limit that says so."""
    return WindowSet(name, windows_of(limits, burst))


def exchange(client: str = "10.0.0.1", identity: Identity | None = None, **headers: str) -> Exchange:
    """A request of this client."""
    lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
    made = make_exchange(path="/x", headers=lines, client=client, route="x")
    made.identity = identity
    return made


class Lateness:
    """How late the timers of this loop were, all of them together: what the machine adds to every wait."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._due = float("inf")
        self._task: asyncio.Task[None] | None = None

    @property
    def seconds(self) -> float:
        """With what the timer that is due is late by already: others of the loop may have their turn before it."""
        return self._seconds + max(0.0, asyncio.get_running_loop().time() - self._due)

    async def __aenter__(self) -> Lateness:
        self._task = asyncio.create_task(self._measure())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._due = loop.time() + 0.001
            await asyncio.sleep(0.001)
            self._seconds = self.seconds
