"""Running the gateway: two uvicorn servers on one loop, signals, drain.

    SIGTERM, SIGINT   drain and end (SIGINT without the window); a second one ends at once
    SIGHUP            read the configuration again
    SIGUSR1           reopen the access log
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn

from gateway.admin import admin_app
from gateway.app import Gateway
from gateway.build import State
from gateway.config.models import Drain, Limits
from gateway.deadlines import Deadlines
from gateway.monitor.access_log import AccessLog, AccessLogSettings
from gateway.reload import Reloader
from gateway.server.protocol import HTTPProtocol, ServerContext
from gateway.state import Survivors
from gateway.upstream.transport import Connector, Resolver
from gateway.upstream.websocket import GOING_AWAY

logger = logging.getLogger("gateway")

DESCRIPTORS_KEPT = 64  # for files, listeners, pipes
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line says."""

    directory: Path
    host: str
    port: int
    admin_host: str | None
    admin_port: int
    log_format: str | None
    resolve: dict[str, str]


async def serve(options: ServeOptions) -> None:
    """Serve until a signal says otherwise."""
    _raise_descriptor_limit()
    deadlines = Deadlines(asyncio.get_running_loop())
    connector = Connector(deadlines, Resolver(options.resolve))
    reloader = Reloader(options.directory, os.environ, State(connector, Survivors(), Survivors()))
    await reloader.start()
    access_log = AccessLog(_access_log_settings(reloader, options.log_format))
    gateway = Gateway(reloader, access_log)
    context = ServerContext(deadlines, partial(_limits, reloader))
    server = GatewayServer(options, gateway, context, access_log)
    admin = _AdminServer(options, reloader)
    try:
        async with asyncio.TaskGroup() as servers:
            servers.create_task(server.serve())
            if options.admin_host is not None:
                servers.create_task(admin.serve())
                await server.ended.wait()
                admin.should_exit = True
    finally:
        access_log.close()


def _access_log_settings(reloader: Reloader, log_format: str | None) -> AccessLogSettings:
    snapshot = reloader.current
    config = snapshot.configuration.middleware.access_log if snapshot else None
    output = config.output if config else "stdout"
    chosen = log_format or (config.format if config else "json")
    return AccessLogSettings(output, "console" if chosen == "console" else "json")


def _limits(reloader: Reloader) -> Limits:
    """The limits in force; never more connections than there are descriptors for, each with one to an upstream."""
    limits = reloader.current.configuration.middleware.limits if reloader.current else Limits()
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(1, (descriptors - DESCRIPTORS_KEPT) // 2)
    return limits if limits.connections <= most else limits.model_copy(update={"connections": most})


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class GatewayServer(uvicorn.Server):
    """uvicorn's server, which drains before it ends."""

    def __init__(
        self, options: ServeOptions, gateway: Gateway, context: ServerContext, access_log: AccessLog
    ) -> None:
        super().__init__(
            uvicorn.Config(
                cast(Any, gateway),
                host=options.host,
                port=options.port,
                http=cast(Any, partial(HTTPProtocol, context=context)),
                ws="websockets-sansio",
                ws_per_message_deflate=False,
                lifespan="off",
                backlog=BACKLOG,
                log_config=None,
                access_log=False,
                server_header=False,
            )
        )
        self.ended = asyncio.Event()
        self._gateway = gateway
        self._context = context
        self._access_log = access_log
        self._draining: asyncio.Task[None] | None = None
        self._deadline = 0.0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle them on the loop, and exit with 0 after a drain instead of raising the signal again."""
        loop = asyncio.get_running_loop()
        handlers = {
            signal.SIGTERM: lambda: self._stop(window=True),
            signal.SIGINT: lambda: self._stop(window=False),
            signal.SIGHUP: lambda: self._gateway.reloader.reload(),
            signal.SIGUSR1: self._access_log.reopen,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _stop(self, *, window: bool) -> None:
        if self._draining is not None:
            logger.warning("a second signal: ending at once")
            self._access_log.close(0.2)
            os._exit(1)
        self._draining = asyncio.create_task(self._drain(window=window))

    def _drain_settings(self) -> Drain:
        snapshot = self._gateway.reloader.current
        return snapshot.configuration.middleware.drain if snapshot else Drain()

    async def _drain(self, *, window: bool) -> None:
        """Not ready any more, but still serving, until the load balancer has noticed; then stop accepting."""
        settings = self._drain_settings()
        self._deadline = asyncio.get_running_loop().time() + settings.deadline
        self._gateway.draining = self._context.draining = True
        seconds = settings.window if window else 0
        logger.info("draining: not ready, serving for %g s more, ending within %g s", seconds, settings.deadline)
        await asyncio.sleep(min(seconds, settings.deadline))
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, finish what is in flight, end WebSockets, and leave nobody behind at the deadline."""
        for server in self.servers:
            server.close()
        self._gateway.close_websockets(GOING_AWAY)
        connections = cast(set[Any], self.server_state.connections)
        for connection in list(connections):
            if isinstance(connection, HTTPProtocol):
                connection.shutdown()
        loop = asyncio.get_running_loop()
        while connections and loop.time() < self._deadline:
            await asyncio.sleep(0.02)
        if connections:
            logger.warning("%d connections cut off at the drain deadline", len(connections))
            for connection in list(connections):
                connection.transport.abort()
            await asyncio.sleep(0.05)
        await self._gateway.reloader.stop()
        logger.info("ended")
        self.ended.set()


class _AdminServer(uvicorn.Server):
    """The admin port; it has no signals of its own."""

    def __init__(self, options: ServeOptions, reloader: Reloader) -> None:
        super().__init__(
            uvicorn.Config(
                admin_app(reloader),
                host=options.admin_host or "127.0.0.1",
                port=options.admin_port,
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: the gateway's server has them."""
        yield
