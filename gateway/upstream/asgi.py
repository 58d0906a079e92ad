"""A backend that is an ASGI application in this process: `target: asgi:package.module:app`."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Headers, Response
from gateway.http.fields import CONNECTION_FIELDS, values
from gateway.http.messages import Message, Receive, Send
from gateway.upstream.request import request_headers

logger = logging.getLogger("gateway.asgi")

AsgiCallable = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

RETIRE_SECONDS = 300.0
STOP_SECONDS = 5.0  # for the lifespan's shutdown
FAILED = 1011  # WebSocket close code (RFC 6455, 7.4.1)


def import_application(module: str, attribute: str) -> Application:
    """The application that a target names. Raises ImportError, AttributeError or TypeError."""
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{attribute} of {module} is not callable")
    return Application(f"asgi:{module}:{attribute}", found)


class Application:
    """A Handler that asks an ASGI application (version 3)."""

    def __init__(self, name: str, app: AsgiCallable) -> None:
        self.name = name
        self._app = app
        self._retiring: asyncio.Task[None] | None = None
        self._lifespan = _Lifespan(name, app)
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, exchange: Exchange) -> Response:
        """Let the application answer. Raises GatewayError where it fails before it does."""
        exchange.upstream = exchange.endpoint = self.name
        exchange.attempts += 1
        started = time.perf_counter()
        await self._lifespan.start()
        if exchange.websocket:
            scope = self._scope(exchange, "websocket")
            return Response(101, [], session=_Session(self.name, self._app, scope))
        answer = _Answer(exchange, self.name)
        task = asyncio.create_task(answer.run(self._app, self._scope(exchange, "http")))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        response = await answer.response(task)
        exchange.upstream_seconds = time.perf_counter() - started
        return response

    def retire(self) -> None:
        """No route leads here any more: stop, once what is in flight is over."""
        self._retiring = asyncio.create_task(self._retire())

    async def _retire(self) -> None:
        if self._running:
            await asyncio.wait(list(self._running), timeout=RETIRE_SECONDS)
        await self.stop()

    async def stop(self) -> None:
        """End what still runs, and run the lifespan's shutdown, if it was started."""
        for task in self._running:
            task.cancel()
        await self._lifespan.stop()

    def _scope(self, exchange: Exchange, kind: str) -> dict[str, Any]:
        headers = [line for line in request_headers(exchange) if line[0] not in CONNECTION_FIELDS]
        scope: dict[str, Any] = {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": exchange.http_version,
            "scheme": exchange.scheme if kind == "http" else exchange.scheme.replace("http", "ws"),
            "path": unquote(exchange.target_path),
            "raw_path": exchange.target_path.encode(),
            "query_string": exchange.query,
            "root_path": "",
            "headers": [(b"host", exchange.host.encode("latin-1")), *headers],
            "client": (exchange.client, 0),
            "server": None,
            "state": self._lifespan.state.copy(),
            "extensions": {},
        }
        if kind == "http":
            scope["method"] = exchange.method
        else:
            offered = b",".join(values(exchange.headers, b"sec-websocket-protocol")).decode("latin-1")
            scope["subprotocols"] = [name.strip() for name in offered.split(",") if name.strip()]
        return scope


