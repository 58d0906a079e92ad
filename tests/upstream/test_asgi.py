"""`target: asgi:...`: an application in the gateway's own process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.support import GatewayProcess, eventually, running_gateway
from tests.upstream.wire import Wire, connected, read_chunk, read_head, read_message

ROOT = Path(__file__).resolve().parents[2]
MODULE = "asgi:tests.upstream.application"


@dataclass
class Hosted:
    """A gateway with the application, and what the application notes."""

    gateway: GatewayProcess
    notes_file: Path

    @property
    def notes(self) -> list[str]:
        return self.notes_file.read_text().splitlines() if self.notes_file.exists() else []

    def tell(self) -> None:
        """Let the application go on."""
        self.notes_file.with_name(self.notes_file.name + ".goes-on").touch()

    async def get(self, path: str, *lines: str, body: bytes = b"") -> Wire:
        async with connected(self.gateway.port) as (reader, writer):
            head = [
                f"POST {path} HTTP/1.1",
                "Host: a.test",
                "Connection: close",
                f"Content-Length: {len(body)}",
                *lines,
            ]
            writer.write("\r\n".join([*head, "", ""]).encode() + body)
            return await read_message(reader)


@contextlib.contextmanager
def hosting(directory: Path) -> Iterator[Hosted]:
    notes = directory / "notes"
    routes = f"""
    - {{path: /app/*, target: '{MODULE}:app', rewrite: /v2/$1}}
    - {{path: /same/*, target: '{MODULE}:app', max_body: 1KiB}}
    - {{path: /failing, target: '{MODULE}:failing'}}
    - {{path: /simple, target: '{MODULE}:simple'}}
    - {{path: /sessions/*, target: 'asgi:tests.upstream.sessions:app'}}
    """
    environment = {"NOTES": str(notes), "PYTHONPATH": str(ROOT)}
    drain = "drain: {window: 0s, deadline: 5s}"
    with running_gateway(directory, routes, drain, environment=environment) as gateway:
        yield Hosted(gateway, notes)


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    with hosting(tmp_path_factory.mktemp("asgi")) as hosted:
        yield hosted


@pytest.fixture
def short_lived(tmp_path: Path) -> Iterator[Hosted]:
    with hosting(tmp_path) as hosted:
        yield hosted


async def test_lifespan(short_lived: Hosted) -> None:
    """Startup runs once and before the first request, shutdown once at the end; without a lifespan it works too."""
    answers = await asyncio.gather(*(short_lived.get(f"/{name}/show") for name in ("app", "app", "same", "same")))
    assert [orjson.loads(answer.body)["state"] for answer in answers] == [{"ready": "yes"}] * 4
    assert (await short_lived.get("/simple")).body == b"simple"
    assert short_lived.notes == ["startup"]
    short_lived.gateway.signal(signal.SIGTERM)
    assert short_lived.gateway.wait() == 0
    assert short_lived.notes == ["startup", "shutdown"]


async def test_failed_startup(hosted: Hosted) -> None:
    """An application that cannot start is a 503 each time; the log says why."""
    for _ in range(2):
        answer = await hosted.get("/failing")
        assert (answer.status, b"no database" in answer.body) == (503, False)
    await eventually(lambda: hosted.gateway.access_log.count("no database") == 2)


async def test_what_the_application_sees(hosted: Hosted) -> None:
    """The application gets the rewritten request, its body, and the forwarding headers that backends get."""
    answer = await hosted.get("/app/show", "X-Real-IP: 6.6.6.6", "Keep-Alive: x", "X-A: 1", body=b"b" * 100_000)
    seen = orjson.loads(answer.body)
    assert (seen["method"], seen["path"], seen["scheme"]) == ("POST", "/v2/show", "http")
    assert seen["client"] == ["127.0.0.1", 0]
    assert seen["body"] == "b" * 100_000
    headers = seen["headers"]
    assert (headers["host"], headers["x-a"], headers["x-real-ip"]) == ("a.test", "1", "127.0.0.1")
    assert "keep-alive" not in headers


async def test_failures(hosted: Hosted) -> None:
    """An application that fails before it answers is a 502, afterwards an abort; the log has the traceback."""
    for path in ("/app/fails_before", "/app/says_nothing", "/app/splits", "/app/unknown"):
        answer = await hosted.get(path)
        assert answer.status == 502
        assert orjson.loads(answer.body)["type"].endswith(":upstream-bad-response")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await hosted.get("/app/fails_after")
    await eventually(lambda: hosted.gateway.log.count("ValueError: deliberately") == 2)
    assert "never retrieved" not in hosted.gateway.log


async def test_body_over_the_limit(hosted: Hosted) -> None:
    """What the gateway refuses of a request body is its own answer, not the application's failure."""
    async with connected(hosted.gateway.port) as (reader, writer):
        writer.write(b"POST /same/show HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write((b"400\r\n" + b"x" * 1024 + b"\r\n") * 2 + b"0\r\n\r\n")
        assert (await read_message(reader)).status == 413


async def test_backpressure(hosted: Hosted) -> None:
    """An application that produces faster than its client reads is held back."""
    async with connected(hosted.gateway.port) as (reader, writer):
        writer.write(b"GET /app/large HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await eventually(lambda: hosted.notes.count("piece") > 0)
        await asyncio.sleep(0.3)
        assert hosted.notes.count("piece") < 16
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        await read_head(reader)
        while await read_chunk(reader):
            pass
        assert hosted.notes.count("piece") == 64


async def test_client_gone(hosted: Hosted) -> None:
    """When the client goes away, the application is cancelled."""
    async with connected(hosted.gateway.port) as (_, writer):
        writer.write(b"GET /app/waits HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: "waiting" in hosted.notes)
    await eventually(lambda: "cancelled" in hosted.notes)


async def test_background_work(hosted: Hosted) -> None:
    """What an application does after its response is complete is left to finish, and delays no request."""
    assert (await hosted.get("/app/background")).body == b"done"
    assert (await hosted.get("/app/show")).status == 200
    assert "background" not in hosted.notes
    hosted.tell()
    await eventually(lambda: "background" in hosted.notes)


async def test_websocket(hosted: Hosted) -> None:
    """An application serves WebSockets; when it fails, the client gets an error, and the log too."""
    url = f"ws://127.0.0.1:{hosted.gateway.port}/app/ws"
    async with connect(url, proxy=None, subprotocols=[Subprotocol("a"), Subprotocol("b")]) as one:
        assert one.subprotocol == "a"
        for message in ("text", b"bytes"):
            await one.send(message)
            assert await one.recv() == message
        await one.close(3000, "bye")
    await eventually(lambda: "closed 3000" in hosted.notes)
    async with connect(url, proxy=None) as one:
        await one.send("fail")
        await asyncio.wait_for(one.wait_closed(), 30)
        assert one.close_code == 1011
    await eventually(lambda: "failed on a WebSocket" in hosted.gateway.log)


async def test_websocket_at_the_end(short_lived: Hosted) -> None:
    """When the gateway ends, its application's WebSockets end with 1001."""
    async with connect(f"ws://127.0.0.1:{short_lived.gateway.port}/app/ws", proxy=None) as one:
        short_lived.gateway.signal(signal.SIGTERM)
        await asyncio.wait_for(one.wait_closed(), 30)
        assert one.close_code == 1001
    assert short_lived.gateway.wait() == 0
