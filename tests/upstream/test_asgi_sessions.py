"""`target: asgi:...`: the ends of clients and applications, and what WebSockets may take of memory."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.support import eventually
from tests.upstream.test_asgi import Hosted, hosting
from tests.upstream.wire import connected, read_head, read_message

MIB = 1024 * 1024
HANDSHAKE = (
    "GET /sessions/{} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
NO_MASK = bytes(4)


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Hosted]:
    with hosting(tmp_path) as hosted:
        yield hosted


def websocket(hosted: Hosted, name: str) -> connect:
    return connect(f"ws://127.0.0.1:{hosted.gateway.port}/sessions/{name}", proxy=None, close_timeout=20)


@contextlib.asynccontextmanager
async def raw(hosted: Hosted, name: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A WebSocket whose frames the test writes itself."""
    async with connected(hosted.gateway.port) as (reader, writer):
        writer.write(HANDSHAKE.format(name).encode())
        assert (await read_head(reader)).status == 101
        yield reader, writer
        writer.transport.abort()


async def entry(hosted: Hosted) -> dict[str, str]:
    """The only line of the access log that is about a session."""
    await eventually(lambda: '"path":"/sessions/' in hosted.gateway.access_log)
    (line,) = (line for line in hosted.gateway.access_log.splitlines() if '"path":"/sessions/' in line)
    found: dict[str, str] = orjson.loads(line)
    return found


