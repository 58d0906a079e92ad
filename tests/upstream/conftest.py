from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.support import GatewayProcess, running_gateway
from tests.upstream.wire import Script, Wire, connected, read_message

SITES: dict[str, tuple[int, str, str]] = {
    "plain": (220, "", ""),
    "preserving": (20, "preserve_host: true", ""),
    "impatient": (20, "timeout: {connect: 5s, response_header: 2s, idle: 2s}", ""),
    "bounded": (20, "timeout: {total: 2s}", ""),
    "small": (20, "timeout: {connect: 3s}", "connections: {max: 2, pending: 2, idle: 1, idle_timeout: 3s}"),
    "limited": (20, "max_body: 1KiB", ""),
}
"""Kinds of routes: how many, what the route says, and what its service says."""


@dataclass
class Backend:
    """A scripted backend behind a route of its own."""

    path: str
    label: str
    accepted: int = 0
    open: int = 0


@dataclass
class Sites:
    """The gateway that all of these tests share. Every test takes a route that no other test uses."""

    gateway: GatewayProcess
    listeners: dict[str, list[tuple[str, socket.socket]]]

    def take(self, kind: str = "plain") -> tuple[str, socket.socket]:
        """Path and listening socket of an unused route."""
        assert self.listeners[kind], f"there are more tests than {SITES[kind][0]} {kind} routes: raise their number"
        return self.listeners[kind].pop()

    @contextlib.asynccontextmanager
    async def backend(self, script: Script, kind: str = "plain") -> AsyncIterator[Backend]:
        """A backend that runs `script` on each connection; afterwards, nothing of it may be left in the gateway."""
        path, listener = self.take(kind)
        host, port = listener.getsockname()[:2]
        backend = Backend(path, f"{host}:{port}")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            backend.accepted += 1
            backend.open += 1
            try:
                await script(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                backend.open -= 1
                writer.close()

        server = await asyncio.start_server(serve, sock=listener)
        try:
            yield backend
            await self.is_at_rest(backend)
        finally:
            server.close()

    async def get(self, path: str, *lines: str, method: str = "GET", body: bytes = b"") -> Wire:
        """The response to one request, on a connection of its own."""
        async with connected(self.gateway.port) as (reader, writer):
            head = [f"{method} {path} HTTP/1.1", "Host: example.test", "Connection: close", *lines]
            if body:
                head.append(f"Content-Length: {len(body)}")
            writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)
            return await read_message(reader, bodyless=method == "HEAD")

    async def state(self, backend: Backend) -> tuple[int, int, int]:
        """(in flight, connections open, connections idle), as the admin port tells."""
        async with httpx2.AsyncClient() as client:
            endpoints = (await client.get(f"http://127.0.0.1:{self.gateway.admin_port}/endpoints")).json()
        endpoint = next(one for one in endpoints if one["endpoint"] == backend.label)
        return endpoint["in_flight"], endpoint["connections"]["open"], endpoint["connections"]["idle"]

    async def is_at_rest(self, backend: Backend) -> None:
        """Wait until no exchange is in flight, and every connection is idle."""
        async with asyncio.timeout(30):
            while (state := await self.state(backend))[0] != 0 or state[1] != state[2]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


def _configuration(listeners: dict[str, list[tuple[str, socket.socket]]]) -> str:
    services, routes = ["services:"], ["routes:"]
    for kind, (_, route, service) in SITES.items():
        for number, (path, listener) in enumerate(listeners[kind]):
            name = f"{kind}-{number}"
            services += [f"  {name}:", f"    endpoints: ['127.0.0.1:{listener.getsockname()[1]}']"]
            services += [f"    {service}"] if service else []
            routes += [f"- path: {path}/*", f"  target: {name}"]
            routes += [f"  {route}"] if route else []
    return "\n".join(services + routes) + "\n"


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    directory: Path = tmp_path_factory.mktemp("upstream")
    with contextlib.ExitStack() as opened:
        listeners = {
            kind: [(f"/{kind}/{n}", opened.enter_context(socket.create_server(("127.0.0.1", 0)))) for n in range(many)]
            for kind, (many, _, _) in SITES.items()
        }
        gateway = opened.enter_context(running_gateway(directory, _configuration(listeners)))
        yield Sites(gateway, listeners)
    assert "Traceback" not in gateway.log
    assert "never retrieved" not in gateway.log
