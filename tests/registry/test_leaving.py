"""What becomes of the connections of an endpoint that has left its service."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support import running_gateway, scripted_backend
from tests.upstream.wire import read_message


async def test_streams_get_a_limit_and_requests_finish(tmp_path: Path) -> None:
    """A WebSocket is closed with 1012 after `drain.deadline`, an event stream ends, and a download goes on."""
    go_on = asyncio.Event()

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind = b"text/event-stream" if "events" in (await read_message(reader)).start else b"text/plain"
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: %b\r\n\r\n1\r\na\r\n" % kind)
        await go_on.wait()
        writer.write(b"1\r\nb\r\n0\r\n\r\n")

    async def echo(server: ServerConnection) -> None:
        async for message in server:
            await server.send(message)

    async with scripted_backend(backend) as port, serve(echo, "127.0.0.1", 0) as websockets:
        sockets = next(iter(websockets.sockets)).getsockname()[1]
        routes = """
        services: {a: {discovery: {file: a.yaml, hold_empty: 0s}}, b: {discovery: {file: b.yaml, hold_empty: 0s}}}
        routes: [{path: /ws, target: a}, {path: /events, target: b}, {path: /download, target: b}]
        """
        (tmp_path / "config").mkdir()
        for name, number in (("a", sockets), ("b", port)):
            (tmp_path / f"config/{name}.yaml").write_text(f"['127.0.0.1:{number}']")
        with running_gateway(tmp_path, routes, "drain: {deadline: 0.5s}") as gateway:
            async with (
                connect(f"ws://127.0.0.1:{gateway.port}/ws", proxy=None) as websocket,
                httpx2.AsyncClient(base_url=gateway.url) as client,
                client.stream("GET", "/events") as events,
                client.stream("GET", "/download") as download,
            ):
                received, kept = events.aiter_raw(), download.aiter_raw()
                assert (await anext(received), await anext(kept)) == (b"a", b"a")
                await websocket.send("before")
                assert await websocket.recv() == "before"
                for name in ("a", "b"):
                    (gateway.directory / f"{name}.yaml").write_text("[]")
                with pytest.raises(ConnectionClosed) as closed:
                    await websocket.recv()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1012
                with pytest.raises(httpx2.TransportError):
                    await anext(received)
                go_on.set()
                assert await anext(kept) == b"b"
