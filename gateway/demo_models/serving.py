"""Providers on ports of the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.demo import HOST, listen
from gateway.demo_models.app import DemoModels
from gateway.demo_models.sending import CLOSE


class _Protocol(HttpToolsProtocol):
    """HTTP/1.1 whose applications may close the connection in the middle of an answer."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {CLOSE: {"close": self.transport.close}}


CUT_OFF_SECONDS = 0.1  # after which answers that are open at the end are left as they are


class LoopbackServer(uvicorn.Server):
    """One of several in a process. It ends at once, where uvicorn's looks ten times a second whether it shall."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals alone: uvicorn would give them to the last of several servers only."""
        yield

    def end(self) -> None:
        """Have `serve` return."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        """Wait for the end."""
        await self.on_tick(0)  # sets the headers of all answers
        await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, close what is idle, and cut off what is open."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if tasks := set(self.server_state.tasks):
            await asyncio.wait(tasks, timeout=CUT_OFF_SECONDS)


@contextlib.asynccontextmanager
async def serving(application: DemoModels, port: int = 0) -> AsyncIterator[int]:
    """Serve in this process; gives the port. Open answers are cut off at the end."""
    with listen(port) as listener:
        server = LoopbackServer(
            uvicorn.Config(
                application,
                http=_Protocol,
                lifespan="off",
                log_level="critical",
                access_log=False,
                date_header=False,
                server_header=False,
            )
        )
        running = asyncio.ensure_future(server.serve([listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.end()
            await running


async def serve(ports: Sequence[int], said: Callable[[str], Any] = print) -> None:
    """Serve a provider on each port until SIGINT or SIGTERM; port 0 takes a free one.

    Says where each one is once all accept connections. Raises OSError, naming the address, when a port cannot be
    listened on.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as opened:
        taken = [await opened.enter_async_context(serving(DemoModels(), port)) for port in ports]
        said("".join(f"a demo model provider listens on http://{HOST}:{port}\n" for port in taken).rstrip())
        sys.stdout.flush()
        await stopping.wait()
