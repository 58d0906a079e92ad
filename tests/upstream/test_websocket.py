"""WebSockets through a gateway process, against real `websockets` servers and a few that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tests.support import running_gateway
from tests.upstream.conftest import Backend, Sites
from tests.upstream.wire import read_head, reset

Handler = Callable[[ServerConnection], Awaitable[None]]


@contextlib.asynccontextmanager
async def websocket_backend(
    sites: Sites, handler: Handler, kind: str = "plain", **options: object
) -> AsyncIterator[Backend]:
    """A WebSocket server behind a route of its own; afterwards nothing of it may be left in the gateway."""
    path, listener = sites.take(kind)
    backend = Backend(path, "{}:{}".format(*listener.getsockname()))
    async with serve(handler, sock=listener, max_size=None, **options):  # type: ignore[arg-type]
        yield backend
        await sites.is_at_rest(backend)


class Client(connect):
    """It does not follow redirects."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def client(sites: Sites, backend: Backend, **options: object) -> Client:
    url = f"ws://127.0.0.1:{sites.gateway.port}{backend.path}/ws?q=1"
    options = {"compression": None} | options
    return Client(url, max_size=None, proxy=None, close_timeout=5, **options)  # type: ignore[arg-type]


async def echo(server: ServerConnection) -> None:
    async for message in server:
        await server.send(message)


async def test_messages(sites: Sites) -> None:
    """Text, binary, empty, fragmented and large messages arrive as they were sent, both ways."""
    async with websocket_backend(sites, echo) as backend, client(sites, backend) as one:
        for message in ("text", "", "Grüße 🎉", b"\x00\xff", b"", "x" * 1_000_000, b"y" * (16 * 1024 * 1024)):
            await one.send(message)
            assert await one.recv() == message
        await one.send(["in ", "three ", "parts"])
        assert await one.recv() == "in three parts"
        pong = await one.ping()
        assert await pong > 0


async def test_what_the_backend_sees(sites: Sites) -> None:
    """The backend gets the rewritten handshake with the forwarding headers, and what it adds reaches the client."""
    requests: list[Request] = []

    def cookie(server: ServerConnection, request: Request, response: Response) -> None:
        requests.append(request)
        response.headers["Set-Cookie"] = "a=1"

    async with (
        websocket_backend(sites, echo, process_response=cookie) as backend,
        client(sites, backend, additional_headers={"X-A": "1", "Cookie": "b=2"}, origin="http://o.test") as one,
    ):
        assert one.response is not None
        assert one.response.headers.get_all("Set-Cookie") == ["a=1"]
    headers = requests[0].headers
    assert requests[0].path.endswith("/ws?q=1")
    assert (headers["X-A"], headers["Cookie"], headers["Origin"]) == ("1", "b=2", "http://o.test")
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers.get_all("Host") == [backend.label]


async def test_the_target_is_sent_as_it_came(sites: Sites) -> None:
    """Slashes, escapes and path parameters of a handshake are not changed on the way."""
    requests: list[Request] = []

    def note(server: ServerConnection, request: Request, response: Response) -> None:
        requests.append(request)

    async with websocket_backend(sites, echo, process_response=note) as backend:
        reader, writer = await asyncio.open_connection("127.0.0.1", sites.gateway.port)
        head = f"GET {backend.path}//a%3Ab/ws;v=1?x=;y=// HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
        head += (
            "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        writer.write(head.encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.close()
    assert requests[0].path.endswith("//a%3Ab/ws;v=1?x=;y=//")


async def test_subprotocols(sites: Sites) -> None:
    """The subprotocol is the backend's choice among the client's."""
    offered = [Subprotocol("a"), Subprotocol("b")]
    serving = websocket_backend(sites, echo, subprotocols=[Subprotocol("b")])
    async with serving as backend, client(sites, backend, subprotocols=offered) as one:
        assert one.subprotocol == "b"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (3000, "mine"), (4999, "grün")])
