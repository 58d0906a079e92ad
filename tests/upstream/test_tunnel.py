"""Two connections, joined: what a client or a backend can do to others through a tunnel, and what it costs."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import threading
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.extensions.permessage_deflate import PerMessageDeflate

from bench.machine import cpu_seconds
from gateway.deadlines import Deadlines
from gateway.http.frames import RESTART, FrameReader
from gateway.turns import ClientTurns, Turns
from gateway.upstream.tunnel import CLOSE_LIMIT, Tunnel
from gateway.upstream.tunnel_side import READ_BUFFER, Side
from tests.support import eventually
from tests.upstream.conftest import Sites
from tests.upstream.test_websocket import client, echo, websocket_backend
from tests.upstream.wire import connected, read_message

PING = b"\x89\x80\0\0\0\0"
HANDSHAKE = (
    b"GET %b/ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
FLOODS = {
    "empty pings": PING * 1000,
    "pongs": b"\x8a\x80\0\0\0\0" * 1000,
    "one byte": b"\x82\x81\0\0\0\0x" * 1000,
    "empty continuations": b"\x02\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 1000 + b"\x80\x80\0\0\0\0",
}


async def test_compression_is_between_client_and_backend(sites: Sites) -> None:
    """permessage-deflate is agreed on end to end, and what is sent compressed arrives as it was."""
    seen: list[bool] = []

    async def handler(server: ServerConnection) -> None:
        seen.append(any(isinstance(each, PerMessageDeflate) for each in server.protocol.extensions))
        await echo(server)

    async with websocket_backend(sites, handler) as backend, client(sites, backend, compression="deflate") as one:
        assert any(isinstance(each, PerMessageDeflate) for each in one.protocol.extensions)
        for message in ("a" * 100_000, random.randbytes(100_000), "", b"", "x"):
            await one.send(message)
            assert await one.recv() == message
        await one.send(["many ", "fragments ", "of one message"])
        assert await one.recv() == "many fragments of one message"
    assert seen == [True]


async def test_compression_is_not_forced_on_anyone(sites: Sites) -> None:
    """Where the backend does not want it, there is none."""
    serving = websocket_backend(sites, echo, compression=None)
    async with serving as backend, client(sites, backend, compression="deflate") as one:
        assert one.protocol.extensions == []
        await one.send("plain")
        assert await one.recv() == "plain"


async def test_a_reserved_bit_needs_an_extension(sites: Sites) -> None:
    """A compressed message where compression was not agreed on ends the WebSocket with 1002, on both sides."""
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def handler(server: ServerConnection) -> None:
        await server.wait_closed()
        codes.put_nowait(server.close_code)

    async with websocket_backend(sites, handler) as backend, client(sites, backend) as one:
        data = zlib.compress(b"x")
        one.transport.write(bytes([0xC1, 0x80 | len(data), 0, 0, 0, 0]) + data)
        await asyncio.wait_for(one.wait_closed(), 30)
        assert one.close_code == 1002
        assert await asyncio.wait_for(codes.get(), 30) == 1002


@pytest.mark.xdist_group("floods of frames")  # two at once would take the machine from each other
@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_of_small_frames_leaves_others_alone(sites: Sites, kind: str) -> None:
    """A client that sends them as fast as possible does not keep another WebSocket from its echo: the gateway works
    on its frames for a moment only between what the other sends and its answer."""
    over = threading.Event()

    def send(writing: socket.socket) -> None:
        with suppress(OSError):
            while not over.is_set():
                writing.sendall(FLOODS[kind] * 100)

    def receive(reading: socket.socket) -> None:
        with suppress(OSError):
            while not over.is_set():
                reading.recv(2**20)

    async def sink(server: ServerConnection) -> None:
        server.transport.pause_reading()  # or this loop would be what is slow
        with server.transport.get_extra_info("socket").dup() as reading:
            reading.settimeout(30)
            await asyncio.to_thread(receive, reading)
        server.transport.abort()

    async def flood(path: str) -> None:
        with socket.create_connection(("127.0.0.1", sites.gateway.port), 30) as writing:
            writing.sendall(HANDSHAKE % path.encode())
            assert (await asyncio.to_thread(writing.recv, 4096)).startswith(b"HTTP/1.1 101 ")
            await asyncio.to_thread(send, writing)

    async def work_for_an_echo(one: ClientConnection) -> float:
        """Seconds that the gateway computes: how long the echo takes depends on what else runs on this machine."""
        works = []
        for _ in range(30):
            before = cpu_seconds(sites.gateway.pid)
            await one.send("hello")
            await one.recv()
            works.append(cpu_seconds(sites.gateway.pid) - before)
        return sorted(works)[len(works) // 2]

    async with (
        websocket_backend(sites, echo) as backend,
        websocket_backend(sites, sink) as flooded,
        client(sites, backend) as one,
    ):
        task = asyncio.create_task(flood(flooded.path))
        try:
            await asyncio.sleep(0.3)
            disturbed = await work_for_an_echo(one)
            assert not task.done()  # or nothing was flooded
        finally:
            over.set()
            await task
    assert disturbed < 0.015  # without turns twice to six times that much


async def test_who_reads_nothing_costs_little(sites: Sites) -> None:
    """Neither the pongs to a client that does not read, nor large messages of one that closes, pile up."""
    async with websocket_backend(sites, echo) as backend:
        before = sites.gateway.memory()
        async with client(sites, backend) as one:
            one.transport.pause_reading()
            ping = bytes([0x89, 0x80 | 125, 0, 0, 0, 0]) + bytes(125)
            for _ in range(40):
                one.transport.write(ping * 2000)
                await asyncio.sleep(0.02)
            assert sites.gateway.memory() < before + 8 * 1024 * 1024
            one.transport.abort()
        for _ in range(3):
            async with client(sites, backend) as one:
                one.transport.pause_reading()
                for _ in range(6):
                    one.transport.write(bytes([0x82, 0xFF]) + (15 * 2**20).to_bytes(8, "big") + bytes(4))
                    one.transport.write(bytes(15 * 2**20))
                await asyncio.sleep(0.2)
                one.transport.abort()
        assert sites.gateway.memory() < before + 8 * 1024 * 1024


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("orderly", [True, False])
async def test_a_tunnel_is_freed_when_it_closes(no_collector: None, orderly: bool) -> None:
    """Without waiting for a collector."""
    of_others = _parts_of_tunnels()  # what tests before this one have left is kept for as long as this one runs
    async with far_ends() as (server, far):
        tunnel = await tunnel_to(server, far)
        if orderly:
            far[0][1].write(b"\x88\x82\0\0\0\0\x03\xe8")
            far[1][1].write(b"\x88\x02\x03\xe8")
        for _, writer in far:
            writer.close()
        await asyncio.wait_for(tunnel.ended, 30)
        assert len(_parts_of_tunnels(of_others)) == 5
        del tunnel  # which holds the others, and nothing else does once the loop has closed its connections
        await eventually(lambda: not _parts_of_tunnels(of_others))


HALVES = {"client": b"\x82\xfe\x03\xe8\0\0\0\0half", "backend": b"\x82\x7e\x03\xe8half"}


@pytest.mark.parametrize("kind", HALVES)
async def test_who_never_completes_a_frame_is_cut_off(kind: str) -> None:
    """Once the gateway has closed a WebSocket, an end that sends a frame byte by byte has half a minute for it."""
    async with far_ends() as (server, far):
        tunnel = await tunnel_to(server, far)
        (_, writer), (reader, _) = far if kind == "client" else reversed(far)
        writer.write(HALVES[kind])
        await reader.readexactly(len(HALVES[kind]))
        tunnel.close(RESTART)
        now = asyncio.get_running_loop().time()
        seconds = 0
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while seconds < 60:
                writer.write(b"x")
                await reader.readexactly(1)
                seconds += 1
                if tunnel.deadline <= now + seconds:
                    tunnel.expired(now + seconds)  # as the clock does
        assert CLOSE_LIMIT <= seconds <= CLOSE_LIMIT + 1
        await asyncio.wait_for(tunnel.ended, 30)


FarEnds = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


@asynccontextmanager
async def far_ends() -> AsyncIterator[tuple[asyncio.Server, FarEnds]]:
    """A server, and what has connected to it."""
    far: FarEnds = []
    server = await asyncio.start_server(lambda *streams: far.append(streams), "127.0.0.1", 0)
    try:
        yield server, far
    finally:
        for _, writer in far:
            writer.close()
        server.close()


async def tunnel_to(server: asyncio.Server, far: FarEnds) -> Tunnel:
    """A tunnel between a client and a backend, which are two connections to that server."""
    buffer = memoryview(bytearray(READ_BUFFER))
    loop = asyncio.get_running_loop()

    async def side(*, upstream: bool) -> Side:
        transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        frames = FrameReader(masked=not upstream, max_message=1000)
        await eventually(lambda: len(far) == 1 + upstream)
        return Side(transport, b"", frames, buffer, ClientTurns(Turns(), b""), masks=upstream)

    tunnel = Tunnel(Deadlines(loop), 30)
    tunnel.begin(await side(upstream=False), await side(upstream=True))
    return tunnel


def _parts_of_tunnels(besides: Sequence[object] = ()) -> list[object]:
    known = {id(each) for each in besides}
    return [
        each for each in gc.get_objects() if isinstance(each, (Side, FrameReader, Tunnel)) and id(each) not in known
    ]


REFUSALS = {
    "HTTP/1.0": (b"HTTP/1.0 403 Forbidden\r\n\r\nno", 403),
    "no reason phrase": (b"HTTP/1.1 401\r\nContent-Length: 2\r\n\r\nno", 401),
    "a long header line, and chunks": (
        b"HTTP/1.1 503 Busy\r\nX-Long: "
        + b"x" * 20_000
        + b"\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        503,
    ),
    "a hint first": (
        b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 429 Slow\r\nContent-Length: 2\r\n\r\nno",
        429,
    ),
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_refusals_of_all_kinds_reach_the_client(sites: Sites, kind: str) -> None:
    """With their status and body, as any response does."""
    answer, status = REFUSALS[kind]

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with sites.backend(script) as backend, connected(sites.gateway.port) as (reader, writer):
        writer.write(HANDSHAKE % backend.path.encode())
        if kind == "a hint first":
            assert (await read_message(reader, bodyless=True)).fields["link"] == "</a>"
        message = await read_message(reader)
        assert (message.status, message.body) == (status, b"no")
