"""What the tests of limits share: exchanges, compiled windows, and links to a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.config.models.rate_limits import windows_of
from gateway.http import Exchange, Identity
from gateway.http.testing import make_exchange
from gateway.limits.redis_link import RedisLink
from gateway.limits.windows import WindowSet
from tests.redis_server import RedisServer
from tests.support import eventually


def windows(*limits: str, burst: int | None = None, name: str = "test") -> WindowSet:
    """The windows of a rate limit that says so."""
    return WindowSet(name, windows_of(limits, burst))


def exchange(client: str = "10.0.0.1", identity: Identity | None = None, **headers: str) -> Exchange:
    """A request of this client."""
    lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
    made = make_exchange(path="/x", headers=lines, client=client, route="x")
    made.identity = identity
    return made


@asynccontextmanager
async def linked(server: RedisServer, seconds: float = 5.0, prefix: str = "gateway:") -> AsyncIterator[RedisLink]:
    """A link to this Redis, that is up, and patient unless it matters."""
    link = RedisLink(server.url, seconds, prefix)
    await link.start()
    await eventually(lambda: link.calls > 0 and link.answers)
    try:
        yield link
    finally:
        await link.stop()


class Lateness:
    """How late the timers of this loop were, all of them together: what the machine adds to every wait."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Lateness:
        self._task = asyncio.create_task(self._measure())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.001
            await asyncio.sleep(0.001)
            self.seconds += max(0.0, loop.time() - due)
