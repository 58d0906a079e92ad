"""The gateway is a plain ASGI application: it runs on uvicorn as it comes, without our protocol class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from gateway.app import Gateway
from gateway.app.asgi import Application
from gateway.deadlines import Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Outcome
from gateway.live import Owner
from gateway.reload import Reloader
from gateway.upstream.transport import Connector, Resolver
from tests.server.backend import Backend
from tests.server.client import connected
from tests.support import eventually, free_port

Reported = tuple[Exchange, Outcome]

ROUTES = "routes: [{{path: /e/*, target: '127.0.0.1:{port}'}}]"


@asynccontextmanager
async def stock_uvicorn(directory: Path, backend: Backend, http: str) -> AsyncIterator[tuple[int, list[Reported]]]:
    """A stock uvicorn with the gateway in it; its port, and what was reported."""
    (directory / "routes.yaml").write_text(ROUTES.format(port=backend.port))
    records: list[Reported] = []
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    gateway = Gateway(
        Reloader(directory, {}, Owner(), connector), [lambda exchange, outcome: records.append((exchange, outcome))]
    )
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(cast(Any, Application(gateway)), port=port, http=cast(Any, http), log_config=None)
    )
    serving = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started)
        yield port, records
    finally:
        server.should_exit = True
        await serving


@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_requests_and_bodies(tmp_path: Path, backend: Backend, http: str) -> None:
    """Requests with and without a body are forwarded, answered and logged, and problems are reported."""
    async with stock_uvicorn(tmp_path, backend, http) as (port, records), connected(port) as client:
        await client.send(b"GET /e/stock HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).body == b"GET /e/stock "
        await client.send(
            b"POST /e/stock HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        )
        assert (await client.answer()).body == b"POST /e/stock abc"
        await client.send(b"GET /e/big/1000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert len((await client.answer()).body) == 1000000
        await client.send(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).problem == "no-route"
        await client.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).status == 200
        await eventually(lambda: len(records) == 4)
    assert [outcome.status for _, outcome in records] == [200, 200, 200, 404]


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("kind", ["hang", "events"])
async def test_client_gone_upstream_cancelled(tmp_path: Path, backend: Backend, kind: str, http: str) -> None:
    """A client that goes away takes the backend's connection with it, before the response and in its middle."""
    path = f"/e/{kind}/stock-{http}"
    async with stock_uvicorn(tmp_path, backend, http) as (port, records):
        async with connected(port) as client:
            await client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            await eventually(lambda: f"GET {path} HTTP/1.1" in backend.heads)
            if kind == "events":
                await client.reader.readuntil(b"data: 1\n")
        await eventually(lambda: f"GET {path} HTTP/1.1" in backend.gone)
        await eventually(lambda: bool(records))
    assert isinstance(records[0][0].error, GatewayError)
    assert records[0][0].error.kind is ErrorKind.CLIENT_GONE


@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_a_response_cut_short(tmp_path: Path, backend: Backend, http: str) -> None:
    """A response that is cut short upstream does not look whole to the client."""
    async with stock_uvicorn(tmp_path, backend, http) as (port, _), connected(port) as client:
        await client.send(b"GET /e/cut/chunked HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await client.answer()


async def test_a_refused_websocket(tmp_path: Path, backend: Backend) -> None:
    """A WebSocket handshake on a path without a route gets the problem, as any request does."""
    lines = [b"GET /none HTTP/1.1", b"Host: a", b"Connection: Upgrade", b"Upgrade: websocket"]
    lines += [b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    async with stock_uvicorn(tmp_path, backend, "httptools") as (port, _), connected(port) as client:
        await client.send(b"\r\n".join(lines) + b"\r\n\r\n")
        answer = await client.answer()
    assert (answer.status, answer.problem) == (404, "no-route")


async def test_a_websocket(tmp_path: Path, backend: Backend) -> None:
    """Messages pass both ways, with the subprotocol and the close code of either side; one line is reported."""

    async def echo(server: ServerConnection) -> None:
        async for message in server:
            await server.send(message)
            if message == "close":
                await server.close(3001, "bye")

    serving = serve(echo, "127.0.0.1", 0, max_size=None, subprotocols=[Subprotocol("chat")])
    async with serving as upstream, stock_uvicorn(tmp_path, backend, "httptools") as (port, records):
        (tmp_path / "routes.yaml").write_text(ROUTES.format(port=next(iter(upstream.sockets)).getsockname()[1]))
        url = f"ws://127.0.0.1:{port}/e/ws"
        offered = [Subprotocol("other"), Subprotocol("chat")]
        for _ in range(300):  # until the new target is served
            try:
                one = await connect(url, subprotocols=offered, proxy=None, max_size=None)
                break
            except InvalidStatus:
                await asyncio.sleep(0.1)
        assert one.subprotocol == "chat"
        for message in ("text", b"bytes", "", "x" * 300_000):
            await one.send(message)
            assert await one.recv() == message
        await one.send("close")
        assert await one.recv() == "close"
        await asyncio.wait_for(one.wait_closed(), 30)
        assert (one.close_code, one.close_reason) == (3001, "bye")
        await eventually(lambda: any(outcome.status == 101 for _, outcome in records))


@pytest.mark.parametrize("name", ["fails", "fails_to_connect"])
async def test_an_application_that_fails_on_a_websocket(tmp_path: Path, backend: Backend, name: str) -> None:
    """The client gets an error, and what is reported has it."""
    async with stock_uvicorn(tmp_path, backend, "httptools") as (port, records):
        (tmp_path / "routes.yaml").write_text("routes: [{path: /a/*, target: 'asgi:tests.upstream.sessions:app'}]")
        for _ in range(300):  # until the new target is served
            try:
                one = await connect(f"ws://127.0.0.1:{port}/a/{name}", proxy=None)
                break
            except InvalidStatus:
                await asyncio.sleep(0.1)
        await asyncio.wait_for(one.wait_closed(), 30)
        assert one.close_code == 1011
        await eventually(lambda: any(outcome.status == 101 for _, outcome in records))
    (error,) = (exchange.error for exchange, outcome in records if outcome.status == 101)
    assert isinstance(error, GatewayError)
    assert error.kind is ErrorKind.UPSTREAM_RESET
