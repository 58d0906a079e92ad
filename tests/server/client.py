"""A client that says exactly what a test wants, byte by byte if need be, and takes apart what comes back."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import orjson


@dataclass(frozen=True, slots=True)
class Answer:
    """One response."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def problem(self) -> str:
        """The problem type, without its prefix."""
        return str(orjson.loads(self.body)["type"]).rpartition(":")[2]


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.socket: socket.socket = writer.get_extra_info("socket")

    async def send(self, data: bytes, *, piece: int = 0) -> None:
        """Send it, in one write or in pieces that each get a packet of their own."""
        if not piece:
            self.writer.write(data)
            await self.writer.drain()
            return
        for start in range(0, len(data), piece):
            self.writer.write(data[start : start + piece])
            await asyncio.sleep(0)

    async def answer(self, method: str = "GET", *, seconds: float = 30.0) -> Answer:
        """The next response, final or interim. Raises IncompleteReadError where it is cut short."""
        async with asyncio.timeout(seconds):
            head = await self.reader.readuntil(b"\r\n\r\n")
            line, *rest = head[:-4].split(b"\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in rest)}
            status = int(line.split(b" ")[1])
            if status < 200 or status in (204, 304) or method == "HEAD":
                return Answer(status, headers, b"")
            return Answer(status, headers, await self._body(headers))

    async def _body(self, headers: dict[bytes, bytes]) -> bytes:
        if b"content-length" in headers:
            return await self.reader.readexactly(int(headers[b"content-length"]))
        if b"transfer-encoding" not in headers:
            return await self.reader.read()
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return body

    async def rest(self, seconds: float = 30.0) -> bytes:
        """Everything until the gateway closes. Raises ConnectionResetError where it resets the connection."""
        async with asyncio.timeout(seconds):
            return await self.reader.read()

    def stop_reading(self) -> None:
        """Leave what comes in the kernel's buffers."""
        cast(asyncio.Transport, self.writer.transport).pause_reading()

    def reset(self) -> None:
        """Go away with a reset instead of an orderly end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def connected(port: int, *, receive_buffer: int | None = None, address: str = "") -> AsyncIterator[Client]:
    """A connection to a port of this machine, from an address of it. A small buffer makes a slow reader felt."""
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if address:
        sock.bind((address, 0))
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096 if receive_buffer else 2**20)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def statuses(received: bytes) -> list[int]:
    """The status of every response in a stream."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", received)]
