"""WebSocket handshakes, which are requests like any other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from websockets.asyncio.server import ServerConnection, serve

from gateway.http.frames import mask
from gateway.http.handshake import accept_of
from tests.server.client import Client, connected
from tests.server.conftest import BEFORE_LONG, Site
from tests.support import GatewayProcess, eventually, running_gateway

KEY = b"AAAAAAAAAAAAAAAAAAAAAA=="
PING = b"\x89\x80\0\0\0\0"


def handshake(path: str = "/ws", *lines: str, host: str = "a", drop: str = "") -> bytes:
    usual = [f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    usual.append(f"Sec-WebSocket-Key: {KEY.decode()}")
    kept = [line for line in usual if not drop or not line.startswith(drop)]
    return "\r\n".join([f"GET {path} HTTP/1.1", *kept, *lines, "", ""]).encode("latin-1")


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """A short frame of a client, masked with zeros."""
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


async def opened(client: Client, data: bytes) -> bytes:
    """Send a handshake and read the 101; its head."""
    await client.send(data)
    head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 30)
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert accept_of(KEY) in head
    return head


async def echoed(client: Client, payload: bytes) -> None:
    await client.send(frame(2, payload))
    size = len(payload)
    assert await asyncio.wait_for(client.reader.readexactly(2 + size), 30) == bytes([0x82, size]) + payload


async def _echo(server: ServerConnection) -> None:
    async for message in server:
        await server.send(message)


class Echo:
    """A gateway before a backend that echoes, and the targets and Hosts that this was asked for."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.gateway = gateway
        self.asked: list[tuple[str, list[str]]] = []

    @property
    def port(self) -> int:
        return self.gateway.port

    def records(self) -> list[dict[str, object]]:
        return [orjson.loads(line) for line in self.gateway.access_log.splitlines()]


