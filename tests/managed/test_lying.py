"""Control planes that are slow, hang, lie, or are another server: the gateway serves on, and reports what is wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from gateway.bundles import Bundle
from tests.control_plane.channel_support import a_gateway, a_token, an_environment, listening, want
from tests.control_plane.channel_support import a_revision as revision_of
from tests.control_plane.support import control_plane
from tests.managed.support import ONE, TWO, calling, managed, write
from tests.support import eventually, pass_on

TOKEN = "fgw_0011223344556677_" + "A" * 43
GREETING = json.dumps({"type": "connection.ack", "gatewayId": "g", "connectionId": "c", "timestamp": "t"})
WANTED = Bundle({"routes.yaml": TWO})

Talk = Callable[[ServerConnection], Awaitable[None]]
Answer = Callable[[str], tuple[int, bytes, dict[str, str]]]


@asynccontextmanager
async def speaking(talk: Talk, answer: Answer = lambda _: (404, b"", {})) -> AsyncIterator[str]:
    """A server that says this over WebSockets, and answers other requests so, by their paths."""

    def process(connection: ServerConnection, request: Request) -> Response | None:
        if "upgrade" in {name.lower() for name, _ in request.headers.raw_items()}:
            return None
        status, body, headers = answer(request.path)
        response = connection.respond(status, "")
        response.body = body
        del response.headers["Content-Length"]
        response.headers.update({"Content-Length": str(len(body)), **headers})
        return response

    async with serve(talk, "127.0.0.1", 0, process_request=process) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _greet(socket: ServerConnection, *messages: str | bytes) -> None:
    await socket.send(GREETING)
    for message in messages:
        await socket.send(message)
    async for _ in socket:
        pass


def _available(digest: str = WANTED.digest) -> str:
    return json.dumps({"type": "config.available", "revision": digest})


GARBAGE: list[Any] = [
    "",
    "[]",
    "null",
    "{",
    b"\xff\xfe",
    '{"type": "config.available"}',
    '{"type": "config.available", "revision": null}',
    '{"type": "config.available", "revision": "../../etc/passwd"}',
    '{"type": "config.available", "revision": ""}',
    '{"type": "heartbeat.ack", "revision": 5}',
    '{"type": "heartbeat.ack", "driftPolicy": "delete"}',
    '{"type": "heartbeat.ack"}',
    '{"type": "deployments.deleted", "all": true}',
    "[" * 10_000,
]


async def test_garbage_changes_nothing(tmp_path: Path) -> None:
    """Whatever comes over the channel, what is served is served, and the channel stays."""
    write(tmp_path / "gateway", {"routes.yaml": ONE})
    async with speaking(lambda socket: _greet(socket, *GARBAGE)) as url:
        write(tmp_path / "gateway", {"middleware.yaml": calling(url, TOKEN)})
        async with managed(tmp_path / "gateway") as gateway:
            await eventually(lambda: gateway.managed.connected)
            await eventually(lambda: gateway.managed.applying.wanted is not None)
            assert gateway.body == "one"
            assert gateway.managed.connected


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"", {}),
        (200, b"garbage", {}),
        (200, Bundle({"routes.yaml": ONE}).pack(), {}),  # another one than was asked for
        (200, WANTED.pack()[:-20], {}),
        (200, b"x" * 100_000, {}),
        (404, b"", {}),
        (500, b'{"message": "\\u001b[2J"}', {}),
        (302, b"", {"Location": "http://127.0.0.1:1/"}),
    ],
)
async def test_a_revision_that_does_not_come_whole_changes_nothing(
    tmp_path: Path, answer: tuple[int, bytes, dict[str, str]]
) -> None:
    """Empty, broken, another one, or none: it is said, and asked for again later."""
    write(tmp_path / "gateway", {"routes.yaml": ONE})
    async with speaking(lambda socket: _greet(socket, _available()), lambda _: answer) as url:
        write(tmp_path / "gateway", {"middleware.yaml": calling(url, TOKEN)})
        async with managed(tmp_path / "gateway") as gateway:
            await eventually(lambda: gateway.managed.refusal() is not None)
            assert gateway.body == "one"
            assert "\x1b" not in str(list(gateway.managed.troubles()))
            assert not (tmp_path / "gateway" / "state" / "control-plane" / f"{WANTED.digest}.bundle").exists()


async def test_a_control_plane_that_hangs_delays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing: the gateway tries the other way, and serves on."""
    monkeypatch.setattr("gateway.managed.line.OPEN_SECONDS", 0.2)
    write(tmp_path / "gateway", {"routes.yaml": ONE})

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    write(tmp_path / "gateway", {"middleware.yaml": calling(url, TOKEN)})
    async with server, managed(tmp_path / "gateway") as gateway:
        await eventually(lambda: gateway.managed.link.failure is not None)
        assert gateway.body == "one"
        assert not gateway.managed.connected