async def test_close_codes(sites: Sites, code: int, reason: str) -> None:
    """Close codes and reasons pass both ways."""
    seen: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()

    async def handler(server: ServerConnection) -> None:
        if await server.recv() == "close":
            await server.close(code, reason)
        else:
            await server.wait_closed()
            seen.put_nowait((server.close_code, server.close_reason))

    async with websocket_backend(sites, handler) as backend:
        async with client(sites, backend) as one:
            await one.send("close")
            await one.wait_closed()
            assert (one.close_code, one.close_reason) == (code, reason)
        async with client(sites, backend) as one:
            await one.send("wait")
            await one.close(code, reason)
        assert await seen.get() == (code, reason)


async def test_close_without_code(sites: Sites) -> None:
    """A close without a code is passed on as it came."""
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def handler(server: ServerConnection) -> None:
        await server.wait_closed()
        codes.put_nowait(server.close_code)

    async with websocket_backend(sites, handler) as backend:
        async with client(sites, backend) as one:
            one.transport.write(b"\x88\x80\x00\x00\x00\x00")
            await one.wait_closed()
        assert await codes.get() == 1005


async def test_client_dies(sites: Sites) -> None:
    """When the client vanishes without a close frame, the backend gets one."""
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def handler(server: ServerConnection) -> None:
        await server.wait_closed()
        codes.put_nowait(server.close_code)

    async with websocket_backend(sites, handler) as backend:
        one = await client(sites, backend)
        one.transport.abort()
        assert await asyncio.wait_for(codes.get(), 30) == 1001


async def test_backend_dies(sites: Sites) -> None:
    """When the backend vanishes without a close frame, the client gets one that says so."""

    async def handler(server: ServerConnection) -> None:
        server.transport.abort()

    async with websocket_backend(sites, handler) as backend, client(sites, backend) as one:
        await asyncio.wait_for(one.wait_closed(), 30)
        assert one.close_code == 1011


@pytest.mark.parametrize("kind", [str, bytes])
async def test_too_large(sites: Sites, kind: type) -> None:
    """A message over the limit ends the WebSocket with 1009, whichever side sent it; it does not pass."""
    large = b"x" * (16 * 1024 * 1024 + 1)
    message = large.decode() if kind is str else large
    received = []

    async def handler(server: ServerConnection) -> None:
        if await server.recv() == "send":
            await server.send(message)
        received.extend([one async for one in server])

    async with websocket_backend(sites, handler) as backend:
        for order in ("send", "take"):
            async with client(sites, backend) as one:
                await one.send(order)
                with contextlib.suppress(ConnectionClosed):
                    if order == "take":
                        await one.send(message)
                await asyncio.wait_for(one.wait_closed(), 30)
                assert one.close_code == 1009
    assert received == []


