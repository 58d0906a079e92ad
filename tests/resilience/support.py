"""A gateway in this process, on files, and backends that count what they are asked and answer as a test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx2

from gateway.admin.app import admin_app
from gateway.admin.listening import Listening
from gateway.admin.tokens import Credentials, local_token
from gateway.app import Gateway
from gateway.app.asgi import Application
from gateway.config.models.admin import Admin
from gateway.deadlines import Deadlines
from gateway.http import Exchange, Outcome
from gateway.live import LoopLag, Owner
from gateway.monitor.exposition.page import Exposition
from gateway.monitor.recent_requests import RecentRequests
from gateway.monitor.resilience_metrics import resilience_metrics
from gateway.monitor.traffic import Traffic
from gateway.monitor.traffic_metrics import traffic_metrics
from gateway.reload import Reloader
from gateway.snapshot import RouteHandler
from gateway.upstream.transport import Connector, Resolver
from tests.support import eventually, free_port
from tests.upstream.wire import Wire, read_message, reset


def response(status: int, body: bytes = b"", *lines: str) -> bytes:
    """The bytes of a response."""
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


Answer = bytes | None | Callable[[Wire], Awaitable[bytes | None]]
"""What comes back; None: a reset."""


@dataclass
class Backend:
    """A backend that gives `answers` in turn, over all its connections, and the last of them from then on."""

    answers: list[Answer]
    port: int = 0
    requests: list[Wire] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                message = await read_message(reader)
                self.requests.append(message)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if callable(answer):
                    answer = await answer(message)
                if answer is None:
                    reset(writer)
                    return
                writer.write(answer)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def backend(*answers: Answer) -> AsyncIterator[Backend]:
    """A backend on a port of its own."""
    made = Backend(list(answers) or [response(200, b"ok")])
    server = await asyncio.start_server(made.serve, "127.0.0.1", free_port())
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


@dataclass
class InProcess:
    """A gateway, with a client of its data port and one of its admin port."""

    directory: Path
    reloader: Reloader
    client: httpx2.AsyncClient
    admin: httpx2.AsyncClient
    metrics: Exposition
    outcomes: list[tuple[Exchange, Outcome]]

    @property
    def last(self) -> Exchange:
        return self.outcomes[-1][0]

    def handler(self, route: int = 0) -> RouteHandler:
        assert self.reloader.current is not None
        return self.reloader.current.handlers[route]

    async def get(self, path: str = "/", **options: Any) -> httpx2.Response:
        return await self.client.get(path, **options)

    async def in_time(self) -> None:
        """Wait until the loop is not late: on a busy machine it is now and then, and routes are refused for that."""
        (lag,) = self.reloader.owner.all(LoopLag)
        await eventually(lambda: lag.seconds < 0.05)

    async def reload(self, routes: str | None = None, middleware: str | None = None) -> None:
        write(self.directory, routes, middleware)
        error = await self.reloader.reload()
        assert error is None, error


def write(directory: Path, routes: str | None, middleware: str | None) -> None:
    for name, text in (("routes.yaml", routes), ("middleware.yaml", middleware)):
        if text is not None:
            (directory / name).write_text(text)


@contextlib.asynccontextmanager
async def running(directory: Path, routes: str, middleware: str = "") -> AsyncIterator[InProcess]:
    """A gateway on these files."""
    write(directory, routes, middleware)
    outcomes: list[tuple[Exchange, Outcome]] = []
    traffic = Traffic()
    metrics = Exposition()
    metrics.add_source(partial(traffic_metrics, traffic))
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    reloader = Reloader(directory, {}, Owner(), connector)
    metrics.add_source(partial(resilience_metrics, reloader.owner))
    gateway = Gateway(reloader, [lambda exchange, outcome: outcomes.append((exchange, outcome)), traffic.report])
    await reloader.start()
    assert reloader.current is not None, reloader.report()
    token = local_token(directory)
    assert token is not None
    admin = admin_app(
        reloader,
        metrics,
        RecentRequests(),
        Listening("127.0.0.1", 80),
        lambda: Credentials(Admin(), token),
        lambda _: None,
    )
    headers = {"authorization": f"Bearer {token.token}"}
    data = httpx2.AsyncClient(transport=httpx2.ASGITransport(cast(Any, Application(gateway))), base_url="http://a.test")
    beside = httpx2.ASGITransport(cast(Any, admin), client=("127.0.0.1", 1))
    async with data, httpx2.AsyncClient(transport=beside, base_url="http://127.0.0.1", headers=headers) as operator:
        try:
            yield InProcess(directory, reloader, data, operator, metrics, outcomes)
        finally:
            await reloader.stop()
