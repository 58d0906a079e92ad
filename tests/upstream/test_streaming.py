"""Bodies as streams: as they come, both ways at once, and never more of them in memory than a little."""

from __future__ import annotations

import asyncio

import pytest

from tests.support import eventually
from tests.upstream.conftest import Sites
from tests.upstream.wire import OK, Script, answering, connected, read_chunk, read_head, read_message

MIB = 1024 * 1024
LARGE = 256 * MIB
PIECE = b"x" * 65536


async def test_download_is_bounded(sites: Sites) -> None:
    """A large download, read by nobody for a while and then by the client, never piles up in the gateway."""
    stalled = asyncio.Event()
    sent = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
        for _ in range(LARGE // len(PIECE)):
            writer.write(PIECE)
            sent += len(PIECE)
            try:
                await asyncio.wait_for(writer.drain(), 0.3)
            except TimeoutError:
                stalled.set()
                await writer.drain()

    async with sites.backend(script) as backend, connected(sites.gateway.port) as (reader, writer):
        before = sites.gateway.memory()
        writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % f"{backend.path}/x".encode())
        await read_head(reader)
        await stalled.wait()
        assert sent < 32 * MIB
        left = LARGE
        while left:
            left -= len(await reader.read(MIB))
        assert sites.gateway.memory() < before + 4 * MIB
        assert sites.gateway.memory() < 80 * MIB


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_upload_is_bounded(sites: Sites, chunked: bool) -> None:
    """A large upload waits while the backend does not read, and never piles up in the gateway."""
    size = LARGE if not chunked else LARGE // 4
    read_on = asyncio.Event()
    received = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        head = await read_head(reader)
        assert ("transfer-encoding" in head.fields) is chunked
        await read_on.wait()
        while received < size:
            received += len(await read_chunk(reader) if chunked else await reader.read(MIB))
        if chunked:
            assert await read_chunk(reader) == b""
        writer.write(OK)

    async def upload(writer: asyncio.StreamWriter) -> None:
        for _ in range(size // len(PIECE)):
            writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
            try:
                await asyncio.wait_for(writer.drain(), 0.3)
            except TimeoutError:
                read_on.set()
                await writer.drain()
        writer.write(b"0\r\n\r\n" if chunked else b"")

    async with sites.backend(script) as backend, connected(sites.gateway.port) as (reader, writer):
        before = sites.gateway.memory()
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % (f"{backend.path}/x".encode(), framing))
        sending = asyncio.create_task(upload(writer))
        assert (await read_message(reader)).body == b"ok"
        await sending
        assert received == size
        assert sites.gateway.memory() < before + 4 * MIB


@pytest.mark.parametrize("ends", ["closes", "stays"])
async def test_early_response(sites: Sites, ends: str) -> None:
    """A response that comes while the upload is still going reaches the client, and the connection is not reused."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        if ends == "stays":
            await reader.read()

    async with sites.backend(script) as backend:
        for _ in range(10):
            async with connected(sites.gateway.port) as (reader, writer):
                writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\n" % f"{backend.path}/x".encode())
                writer.write(b"Content-Length: %d\r\n\r\n" % MIB + b"x" * 1000)
                response = await read_message(reader)
                assert (response.status, response.body) == (403, b"no")
        assert backend.accepted == 10


async def test_full_duplex(sites: Sites) -> None:
    """Request and response stream at the same time: each piece is echoed before the next one is sent."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while piece := await read_chunk(reader):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")

    async with sites.backend(script) as backend, connected(sites.gateway.port) as (reader, writer):
        writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\n" % f"{backend.path}/x".encode())
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        await read_head(reader)
        for number in range(20):
            writer.write(b"4\r\n%04d\r\n" % number)
            assert await read_chunk(reader) == b"%04d" % number
        writer.write(b"0\r\n\r\n")
        assert await read_chunk(reader) == b""


async def test_trailers(sites: Sites) -> None:
    """Trailers pass both ways."""
    requests = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            requests.append(await read_message(reader))
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
            writer.write(b"2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n")

    async with sites.backend(script) as backend, connected(sites.gateway.port) as (reader, writer):
        for _ in range(2):
            writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n" % f"{backend.path}/x".encode())
            writer.write(b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Up: 8\r\n\r\n")
            response = await read_message(reader)
            assert (response.body, response.trailers) == (b"ok", [("x-sum", "7")])
        assert [(request.body, request.trailers) for request in requests] == [(b"abc", [("x-up", "8")])] * 2
        assert requests[0].fields["te"] == "trailers"
        assert backend.accepted == 1


async def test_expect_continue(sites: Sites) -> None:
    """A client that waits for 100 gets it, once, and the backend is not asked for one."""
    heads = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_message(reader))
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)

    async with sites.backend(script) as backend, connected(sites.gateway.port) as (reader, writer):
        writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n" % f"{backend.path}/x".encode())
        writer.write(b"Expect: 100-continue\r\n\r\n")
        assert (await read_head(reader)).status == 100
        writer.write(b"hi")
        assert (await read_message(reader)).status == 200
        assert (heads[0].body, "expect" in heads[0].fields) == (b"hi", False)


def events(go: asyncio.Event, count: int) -> Script:
    """An event stream: its head at once, the rest when told."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(count):
            await go.wait()
            event = b"data: %d\n\n" % number
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    return script


async def test_events_one_by_one(sites: Sites) -> None:
    """The head of an event stream and each event reach the client when they come, not when more has come."""
    turn = asyncio.Queue[bytes]()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while event := await turn.get():
            writer.write(event)

    async with sites.backend(script) as backend, connected(sites.gateway.port) as (reader, writer):
        writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % f"{backend.path}/x".encode())
        assert (await read_head(reader)).fields["content-type"] == "text/event-stream"
        for number in range(5):
            turn.put_nowait(b"data: %d\n\n" % number)
            assert await read_chunk(reader) == b"data: %d\n\n" % number
        turn.put_nowait(b"")
        assert await read_chunk(reader) == b""


async def test_event_streams_may_be_silent(sites: Sites) -> None:
    """An event stream outlives silence of any length where the route does not bound it."""
    go = asyncio.Event()
    async with sites.backend(events(go, 1)) as backend, connected(sites.gateway.port) as (reader, writer):
        writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % f"{backend.path}/x".encode())
        await read_head(reader)
        go.set()
        assert await read_chunk(reader) == b"data: 0\n\n"


async def test_200_event_streams(sites: Sites) -> None:
    """200 clients each get every event of their own stream."""
    go = asyncio.Event()
    async with sites.backend(events(go, 10)) as backend:

        async def listen() -> bytes:
            async with connected(sites.gateway.port) as (reader, writer):
                writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % f"{backend.path}/x".encode())
                return (await read_message(reader)).body

        listening = [asyncio.create_task(listen()) for _ in range(200)]
        await eventually(lambda: backend.open == 200)
        go.set()
        expected = b"".join(b"data: %d\n\n" % number for number in range(10))
        assert set(await asyncio.gather(*listening)) == {expected}


async def test_whole_response_to_a_slow_reader(sites: Sites) -> None:
    """A response that the backend finished long ago is not cut off under a client that reads slowly."""
    size = 24 * MIB
    async with (
        sites.backend(
            answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size), "impatient"
        ) as backend,
        connected(sites.gateway.port) as (reader, writer),
    ):
        writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % f"{backend.path}/x".encode())
        await read_head(reader)
        await asyncio.sleep(0.8)
        assert len(await reader.readexactly(size)) == size
