"""Bodies as streams: as they come, both ways at once, and never more of them in memory than a little."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

import pytest

from tests.support import eventually
from tests.upstream.conftest import Sites
from tests.upstream.wire import OK, Script, Wire, always, answering, connected, read_chunk, read_head, read_message

MIB = 1024 * 1024
LARGE = 256 * MIB
PIECE = b"x" * 65536


async def test_download_is_bounded(sites: Sites) -> None:
    """A large download, not read for a while, never piles up in the gateway."""
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
        # The gateway has served other tests before: how many, and so what it holds already, differs from run to run.
        assert sites.gateway.memory() < 96 * MIB


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_downloads_beside_each_other(sites: Sites, framing: str) -> None:
    """Each client gets its own bytes, all and in their order, though one of them reads when the others are done."""
    size = 6 * MIB
    bodies = [Random(number).randbytes(size) for number in range(3)]
    head = {"length": f"Content-Length: {size}", "chunked": "Transfer-Encoding: chunked", "close": "Connection: close"}

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = memoryview(bodies[int((await read_message(reader)).fields["x-number"])])
        writer.write(f"HTTP/1.1 200 OK\r\n{head[framing]}\r\n\r\n".encode())
        pieces = Random(0)  # from a single byte to more than one read takes
        while body:
            most = pieces.choice((1, 100, 65536, 300_000))
            piece, body = bytes(body[:most]), body[most:]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if framing == "chunked" else piece)
            await writer.drain()
        writer.write(b"0\r\n\r\n" if framing == "chunked" else b"")
        if framing == "close":
            writer.close()

    async with sites.backend(script) as backend, contextlib.AsyncExitStack() as clients:

        async def begun(number: int) -> asyncio.StreamReader:
            reader, writer = await clients.enter_async_context(connected(sites.gateway.port))
            writer.write(f"GET {backend.path}/x HTTP/1.1\r\nHost: x\r\nX-Number: {number}\r\n\r\n".encode())
            return reader

        late, *others = [await begun(number) for number in range(3)]
        for number, reader in enumerate(others, 1):
            assert (await read_message(reader)).body == bodies[number]
        assert (await read_message(late)).body == bodies[0]


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


NO_TRAILERS = [
    *("Set-Cookie: a=b", "Content-Type: text/html", "Host: evil", "Location: /", "Vary: *"),
    *("Cache-Control: public", "Expires: 0", "Age: 1", "WWW-Authenticate: Basic", "Authorization: x", "Set_Cookie: a"),
    "Content.Type: a",
    *("Content-Encoding: gzip", "Content-Range: bytes 0-1/2", "Connection: close", "Upgrade: x", "Trailer: x"),
    *("X-Forwarded-For: 1.2.3.4", "X-Request-ID: 1", "Access-Control-Allow-Origin: *", "If-Match: x", "TE: x"),
]


@pytest.mark.parametrize("wanted", ["", "TE: trailers\r\n"])
async def test_trailers_are_not_what_only_a_head_may_say(sites: Sites, wanted: str) -> None:
    """What a recipient goes by before the body stays out of the trailer section, both ways (RFC 9110, 6.5.1)."""
    section = "\r\n".join([*NO_TRAILERS, "Grpc-Status: 0", "Content-Digest: x", "ETag: y", "", ""]).encode()
    requests = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_message(reader))
        writer.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\n" + section
        )

    async with sites.backend(script) as backend, connected(sites.gateway.port) as (reader, writer):
        writer.write(f"POST {backend.path}/x HTTP/1.1\r\nHost: x\r\n{wanted}".encode())
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + section)
        response = await read_message(reader)
        expected = [("grpc-status", "0"), ("content-digest", "x"), ("etag", "y")]
        assert (response.trailers, requests[0].trailers) == (expected, expected)


# Expect: 100-continue.


def expecting(path: str, *lines: str, method: str = "POST") -> bytes:
    """A request head whose sender waits to be asked for the body."""
    lines = lines or ("Content-Length: 2",)
    return "\r\n".join([f"{method} {path}/x HTTP/1.1", "Host: x", "Expect: 100-continue", *lines, "", ""]).encode()


@pytest.mark.parametrize("framing", ["Content-Length: 2", "Transfer-Encoding: chunked"])
async def test_a_backend_that_wants_the_body_gets_it(sites: Sites, framing: str) -> None:
    """Its 100 reaches the client, once, and both connections go on."""
    seen = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            assert head.fields["expect"] == "100-continue"
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            seen.append(await (read_chunk(reader) if "chunked" in framing else reader.readexactly(2)))
            if "chunked" in framing:
                await reader.readuntil(b"0\r\n\r\n")
            writer.write(OK)

    async with sites.backend(script) as backend, connected(sites.gateway.port) as (reader, writer):
        for _ in range(2):
            writer.write(expecting(backend.path, framing))
            assert (await read_head(reader)).status == 100
            writer.write(b"2\r\nhi\r\n0\r\n\r\n" if "chunked" in framing else b"hi")
            assert (await read_message(reader)).status == 200
        assert (seen, backend.accepted) == ([b"hi", b"hi"], 1)


@pytest.mark.parametrize("answer", [b"413 Request Entity Too Large", b"417 Expectation Failed", b"200 OK"])
async def test_a_backend_that_does_not_want_the_body_gets_none(sites: Sites, answer: bytes) -> None:
    """Its answer comes instead of the 100, and both connections end: neither side knows whether a body follows."""
    rest = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\nno" % answer)
        rest.append(await reader.read())

    async with sites.backend(script) as backend:
        async with connected(sites.gateway.port) as (reader, writer):
            writer.write(expecting(backend.path, "Content-Length: 3000000"))
            response = await read_message(reader)
            assert (response.start, response.body) == (f"HTTP/1.1 {answer.decode()}", b"no")
            assert response.fields["connection"] == "close"
            writer.write(b"x" * 100_000)
            writer.write_eof()
            assert await reader.read() == b""
        await eventually(lambda: rest == [b""])


async def test_a_backend_that_says_nothing_does_not_hold_the_client_up(sites: Sites) -> None:
    """After a second the client is asked for the body all the same."""

    async with sites.backend(always(OK)) as backend, connected(sites.gateway.port) as (reader, writer):
        started = asyncio.get_running_loop().time()
        writer.write(expecting(backend.path))
        assert (await read_head(reader)).status == 100
        assert 0.9 < asyncio.get_running_loop().time() - started < 30  # without, it waits for as long as the backend
        writer.write(b"hi")
        assert (await read_message(reader)).status == 200


async def test_a_client_that_does_not_wait_for_100_is_not_made_to(sites: Sites) -> None:
    """Its body goes on with its head, and the backend is not asked whether it wants it."""
    heads = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_message(reader))
        writer.write(OK)

    async with sites.backend(script) as backend, connected(sites.gateway.port) as (reader, writer):
        writer.write(expecting(backend.path) + b"hi")
        assert (await read_message(reader)).status == 200
        assert (heads[0].body, "expect" in heads[0].fields) == (b"hi", False)


async def test_an_expectation_on_a_connection_that_died(sites: Sites) -> None:
    """What can be sent twice is asked for again on a fresh connection, with its body only where that is wanted."""
    heads: list[Wire] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not heads:
            await read_message(reader)
            writer.write(OK)
            heads.append(await read_head(reader))
            return
        heads.append(await read_head(reader))
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(2) == b"hi"
        writer.write(OK)

    async with sites.backend(script) as backend:
        assert (await sites.get(backend.path + "/x")).status == 200
        async with connected(sites.gateway.port) as (reader, writer):
            writer.write(expecting(backend.path, method="PUT"))
            assert (await read_head(reader)).status == 100
            writer.write(b"hi")
            assert (await read_message(reader)).status == 200
        assert [head.fields.get("expect") for head in heads] == ["100-continue", "100-continue"]


def events(go: asyncio.Event, count: int) -> Script:
    """An event stream: its head at once, the rest on command."""

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
        await asyncio.sleep(2.5)
        assert len(await reader.readexactly(size)) == size
