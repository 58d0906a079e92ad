"""HTTP/1.1 as tests speak it: raw on both sides of the gateway, so that nothing is tidied up on the way."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Wire:
    """One message: its start line, header lines with names in lower case, body, and trailers."""

    start: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.start.split()[1])

    @property
    def fields(self) -> dict[str, str]:
        return dict(self.headers)

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.headers if other == name]


async def read_head(reader: asyncio.StreamReader) -> Wire:
    """The head of the next message."""
    start, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
    return Wire(start, [_pair(line) for line in lines])


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()


async def read_message(reader: asyncio.StreamReader, *, bodyless: bool = False) -> Wire:
    """The next message, whole. Raises IncompleteReadError where it is cut short."""
    message = await read_head(reader)
    fields = message.fields
    if bodyless:
        return message
    if fields.get("transfer-encoding") == "chunked":
        while piece := await read_chunk(reader):
            message.body += piece
        while (line := (await reader.readuntil(b"\r\n"))[:-2]) != b"":
            message.trailers.append(_pair(line.decode("latin-1")))
    elif "content-length" in fields:
        message.body = await reader.readexactly(int(fields["content-length"]))
    elif message.start.startswith("HTTP/"):
        message.body = await reader.read()
    return message


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """The next chunk; b"" for the last one, whose trailer section is still to come."""
    size = int(await reader.readuntil(b"\r\n"), 16)
    if not size:
        return b""
    return (await reader.readexactly(size + 2))[:-2]


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a local port, given 20 seconds for all that is done with it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.close()


def answering(*answers: bytes) -> Script:
    """A backend that gives these answers in turn, on every connection anew, and then closes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await read_message(reader)
            writer.write(answer)
            await writer.drain()

    return script


def always(answer: bytes) -> Script:
    """A backend that gives the same answer to every request, and never closes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_message(reader)
            writer.write(answer)
            await writer.drain()

    return script


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a RST."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()
