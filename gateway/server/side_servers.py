"""The servers of what stands beside the gateway: uvicorn's, imported for those who have such a port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from gateway.server.side_connections import SideServer


@runtime_checkable
class Ending(Protocol):
    """An application with answers that go on for ever."""

    end: Callable[[], None]
    """Ends them, because its server is to stop."""


class SideServers:
    """Applications on sockets of their own. They can end and begin again: the sockets stay open."""

    def __init__(self, served: Sequence[tuple[ASGIApp, list[socket.socket]]]) -> None:
        self._served = served
        self._running: list[tuple[SideServer, asyncio.Task[None]]] = []

    def start(self) -> None:
        """Serve them."""
        if not self._served:
            return
        from gateway.server.side_connections import SideServer  # noqa: PLC0415  uvicorn, for those who have a port

        for app, sockets in self._served:
            server = SideServer(app)
            task = asyncio.create_task(server.serve([each.dup() for each in sockets]))
            self._running.append((server, task))

    async def stop(self) -> None:
        """Finish what is under way, which takes a second at most."""
        running, self._running = self._running, []
        for server, _ in running:
            server.end()
        for app, _ in self._served:
            if isinstance(app, Ending):
                app.end()
        await asyncio.gather(*(task for _, task in running))
