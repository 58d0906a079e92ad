"""A backend that does what the path says, in a thread of its own, and remembers what reached it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support import read_head

PIECE = b"0123456789abcdef" * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that reached the backend."""

    line: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    trailers: list[tuple[bytes, bytes]]


@dataclass
class Backend:
    """What it saw, and where it listens."""

    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)  # request lines, before their bodies have come
    gone: list[str] = field(default_factory=list)  # request lines whose connection was closed while they hung

    def body_of(self, path: str) -> bytes:
        """The body of the one request with this path."""
        (seen,) = [seen for seen in self.seen if seen.line.split(" ")[1] == path]
        return seen.body

    def paths(self, prefix: str) -> list[str]:
        """The paths below `prefix` that reached it, in order."""
        return [path for seen in self.seen if (path := seen.line.split(" ")[1]).startswith(prefix)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._exchange(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *rest = (await read_head(reader)).decode("latin-1").split("\r\n")[:-2]
        headers = _fields(rest)
        self.heads.append(line)
        body, trailers = await _body(reader, dict(headers))
        self.seen.append(Seen(line, headers, body, trailers))
        await self._answer(line, body, reader, writer)

    async def _answer(self, line: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, path, _ = line.split(" ")
        _, kind, *argument = path.partition("?")[0].strip("/").split("/")
        if kind == "hang":
            await reader.read()
            self.gone.append(line)
            raise ConnectionError
        if kind == "status":
            writer.write(
                f"HTTP/1.1 {argument[0]} X\r\n".encode() + (b"\r\n" if argument[0] == "204" else b"ETag: x\r\n\r\n")
            )
        elif kind == "chunks":
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            writer.write(head if method == "HEAD" else head + b"2\r\nok\r\n0\r\n\r\n")
        elif kind == "whole":
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n" % argument[0].encode() + b"x" * int(argument[0])
            )
        elif kind == "big":
            await _big(int(argument[0]), writer)
        elif kind == "cut":
            writer.write(_CUT[argument[0]])
            await writer.drain()
            raise ConnectionError
        elif kind == "events":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            await reader.read()
            self.gone.append(line)
            raise ConnectionError
        else:
            text = f"{method} {path} ".encode() + body
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text)
            writer.write(head if method == "HEAD" else head + text)


_CUT = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
}


async def _big(size: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    for start in range(0, size, len(PIECE)):
        writer.write(PIECE[: size - start])
        await writer.drain()


def _fields(lines: list[str]) -> list[tuple[bytes, bytes]]:
    pairs = [line.partition(":") for line in lines]
    return [(name.lower().encode("latin-1"), value.strip().encode("latin-1")) for name, _, value in pairs]


async def _body(reader: asyncio.StreamReader, fields: dict[bytes, bytes]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    if b"transfer-encoding" not in fields:
        return await reader.readexactly(int(fields.get(b"content-length", b"0"))), []
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    trailers = []
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        trailers.append(line.decode("latin-1").rstrip())
    return body, _fields(trailers)


@contextmanager
def running_backend() -> Iterator[Backend]:
    """A backend until the end of the block."""
    backend = Backend()
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_server(backend.serve, "127.0.0.1", 0, limit=1024 * 1024)
        backend.port = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    started.wait()
    try:
        yield backend
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