async def until_held(writer: asyncio.StreamWriter, data: bytes) -> bool:
    """Write this again and again, 8 MiB in all; whether the gateway has stopped reading before that."""
    for _ in range(8 * MIB // len(data)):
        writer.write(data)
        try:
            await asyncio.wait_for(writer.drain(), 1)
        except TimeoutError:
            return True
    return False


@pytest.mark.parametrize("frame", [b"\x81\x80" + NO_MASK, b"\x82\x80" + NO_MASK, b"\x81\x81" + NO_MASK + b"x"])
async def test_small_messages_hold_their_client(hosted: Hosted, frame: bytes) -> None:
    """A client whose messages are not taken is held, and costs the gateway little, however little is in them."""
    before = hosted.gateway.memory()
    async with raw(hosted, "deaf") as (_, writer):
        assert await until_held(writer, frame * 5000)
        assert hosted.gateway.memory() < before + 4 * MIB


async def test_the_answer_to_a_handshake_has_no_body(hosted: Hosted) -> None:
    """Whatever the application says of one in its headers, of which the others are sent."""
    async with connected(hosted.gateway.port) as (reader, writer):
        writer.write(HANDSHAKE.format("echoes").encode())
        head = await read_head(reader)
        assert (head.status, head.all("x-a")) == (101, ["b"])
        assert head.all("content-length") == head.all("transfer-encoding") == []


async def test_small_fragments_cost_what_they_hold(hosted: Hosted) -> None:
    """A message in very many fragments takes no more memory than another of its size, and comes whole."""
    async with raw(hosted, "echoes") as (reader, writer):
        before = hosted.gateway.memory()
        writer.write(b"\x01\x82" + NO_MASK + b"ab")
        fragments = (b"\x00\x82" + NO_MASK + b"ab" + b"\x00\x80" + NO_MASK) * 10_000
        for _ in range(12):
            writer.write(fragments)
            await writer.drain()
        writer.write(b"\x89\x80" + NO_MASK)
        assert await reader.readexactly(2) == b"\x8a\x00"
        assert hosted.gateway.memory() < before + 3 * MIB
        writer.write(b"\x80\x80" + NO_MASK)
        assert await reader.readexactly(10) == b"\x81\x7f" + (240_002).to_bytes(8, "big")
        assert await reader.readexactly(240_002) == b"ab" * 120_001


async def test_pings_of_who_reads_nothing(hosted: Hosted) -> None:
    """The answers to pings do not pile up; once the client reads, it finds that to its last ping."""
    before = hosted.gateway.memory()
    async with raw(hosted, "deaf") as (reader, writer):
        for _ in range(120):
            writer.write((b"\x89\xfd" + NO_MASK + bytes(125)) * 2000)
            await writer.drain()
        writer.write(b"\x89\xfd" + NO_MASK + b"x" * 125)
        await writer.drain()
        assert hosted.gateway.memory() < before + 4 * MIB
        while (await reader.readexactly(127))[2:] != b"x" * 125:
            pass


@pytest.mark.parametrize("name", ["cleans", "busy"])
@pytest.mark.parametrize("code", [3000, 1001])
async def test_a_client_that_has_left_a_websocket(hosted: Hosted, name: str, code: int) -> None:
    """The application may do what it has to do then, also where it looks late; the client does not wait for it."""
    one: ClientConnection
    async with websocket(hosted, name) as one:
        await eventually(lambda: "waits" in hosted.notes)
        if code == 3000:
            await asyncio.wait_for(one.close(code), 2)
        else:
            one.transport.abort()
    assert (await entry(hosted))["error"] is None
    assert "has cleaned up" not in hosted.notes
    hosted.tell()
    await eventually(lambda: "has cleaned up" in hosted.notes)
    assert f"cleans up after {code}" in hosted.notes


async def test_an_application_that_has_closed(hosted: Hosted) -> None:
    """It may do what it has to do then, before its client has answered and after; the client does not wait for it."""
    async with websocket(hosted, "closes") as one:
        await asyncio.wait_for(one.wait_closed(), 2)
        assert one.close_code == 4001
    await entry(hosted)
    hosted.tell()
    await eventually(lambda: "has cleaned up" in hosted.notes)


async def test_a_client_that_does_not_answer_a_close(hosted: Hosted) -> None:
    """It is cut off, however long the application goes on, and however much it had sent that nobody took."""
    async with raw(hosted, "closes") as (reader, writer):
        writer.write((b"\x81\x80" + NO_MASK) * 5000)
        assert await reader.readexactly(4) == b"\x88\x02" + (4001).to_bytes(2, "big")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    assert "has cleaned up" not in hosted.notes


async def test_an_application_that_has_refused(hosted: Hosted) -> None:
    """It may do what it has to do then."""
    with pytest.raises(InvalidStatus):
        await websocket(hosted, "refuses")
    await eventually(lambda: "cleans up after 1006" in hosted.notes)
    await entry(hosted)
    hosted.tell()
    await eventually(lambda: "has cleaned up" in hosted.notes)


async def test_a_client_that_has_left_a_request(hosted: Hosted) -> None:
    """An application that listens for that may do what it has to do then."""
    async with connected(hosted.gateway.port) as (_, writer):
        writer.write(b"GET /sessions/cleans HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: "waits" in hosted.notes)
    await eventually(lambda: "cleans up after http.disconnect" in hosted.notes)
    await entry(hosted)
    hosted.tell()
    await eventually(lambda: "has cleaned up" in hosted.notes)


async def test_an_application_that_does_not_finish(hosted: Hosted) -> None:
    """After a while it is cancelled, and the log says so, of a WebSocket as of a request."""
    one: ClientConnection
    async with websocket(hosted, "stays") as one, connected(hosted.gateway.port) as (_, writer):
        writer.write(b"GET /sessions/stays HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: hosted.notes.count("waits") == 2)
        one.transport.abort()
        writer.close()
        await eventually(lambda: hosted.notes.count("is cancelled") == 2)
    await eventually(lambda: hosted.gateway.log.count("sessions:app was cancelled: it still ran 10 s after") == 2)


async def test_what_is_to_be_done_at_the_end(hosted: Hosted) -> None:
    """When the gateway ends, those whose clients have left get a moment to finish before the application stops."""
    async with websocket(hosted, "stays") as stays, websocket(hosted, "cleans") as cleans:
        await eventually(lambda: hosted.notes.count("waits") == 2)
        hosted.gateway.signal(signal.SIGTERM)
        await stays.wait_closed()
        await cleans.wait_closed()
        await eventually(lambda: hosted.notes.count("cleans up after 1001") == 2)
        hosted.tell()
    assert await asyncio.to_thread(hosted.gateway.wait) == 0
    assert hosted.notes[4:] == ["has cleaned up", "has cleaned up", "is cancelled", "shutdown"]


@pytest.mark.parametrize("name", ["fails", "fails_to_connect"])
async def test_an_application_that_fails_on_a_websocket(hosted: Hosted, name: str) -> None:
    """The access log has the error, as for a backend whose connection ends, and the gateway's log has the cause, under
    the same id."""
    async with websocket(hosted, name) as one:
        await asyncio.wait_for(one.wait_closed(), 20)
        assert one.close_code == 1011
    line = await entry(hosted)
    assert line["error"].startswith("upstream-reset: asgi:tests.upstream.sessions:app failed")
    await eventually(lambda: f"failed on a WebSocket, request {line['request_id']}, at " in hosted.gateway.log)


async def test_an_application_that_fails_after_the_end(hosted: Hosted) -> None:
    """What fails once the client has left is in the gateway's log, and no error of the WebSocket."""
    async with websocket(hosted, "fails_at_the_end") as one:
        await one.close()
    line = await entry(hosted)
    hosted.tell()
    await eventually(lambda: f"failed on a WebSocket, request {line['request_id']}, at " in hosted.gateway.log)
    assert line["error"] is None


async def test_two_that_wait_for_messages(hosted: Hosted) -> None:
    """Each of two tasks of an application gets a message: of a WebSocket, or of a request's body."""
    async with websocket(hosted, "two") as one:
        await eventually(lambda: "waits" in hosted.notes)
        await one.send("one")
        await one.send("more")
        await eventually(lambda: "more and one" in hosted.notes)
    async with connected(hosted.gateway.port) as (reader, writer):
        writer.write(b"POST /sessions/two HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        await eventually(lambda: hosted.notes.count("waits") == 2)
        writer.write(b"3\r\ntwo\r\n")
        await asyncio.sleep(0.1)
        writer.write(b"5\r\nthree\r\n0\r\n\r\n")
        assert (await read_message(reader)).body == b"both"
