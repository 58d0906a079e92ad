"""What tests of the bridge share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from gateway.agents.link import Received, Standing, State
from gateway.agents.payloads import read


class FakeLink:
    """A link whose other end is the test: what was published, and what is received."""

    def __init__(self, hostname: str = "acme-router") -> None:
        self.hostname = hostname
        self.published: list[tuple[str, str, bytes]] = []
        self.state: State = "closed"
        self._received: asyncio.Queue[Received] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self.state = "connected"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.state = "closed"

    @property
    def standing(self) -> Standing:
        return Standing(self.state, "", 1, "0:0000.0000.0001", self.hostname, (), 0, {}, {}, {})

    async def ready(self, within: float) -> None:
        if self.state != "connected":
            raise TimeoutError(f"no daemon within {within:g} s")

    async def publish(self, role: str, topic: str, payload: bytes) -> None:
        self.published.append((role, topic, payload))

    def receive(self, topic: str, payload: bytes, hostname: str, node: int = 2) -> None:
        """A believed message comes in."""
        self._received.put_nowait(Received(topic, payload, node, hostname, b"k" * 32, read(topic, payload)))

    async def messages(self) -> AsyncIterator[Received]:
        while True:
            yield await self._received.get()