async def test_a_redirect_is_not_followed_with_the_token(tmp_path: Path) -> None:
    """Neither by the WebSocket nor by other requests: the token is for this control plane alone."""
    shown: list[str] = []

    def elsewhere(connection: ServerConnection, request: Request) -> Response:
        shown.append(request.headers.get("api-key", ""))
        return connection.respond(404, "")

    write(tmp_path / "gateway", {"routes.yaml": ONE})
    async with serve(_greet, "127.0.0.1", 0, process_request=elsewhere) as other:
        target = f"127.0.0.1:{other.sockets[0].getsockname()[1]}"

        def redirect(connection: ServerConnection, request: Request) -> Response:
            response = connection.respond(307, "")
            response.headers["Location"] = f"ws://{target}/x"
            return response

        async with serve(_greet, "127.0.0.1", 0, process_request=redirect) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            write(tmp_path / "gateway", {"middleware.yaml": calling(url, TOKEN)})
            async with managed(tmp_path / "gateway") as gateway:
                await eventually(lambda: "307" in (gateway.managed.link.failure or ""))
                assert shown == []


async def test_a_token_that_is_not_known_is_said(tmp_path: Path) -> None:
    """With what the control plane says of it."""
    write(tmp_path / "gateway", {"routes.yaml": ONE})
    async with control_plane(tmp_path) as plane, listening(plane) as url:
        write(tmp_path / "gateway", {"middleware.yaml": calling(url, TOKEN)})
        async with managed(tmp_path / "gateway") as gateway:
            await eventually(lambda: "401: this token is not known" in (gateway.managed.link.failure or ""))
            assert TOKEN not in (gateway.managed.link.failure or "")
            assert "put a new token into" in (gateway.managed.link.failure or "")


async def test_alternating_failures_are_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A control plane that fails otherwise over a WebSocket than over HTTP gives one line, not two for each try."""
    tries: list[ServerConnection] = []

    async def leave(socket: ServerConnection) -> None:
        tries.append(socket)
        await socket.close()

    async with speaking(leave) as url:
        write(tmp_path / "gateway", {"routes.yaml": ONE, "middleware.yaml": calling(url, TOKEN)})
        async with managed(tmp_path / "gateway"):
            await eventually(lambda: len(tries) >= 2)
    logged = [record.message for record in caplog.records if "cannot be used" in record.message]
    assert len(logged) == 1, logged
    assert "does not greet" in logged[0]


async def test_without_websockets_there_is_a_long_poll(tmp_path: Path) -> None:
    """A proxy between that lets no WebSocket pass: what is wanted comes as fast."""
    async with control_plane(tmp_path) as plane, listening(plane) as url, _without_websockets(url) as proxy:
        environment = await an_environment(plane)
        token = await a_token(plane, await a_gateway(plane, environment=environment))
        write(tmp_path / "gateway", {"routes.yaml": ONE, "middleware.yaml": calling(proxy, token)})
        async with managed(tmp_path / "gateway") as gateway:
            await eventually(lambda: gateway.managed.link.how == "polling")
            await want(plane, environment, await revision_of(plane, {"routes.yaml": TWO}))
            await gateway.until_kept("two")


@asynccontextmanager
async def _without_websockets(url: str) -> AsyncIterator[str]:
    """A proxy that answers requests for a WebSocket with 404, and passes all others on."""
    host, _, port = url.removeprefix("http://").partition(":")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/ws/" in head:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        behind, out = await asyncio.open_connection(host, int(port))
        out.write(head)

        await asyncio.gather(pass_on(reader, out), pass_on(behind, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