class _Lifespan:
    """Startup before the first request, shutdown at the end; neither where the application knows of no lifespan."""

    def __init__(self, name: str, app: AsgiCallable) -> None:
        self.state: dict[str, Any] = {}
        self._name = name
        self._app = app
        self._task: asyncio.Task[None] | None = None
        self._started = asyncio.Event()
        self._stopping = asyncio.Event()
        self._asked = False  # whether the application took the startup message
        self._failure: str | None = None

    async def start(self) -> None:
        """Run the startup, once; whoever comes meanwhile waits for it. Raises GatewayError where it failed."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        await self._started.wait()
        if self._failure is not None:
            raise GatewayError(ErrorKind.UPSTREAM_UNAVAILABLE, f"{self._name} failed to start: {self._failure}")

    async def stop(self) -> None:
        """Run the shutdown, if there was a startup."""
        if self._task is None:
            return
        self._stopping.set()
        await asyncio.wait([self._task], timeout=STOP_SECONDS)
        self._task.cancel()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            if self._asked and self._failure is None:
                logger.warning("the lifespan of %s ended with %r", self._name, error)
        finally:
            self._started.set()

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            self._failure = message.get("message") or "it does not say why"
            logger.error("%s failed to start: %s", self._name, self._failure)
        self._started.set()


class _Answer:
    """One request to the application, and the Body of its response.

    The application is one message ahead of the client at most. What it does after its response is complete
    (background tasks) is its own affair; before that, it is cancelled when nobody wants the response any more.
    """

    def __init__(self, exchange: Exchange, name: str) -> None:
        self._exchange = exchange
        self._name = name
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue(1)  # None: it ended too early
        self._body_over = False
        self._complete = False  # everything was sent
        self._over = False  # everything was read
        self._disconnected = asyncio.Event()
        self._failure: GatewayError | None = None  # of the request body
        self._task: asyncio.Task[None]
        self.trailers: Headers = []

    async def run(self, app: AsgiCallable, scope: dict[str, Any]) -> None:
        """Call the application."""
        try:
            await app(scope, self._receive, self._send)
        except Exception:
            if self._failure is None:
                logger.exception("%s failed on request %s", self._name, self._exchange.request_id)
        if not self._complete:
            await self._messages.put(None)

    async def response(self, task: asyncio.Task[None]) -> Response:
        """The start of the response. Raises GatewayError."""
        self._task = task
        try:
            start = await self._messages.get()
            if start is None:
                detail = f"{self._name} ended without a response"
                raise self._failure or GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail)
            return self._checked(start)
        except BaseException:
            self.close()
            raise

    def _checked(self, start: Message) -> Response:
        status = start.get("status", 0)
        if start["type"] != "http.response.start" or not 200 <= status <= 999:
            detail = f"{self._name} began its response with {start['type']} {status or ''}"
            raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail)
        headers = [(bytes(name).lower(), bytes(value)) for name, value in start.get("headers", ())]
        if any(b"\n" in part or b"\r" in part for line in headers for part in line):
            raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, f"{self._name} sent a header with a line break")
        return Response(status, [line for line in headers if line[0] not in CONNECTION_FIELDS], self)

    # What the application calls.

    async def _receive(self) -> Message:
        if not self._body_over:
            try:
                data = await self._exchange.body.read() if self._exchange.body is not None else b""
            except GatewayError as failure:
                self._failure = failure
                self._disconnected.set()
                data = b""
            self._body_over = not data
            if self._failure is None:
                return {"type": "http.request", "body": data, "more_body": bool(data)}
        await self._disconnected.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._complete:
            return
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._complete = True
            self._disconnected.set()
        await self._messages.put(message)

    # Body.

    @property
    def ready(self) -> bool:
        """Whether `read` would answer at once."""
        return self._over or not self._messages.empty()

    async def read(self) -> bytes:
        """The next piece."""
        while not self._over:
            message = await self._messages.get()
            if message is None:
                detail = f"{self._name} ended in the middle of its response"
                raise self._failure or GatewayError(ErrorKind.UPSTREAM_RESET, detail)
            self._over = not message.get("more_body", False)
            if data := message.get("body", b""):
                return bytes(data)
        return b""

    def close(self) -> None:
        """Nobody reads on."""
        self._disconnected.set()
        if not self._complete:
            self._task.cancel()


class _Session:
    """A WebSocket that the application serves itself."""

    def __init__(self, name: str, app: AsgiCallable, scope: dict[str, Any]) -> None:
        self._name = name
        self._app = app
        self._scope = scope
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def run(self, receive: Receive, send: Send) -> None:
        """Give the application the client's own channel."""
        task = asyncio.ensure_future(self._app(self._scope, receive, send))
        ends: list[asyncio.Future[Any]] = [task, self._ended]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                await send({"type": "websocket.close", "code": self._ended.result()})
        finally:
            task.cancel()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(outcome, Exception) and not isinstance(outcome, OSError):  # OSError: the client is gone
            logger.error("%s failed on a WebSocket", self._name, exc_info=outcome)
            with contextlib.suppress(OSError, RuntimeError):  # it may have been closed before
                await send({"type": "websocket.close", "code": FAILED})

    def close(self, code: int) -> None:
        """End it with this code."""
        if not self._ended.done():
            self._ended.set_result(code)
