"""Small backends to try the gateway with: ``python -m gateway.demo``, or ``python -m gateway.demo orders:8080 ...``.

Each one answers any request with what it received, as JSON, so that a look at the answer shows what the gateway
sent: the path after the rewrite, the forwarded headers, the body. ``/health`` is a probe, a path ending in
``/events`` is an event stream, and a path ending in ``/ws`` is a WebSocket that echoes. ``?status=503`` is answered so,
and ``?max-age=60`` may be cached for so long.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import orjson
import uvicorn

HOST = "127.0.0.1"
PORTS: Mapping[str, int] = {"process-design": 9003, "execution-engine": 9005, "scheduling": 9008}
SHOWN_BODY = 64 * 1024

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class DemoBackend:
    """An ASGI application that answers as ``service``; setting ``stopping`` ends its event streams."""

    service: str
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request or serve one WebSocket."""
        path: str = scope["path"]
        if scope["type"] == "websocket":
            await _echo(scope, receive, send, accepted=path.endswith("/ws"))
        elif scope["type"] != "http":
            raise ValueError(f"the demo backend serves http and websocket, not {scope['type']}")
        elif path == "/health":
            await _answer(send, 200, {"status": "ok", "service": self.service})
        elif path.endswith("/events"):
            await self._stream(scope, receive, send)
        else:
            received = await self._received(scope, receive)
            try:
                status, headers = _asked(received["query"])
            except ValueError as error:
                await _answer(send, 400, {"error": str(error)})
                return
            await _answer(send, status, received, headers)

    async def _received(self, scope: Message, receive: Receive) -> dict[str, Any]:
        body, length = await _read(receive)
        # Headers by name; the values of a repeated one joined by commas, as RFC 9110 section 5.3 allows.
        headers = scope["headers"]
        joined: dict[str, str] = {}
        for raw_name, raw_value in headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        return {
            "service": self.service,
            "method": scope["method"],
            "path": scope["raw_path"].decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "headers": joined,
            "body": body.decode("utf-8", "replace"),
            "body_length": length,
        }

    async def _stream(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            count, interval = _pace(scope["query_string"].decode("latin-1"))
        except ValueError as error:
            await _answer(send, 400, {"error": str(error)})
            return
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with _until(_disconnected(receive), self.stopping.wait()) as ended:
            for number in range(1, count + 1) if count else itertools.count(1):
                if number > 1 and await ended(interval):
                    break
                event = orjson.dumps({"service": self.service, "event": number}).decode()
                await send(_body(f"id: {number}\ndata: {event}\n\n".encode(), more=True))
        await send(_body(b""))


async def _read(receive: Receive) -> tuple[bytes, int]:
    """Read a whole body, keeping only its beginning: what is shown, and how many bytes there were."""
    shown, length, more = bytearray(), 0, True
    while more:
        message = await receive()
        chunk = message.get("body", b"")
        length += len(chunk)
        shown += chunk[: SHOWN_BODY - len(shown)]
        more = message.get("more_body", False)
    return bytes(shown), length


def _pace(query: str) -> tuple[int, float]:
    """How many events a stream has (0: without end) and the seconds between two of them."""
    given = parse_qs(query)
    try:
        count, interval = int(given.get("count", ["0"])[0]), float(given.get("interval", ["1"])[0])
    except ValueError:
        raise ValueError("count must be a whole number and interval a number of seconds") from None
    if count < 0 or not 0 <= interval <= 3600:
        raise ValueError("count must not be negative, and interval must be between 0 and 3600 seconds")
    return count, interval


def _asked(query: str) -> tuple[int, list[tuple[bytes, bytes]]]:
    """The status and the headers that an answer is to have."""
    given = parse_qs(query)
    try:
        status, age = int(given.get("status", ["200"])[0]), given.get("max-age", [""])[0]
        headers = [(b"cache-control", b"max-age=%d" % int(age))] if age else []
    except ValueError:
        raise ValueError("status and max-age must be whole numbers") from None
    if not 200 <= status <= 599:
        raise ValueError("status must be between 200 and 599")
    return status, headers


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@contextlib.asynccontextmanager
async def _until(*ends: Awaitable[Any]) -> AsyncIterator[Callable[[float], Awaitable[bool]]]:
    """Give a function that waits some seconds and says whether one of ``ends`` came first."""
    waiting = [asyncio.ensure_future(end) for end in ends]

    async def ended(seconds: float) -> bool:
        done, _ = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    try:
        yield ended
    finally:
        for future in waiting:
            future.cancel()


async def _echo(scope: Message, receive: Receive, send: Send, *, accepted: bool) -> None:
    await receive()
    if not accepted:
        await send({"type": "websocket.close", "code": 1000})
        return
    offered: list[str] = scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": offered[0] if offered else None})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})


async def _answer(
    send: Send, status: int, content: Mapping[str, Any], more: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    body = orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send(_body(body))


def _body(content: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals alone: uvicorn would give them to the last of several servers only."""
        yield


async def serve(ports: Mapping[str, int]) -> None:
    """Serve one backend per service name on loopback until SIGINT or SIGTERM; port 0 takes a free one.

    Prints a line per backend, all in one write, once every one of them accepts connections. Raises OSError, naming
    the address, when a port cannot be listened on.
    """
    stopping = asyncio.Event()
    with contextlib.ExitStack() as opened:
        sockets = {service: opened.enter_context(listen(port)) for service, port in ports.items()}
        servers = [
            _Server(
                uvicorn.Config(
                    DemoBackend(service, stopping),
                    lifespan="off",
                    log_level="warning",
                    access_log=False,
                    date_header=False,
                    timeout_graceful_shutdown=5,
                )
            )
            for service in ports
        ]
        running = [server.serve([listener]) for server, listener in zip(servers, sockets.values(), strict=True)]

        def stop() -> None:
            stopping.set()
            for server in servers:
                server.force_exit = server.should_exit
                server.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        addresses = (f"{service} listens on http://{HOST}:{at.getsockname()[1]}" for service, at in sockets.items())
        # Unbuffered, print would write the last line end by itself, when a reader of the first line may be gone.
        sys.stdout.write("".join(f"{address}\n" for address in addresses))
        sys.stdout.flush()
        await asyncio.gather(*running)


def listen(port: int) -> socket.socket:
    """A socket of loopback that listens. Raises OSError, naming the address."""
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(f"cannot listen on {HOST}:{port}: {reason}; end what uses it and try again") from error
    # asyncio forgets it for sockets made like this, and head and body would then be 40 ms apart.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def main(arguments: Sequence[str]) -> int:
    """Serve the backends that are named as ``NAME:PORT``, or the three of the repository's own ``routes.yaml``."""
    named = [argument.rpartition(":") for argument in arguments]
    if not all(name and port.isascii() and port.isdigit() and int(port) < 2**16 for name, _, port in named):
        print("gateway.demo: expected backends as NAME:PORT, such as orders:8080", file=sys.stderr)
        return 2
    try:
        asyncio.run(serve({name: int(port) for name, _, port in named} or PORTS))
    except OSError as error:
        print(f"gateway.demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
