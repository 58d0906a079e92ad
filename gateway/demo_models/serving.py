"""Providers on ports of the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import signal
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


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals alone: uvicorn would give them to the last of several servers only."""
        yield


@contextlib.asynccontextmanager
async def serving(application: DemoModels, port: int = 0) -> AsyncIterator[int]:
    """Serve in this process; gives the port. Open answers are cut off at the end."""
    with listen(port) as listener:
        server = _Server(
            uvicorn.Config(
                application,
                http=_Protocol,
                lifespan="off",
                log_level="critical",
                access_log=False,
                date_header=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        running = asyncio.ensure_future(server.serve([listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
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