@asynccontextmanager
async def echo_site(path: Path, limits: str = "") -> AsyncIterator[Echo]:
    async with serve(_echo, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with running_gateway(path, f"routes: [{{path: /*, target: '127.0.0.1:{port}'}}]", limits) as gateway:
            yield Echo(gateway)
        assert "Traceback" not in gateway.log
        assert "never retrieved" not in gateway.log


@pytest.mark.parametrize("piece", [0, 1])
async def test_a_refused_handshake(site: Site, piece: int) -> None:
    """A handshake on a path without a route gets the problem, as any request does."""
    async with connected(site.port) as client:
        await client.send(handshake("/none"), piece=piece)
        answer = await client.answer()
        assert (answer.status, answer.problem) == (404, "no-route")
        await client.rest()


@pytest.mark.parametrize(
    ("data", "status", "problem"),
    [
        (handshake("/w", "Sec-WebSocket-Key: " + KEY.decode()), 400, "bad-request"),
        (handshake("/w", "Sec-WebSocket-Version: 13"), 400, "bad-request"),
        (handshake("/w", drop="Sec-WebSocket-Key"), 400, "bad-request"),
        (handshake("/w", drop="Sec-WebSocket-Version"), 426, "upgrade-required"),
        (handshake("/w", "Sec-WebSocket-Protocol: a b"), 400, "bad-request"),
        (handshake("/w", "Content-Length: 1"), 400, "bad-request"),
        (handshake("/w", "X: " + "x" * 5000), 431, "headers-too-large"),
        (handshake("/w" + "x" * 600), 414, "url-too-long"),
        (handshake("/w", *["X: y"] * 30), 431, "headers-too-large"),
    ],
)
async def test_a_wrong_handshake_is_a_problem(site: Site, data: bytes, status: int, problem: str) -> None:
    """And a line in the access log."""
    path = f"/w-{os.urandom(4).hex()}"
    async with connected(site.port) as client:
        await client.send(data.replace(b"/w", path.encode(), 1))
        answer = await client.answer()
        assert (answer.status, answer.problem) == (status, problem)
        await client.rest()
    await eventually(lambda: f'"{path}' in site.gateway.access_log)


async def test_half_a_handshake_has_the_clock_of_a_head(hasty: Site) -> None:
    """It is a 408 like any other head that does not come."""
    async with connected(hasty.port) as client:
        await client.send(handshake("/e/x")[:-2])
        assert (await client.answer(seconds=BEFORE_LONG)).status == 408


async def test_a_handshake_may_be_as_large_as_limits_allow(tmp_path: Path) -> None:
    """One header line over 8,192 bytes, a URL over 8,175, more than 128 headers: each becomes a WebSocket."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        accept = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept_of(KEY)
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        writer.write(b"HTTP/1.1 101 \r\nX-Long: " + b"y" * 20_000 + b"\r\n" + accept + b"\r\n\r\n\x82\x02hi")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(script, "127.0.0.1", 0, limit=2**20)
    port = server.sockets[0].getsockname()[1]
    limits = "limits: {head: 64KiB, url: 32KiB, headers: 300}"
    with running_gateway(tmp_path, f"routes: [{{path: /*, target: '127.0.0.1:{port}'}}]", limits) as gateway:
        for data in (
            handshake("/ws", "Cookie: a=" + "x" * 20_000),
            handshake("/ws?" + "x" * 20_000),
            handshake("/ws", *[f"X-{number}: y" for number in range(250)]),
        ):
            async with connected(gateway.port) as client:
                await client.send(data)
                assert (await client.answer()).status == 103
                assert (await client.answer()).status == 101
                assert await client.reader.readexactly(4) == b"\x82\x02hi"
    server.close()


@pytest.mark.parametrize(
    ("target", "host", "sent"),
    [
        ("http://Shop.Example/ws?", "Shop.Example", "/ws?"),
        ("/ws?", "Shop.Example:80", "/ws?"),
        ("/ws;a=b//c?d=%41", "a:9999", "/ws;a=b//c?d=%41"),
        ("/ws", "[::1]:8080", "/ws"),
        ("/ws", "a:99999", "/ws"),
        ("/ws", "[.]", "/ws"),
        ("/ws", "[:::::]", "/ws"),
    ],
)
async def test_target_and_host_go_on_as_they_came(tmp_path: Path, target: str, host: str, sent: str) -> None:
    """In absolute form, with a bare question mark, and however the Host is spelled, where it is preserved."""
    heads: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(script, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    routes = f"routes: [{{path: /*, target: '127.0.0.1:{port}', preserve_host: true}}]"
    with running_gateway(tmp_path, routes) as gateway:
        async with connected(gateway.port) as client:
            await client.send(handshake(target, host=host))
            assert (await client.answer()).status == 403
        assert "Traceback" not in gateway.log
    server.close()
    line, *lines = heads[0].decode().split("\r\n")
    assert line == f"GET {sent} HTTP/1.1"
    assert f"host: {host}" in lines


async def test_frames_before_the_answer_wait_for_it(tmp_path: Path) -> None:
    """What a client sends behind its handshake reaches the backend, if it takes the WebSocket."""
    async with echo_site(tmp_path) as echo, connected(echo.port) as client:
        await opened(client, handshake() + frame(2, b"early") + frame(2, b"bird")[:4])
        assert await client.reader.readexactly(7) == b"\x82\x05early"
        await client.send(frame(2, b"bird")[4:])
        assert await client.reader.readexactly(6) == b"\x82\x04bird"


async def test_frames_behind_a_refused_handshake_are_no_request(site: Site) -> None:
    """Whatever they say."""
    async with connected(site.port) as client:
        await client.send(handshake("/none") + b"GET /e/smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).status == 404
        assert await client.rest() == b""
    assert not any("smuggled" in head for head in site.backend.heads)


async def test_an_upgrade_to_something_else_is_ignored(site: Site) -> None:
    """Such as to HTTP/2: the request is answered as it is."""
    async with connected(site.port) as client:
        lines = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        await client.send(b"GET /e/h2c HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
        assert (await client.answer()).body == b"GET /e/h2c "


async def test_a_line_in_the_access_log(tmp_path: Path) -> None:
    """With 101, the bytes of messages both ways, and what ended it, if one side is to blame."""
    async with echo_site(tmp_path) as echo:
        async with connected(echo.port) as client:
            await opened(client, handshake("/ws/fine"))
            await echoed(client, b"x" * 100)
            await client.send(frame(8, b"\x03\xe8"))
            await client.rest()
        async with connected(echo.port) as client:
            await opened(client, handshake("/ws/wrong"))
            await client.send(b"\x83\x80\0\0\0\0")
            assert (await client.rest()) == b"\x88\x02\x03\xea"
        await eventually(lambda: len(echo.records()) == 2)
        fine, wrong = sorted(echo.records(), key=lambda record: str(record["path"]))
    assert (fine["status"], fine["bytes_in"], fine["bytes_out"], fine["error"]) == (101, 100, 100, None)
    assert (wrong["status"], wrong["error"]) == (101, "bad-request: the client sent the unknown opcode 3")


async def _accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    accept = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept_of(KEY)
    writer.write(b"HTTP/1.1 101 \r\n" + accept + b"\r\n\r\n")


async def test_what_nobody_received_is_not_counted(tmp_path: Path) -> None:
    """A backend that sends without a pause is soon cut off when its client leaves, in the middle of a frame or not;
    `bytes_out` has what was on its way to the client."""
    frames = (b"\x82\x7e\x40\x00" + bytes(2**14)) * 64
    sent = 0
    over = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await _accepted(reader, writer)
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(frames)
                await writer.drain()
                sent += len(frames)
        over.set()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    routes = f"routes: [{{path: /*, target: '127.0.0.1:{server.sockets[0].getsockname()[1]}'}}]"
    with running_gateway(tmp_path, routes) as gateway:
        async with connected(gateway.port) as client:
            await opened(client, handshake())
            await client.reader.readexactly(10**6)
        await asyncio.wait_for(over.wait(), 30)
        await eventually(lambda: gateway.access_log.count("\n") == 1)
        assert 900_000 < orjson.loads(gateway.access_log)["bytes_out"] < 32 * 2**20  # buffers of the kernel included
        assert sent < 64 * 2**20
    server.close()


async def test_sigterm_ends_sessions_without_a_word_in_the_log(tmp_path: Path) -> None:
    """Each gets a close frame with 1001, those in the middle of a message are reset at the deadline, which the access
    log says of them; no traceback."""
    limits = "drain: {window: 0s, deadline: 5s}"
    async with echo_site(tmp_path, limits) as echo, connected(echo.port) as one, connected(echo.port) as other:
        await opened(one, handshake())
        await opened(other, handshake())
        await echoed(one, b"hello")
        await other.send(b"\x82\xfe\x10\x00\0\0\0\0" + b"half a message")
        await echoed(one, b"hello")  # what was sent before has come, too
        echo.gateway.signal(signal.SIGTERM)
        assert await one.reader.readexactly(4) == b"\x88\x02\x03\xe9"
        await one.send(frame(8, b"\x03\xe9"))
        assert await one.rest() == b""
        assert await other.reader.readexactly(4) == b"\x88\x02\x03\xe9"  # towards the client no frame is under way
        with pytest.raises(ConnectionResetError):
            await other.rest()
        assert await asyncio.to_thread(echo.gateway.wait, 30) == 0
        cut_off = "gateway-ended: its connection was cut off at drain.deadline"
        assert sorted(str(record["error"]) for record in echo.records()) == ["None", cut_off]


async def test_who_does_not_read_is_let_go(tmp_path: Path) -> None:
    """A client that neither reads nor answers pings does not hold its connection for ever."""
    gone = asyncio.Event()

    async def flood(server: ServerConnection) -> None:
        try:
            while True:
                await server.send(b"x" * 2**16)
        finally:
            gone.set()

    async with serve(flood, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        routes = f"routes: [{{path: /*, target: '127.0.0.1:{port}'}}]"
        with running_gateway(tmp_path, routes, "websocket: {ping_interval: 200ms}") as gateway:
            async with connected(gateway.port, receive_buffer=4096) as client:
                await opened(client, handshake())
                client.stop_reading()
                await asyncio.wait_for(gone.wait(), 60)


async def test_who_reads_slowly_is_alive(tmp_path: Path) -> None:
    """A client that answers no ping, since megabytes wait before it that it takes slowly, is not let go."""
    whole = (b"\x82\x7e\x40\x00" + bytes(2**14)) * 150

    async def burst(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _accepted(reader, writer)
        writer.write(whole)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:  # a backend that answers pings
                ping = await reader.readexactly(2 + 4 + 8)
                writer.write(b"\x8a\x08" + mask(ping[6:], ping[2:6]))
        writer.close()

    server = await asyncio.start_server(burst, "127.0.0.1", 0)
    routes = f"routes: [{{path: /*, target: '127.0.0.1:{server.sockets[0].getsockname()[1]}'}}]"
    with running_gateway(tmp_path, routes, "websocket: {ping_interval: 400ms}") as gateway:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", gateway.port), 30) as client:  # what it has read, it has taken
            client.setblocking(False)
            await loop.sock_sendall(client, handshake())
            head = await asyncio.wait_for(loop.sock_recv(client, 2**14), 30)
            received = len(head.partition(b"\r\n\r\n")[2])
            while received < len(whole):
                await asyncio.sleep(0.04)  # which is how slowly it reads
                piece = await asyncio.wait_for(loop.sock_recv(client, 2**14), 30)
                assert piece, f"the end after {received} bytes"
                received += len(piece)
        await eventually(lambda: gateway.access_log.count("\n") == 1)
        assert orjson.loads(gateway.access_log)["error"] is None
    server.close()


async def test_pings_only_to_who_is_silent(tmp_path: Path) -> None:
    """A silent client is sent a ping, whose pong goes no further; who answers nothing is told and let go, and the
    access log says why; who speaks is not asked."""
    async with echo_site(tmp_path, "websocket: {ping_interval: 3s}") as echo, connected(echo.port) as client:
        await opened(client, handshake())
        for _ in range(2):
            ping = await asyncio.wait_for(client.reader.readexactly(10), 20)
            assert ping[:2] == b"\x89\x08"
            await client.send(frame(10, ping[2:]))
        for _ in range(8):
            await asyncio.sleep(0.1)
            await echoed(client, b"I am here")
        ping = await asyncio.wait_for(client.reader.readexactly(10), 20)
        async with asyncio.timeout(20):
            assert await client.rest() == b"\x88\x02\x03\xe9"
        await eventually(lambda: len(echo.records()) == 1)
        error = (
            "client-gone: nothing came from the client for 9 s, not even the answer to a ping (websocket.ping_interval)"
        )
        assert echo.records()[0]["error"] == error


@pytest.mark.parametrize("sends", [b"", b"\x82\x7e\x40\x00half a message"])
async def test_a_silent_backend_is_named(tmp_path: Path, sends: bytes) -> None:
    """Its client is sent 1011, or nothing in the middle of a message; in the log is the silence, and not that the
    backend went away."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _accepted(reader, writer)
        writer.write(sends)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    routes = f"routes: [{{path: /*, target: '127.0.0.1:{server.sockets[0].getsockname()[1]}'}}]"
    with running_gateway(tmp_path, routes, "websocket: {ping_interval: 500ms}") as gateway:
        async with connected(gateway.port) as client:
            await opened(client, handshake())
            received = b""
            async with asyncio.timeout(20):
                while piece := await client.reader.read(100):
                    if piece[:2] == b"\x89\x08":
                        await client.send(frame(10, piece[2:]))
                        continue
                    received += piece
                    if piece[0] == 0x88:
                        await client.send(frame(8, piece[2:]))
        assert received == (sends or b"\x88\x02\x03\xf3")
        await eventually(lambda: gateway.access_log.count("\n") == 1)
        error = orjson.loads(gateway.access_log)["error"]
        assert error.startswith("upstream-timeout: nothing came from the upstream for 1.5 s")
    server.close()