async def test_smaller_limit(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`websocket.max_message` bounds both directions."""
    directory = tmp_path_factory.mktemp("limit")

    async def handler(server: ServerConnection) -> None:
        async for message in server:
            await server.send("x" * int(message) if isinstance(message, str) else message)

    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        routes, limits = f"routes: [{{path: /ws, target: '127.0.0.1:{port}'}}]", "websocket: {max_message: 1KiB}"
        with running_gateway(directory, routes, limits) as gateway:
            url = f"ws://127.0.0.1:{gateway.port}/ws"
            for fits, over in (("1024", "1025"), (b"x" * 1024, b"x" * 1025)):
                async with connect(url, proxy=None, compression=None) as one:
                    await one.send(fits)
                    assert len(await one.recv()) == 1024
                    await one.send(over)
                    await asyncio.wait_for(one.wait_closed(), 30)
                    assert one.close_code == 1009


async def test_refused(sites: Sites) -> None:
    """A backend's refusal reaches the client as it is: status, headers and body."""

    def refuse(server: ServerConnection, request: Request) -> Response:
        response = server.respond(403, "not you")
        response.headers["X-Why"] = "because"
        return response

    async with websocket_backend(sites, echo, process_request=refuse) as backend:
        with pytest.raises(InvalidStatus) as refused:
            await client(sites, backend)
        answer = refused.value.response
        assert (answer.status_code, answer.body, answer.headers["X-Why"]) == (403, b"not you", "because")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", 302),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 502),
        (b"SSH-2.0-OpenSSH\r\n", 502),
        (b"", 502),
        (None, 504),
    ],
)
async def test_no_websocket(sites: Sites, answer: bytes | None, status: int) -> None:
    """A backend that answers the handshake with something else is distinguished from one that answers nonsense."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        if answer is None:
            await reader.read()
        writer.write(answer or b"")

    async with sites.backend(script, "impatient") as backend:
        with pytest.raises(InvalidStatus) as refused:
            await client(sites, backend)
        assert refused.value.response.status_code == status


async def test_reset_in_the_handshake(sites: Sites) -> None:
    """A backend that resets the handshake is a 502."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        reset(writer)

    async with sites.backend(script) as backend:
        with pytest.raises(InvalidStatus) as refused:
            await client(sites, backend)
        assert refused.value.response.status_code == 502


async def test_total_timeout_does_not_apply(sites: Sites) -> None:
    """A WebSocket outlives the route's total and idle time-outs."""
    for kind in ("bounded", "impatient"):
        async with websocket_backend(sites, echo, kind) as backend, client(sites, backend) as one:
            await asyncio.sleep(2.5)
            await one.send("still here")
            assert await one.recv() == "still here"


async def until_blocked(send: Callable[[bytes], Awaitable[None]]) -> int:
    """Send messages until the other side takes no more; how many went."""
    for sent in range(2000):
        try:
            await asyncio.wait_for(send(b"x" * 65536), 0.5)
        except TimeoutError:
            return sent
    raise AssertionError("nothing held the sender back")


async def test_backpressure_towards_the_client(sites: Sites) -> None:
    """A client that does not read holds the backend back, and costs the gateway little."""
    blocked: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def handler(server: ServerConnection) -> None:
        blocked.set_result(await until_blocked(server.send))

    async with websocket_backend(sites, handler) as backend:
        before = sites.gateway.memory()
        async with client(sites, backend, max_queue=1) as one:
            one.transport.pause_reading()
            assert await blocked < 1000
            assert sites.gateway.memory() < before + 4 * 1024 * 1024
            one.transport.abort()


async def test_backpressure_towards_the_backend(sites: Sites) -> None:
    """A backend that does not read holds the client back, and costs the gateway little."""
    done = asyncio.Event()

    async def handler(server: ServerConnection) -> None:
        server.transport.pause_reading()
        await done.wait()
        server.transport.abort()

    async with websocket_backend(sites, handler) as backend:
        before = sites.gateway.memory()
        one: ClientConnection
        async with client(sites, backend) as one:
            assert await until_blocked(one.send) < 1000
            assert sites.gateway.memory() < before + 4 * 1024 * 1024
            done.set()
            await asyncio.wait_for(one.wait_closed(), 30)


async def test_endpoint_is_dead(sites: Sites) -> None:
    """A WebSocket to a closed port is a 502 before the handshake is done."""
    path, listener = sites.take()
    listener.shutdown(socket.SHUT_RDWR)
    with pytest.raises(InvalidStatus) as refused:
        await client(sites, Backend(path, ""))
    assert refused.value.response.status_code == 502


async def test_all_are_gone_afterwards(sites: Sites) -> None:
    """However WebSockets end, none is counted as in flight any more."""
    async with websocket_backend(sites, echo) as backend:
        many = [await client(sites, backend) for _ in range(20)]
        assert (await sites.state(backend))[0] == 20
        for number, one in enumerate(many):
            if number % 2:
                one.transport.abort()
            else:
                await one.close()
