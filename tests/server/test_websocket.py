"""WebSocket connections, where the server's side of them matters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest
import uvicorn

from gateway.config.models import ClientLimits, WebSocket
from gateway.deadlines import Deadlines
from gateway.server.protocol import HTTPProtocol, ServerContext
from gateway.server.websocket import WebSocketProtocol
from tests.server.client import connected
from tests.server.conftest import Site
from tests.support import eventually, free_port

HANDSHAKE = (
    b"GET /none HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@asynccontextmanager
async def serving(app: Callable[..., Awaitable[None]]) -> AsyncIterator[int]:
    """This application on our protocol class, with quick pings; the port."""
    context = ServerContext(
        Deadlines(asyncio.get_running_loop()), ClientLimits, partial(WebSocket, ping_interval=0.1, max_message=2**24)
    )
    port = free_port()
    config = uvicorn.Config(
        cast(Any, app),
        port=port,
        http=cast(Any, partial(HTTPProtocol, context=context)),
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started)
        yield port
    finally:
        server.should_exit = True
        await task


@pytest.mark.parametrize("piece", [0, 1])
async def test_a_refused_handshake(site: Site, piece: int) -> None:
    """A handshake on a path without a route gets the problem, as any request does."""
    async with connected(site.port) as client:
        await client.send(HANDSHAKE, piece=piece)
        answer = await client.answer()
        assert (answer.status, answer.problem) == (404, "no-route")
        await client.rest()


async def test_a_refusal_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """A handshake that the application refuses is not logged as one that it forgot to answer."""

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no"})

    async with serving(refuse) as port, connected(port) as client:
        await client.send(HANDSHAKE)
        assert (await client.answer()).body == b"no"
        await client.rest()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_who_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A WebSocket client that neither reads nor answers pings does not hold its connection for ever."""
    gone = asyncio.Event()

    async def flood(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 2**20})
        finally:
            gone.set()

    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(WebSocketProtocol, "CLOSE_SECONDS", 0.2)
    async with serving(flood) as port, connected(port, receive_buffer=4096) as client:
        await client.send(HANDSHAKE)
        await client.reader.readuntil(b"\r\n\r\n")
        client.stop_reading()
        await asyncio.wait_for(gone.wait(), 5)
