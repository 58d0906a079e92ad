"""A backend that answers on command, and requests to a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from websockets.asyncio.server import ServerConnection, serve

from tests.support import GatewayProcess, eventually, read_head, scripted_backend


class Backend:
    """Answers "ok"; below /slow only once `release` is set, below /events an event, and the last one after that."""

    def __init__(self) -> None:
        self.port = 0
        self.release = asyncio.Event()
        self.arrived = 0  # requests
        self.slow = 0  # those below /slow
        self.open = 0  # connections
        self.opened = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection."""
        self.open += 1
        self.opened += 1
        try:
            while True:
                head = await read_head(reader)
                self.arrived += 1
                await self._answer(head.split()[1], writer)
        finally:
            self.open -= 1

    async def _answer(self, path: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/events" in path:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            writer.write(b"d\r\ndata: first\n\n\r\n")
            await self.release.wait()
            writer.write(b"c\r\ndata: last\n\n\r\n0\r\n\r\n")
            return
        if b"/slow" in path:
            self.slow += 1
            await self.release.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


@asynccontextmanager
async def backend() -> AsyncIterator[Backend]:
    """A running one."""
    answering = Backend()
    async with scripted_backend(answering) as answering.port:
        yield answering


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def websocket_backend() -> AsyncIterator[int]:
    """An echo; its port."""
    async with serve(_echo, "127.0.0.1", 0, compression=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


def health(gateway: GatewayProcess) -> dict[str, Any]:
    """What /health of the admin port says of the configuration."""
    config: dict[str, Any] = httpx2.get(admin_url(gateway, "/health"), timeout=30).json()
    return config


def get(gateway: GatewayProcess, path: str) -> httpx2.Response:
    """The answer of the gateway."""
    return httpx2.get(gateway.url + path, timeout=30)


def admin_url(gateway: GatewayProcess, path: str) -> str:
    """An address of the admin API."""
    return f"http://127.0.0.1:{gateway.admin_port}{path}"


def reload(gateway: GatewayProcess) -> httpx2.Response:
    """Ask for a reload, as an operator does."""
    return httpx2.post(admin_url(gateway, "/reload"), timeout=60, headers=gateway.admin_token)


async def answers(gateway: GatewayProcess, path: str, text: str) -> None:
    """Wait until the gateway gives this answer."""
    await eventually(lambda: get(gateway, path).text == text, message=f"no {text!r}: {gateway.log}")
