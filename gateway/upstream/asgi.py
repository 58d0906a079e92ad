"""A backend that is an ASGI application in this process: `target: asgi:package.module:app`."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Headers, Response
from gateway.http.fields import CONNECTION_FIELDS
from gateway.http.messages import Message, Receive, Send

logger = logging.getLogger("gateway.asgi")

AsgiCallable = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

_QUEUE = 16  # messages that the application may be ahead of the client


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
        self._state: dict[str, Any] = {}
        self._lifespan: asyncio.Task[None] | None = None
        self._lifespan_in: asyncio.Queue[Message] = asyncio.Queue()
        self._lifespan_out: asyncio.Queue[Message] = asyncio.Queue()

    async def __call__(self, exchange: Exchange) -> Response:
        """Let the application answer. Raises GatewayError where it fails before it does."""
        exchange.upstream = exchange.endpoint = self.name
        exchange.attempts += 1
        await self.start()
        if exchange.websocket:
            return Response(101, [], session=_AsgiSession(self._app, self._scope(exchange, "websocket")))
        answer = _Answer(exchange)
        answer.task = asyncio.create_task(answer.run(self._app, self._scope(exchange, "http")))
        return await answer.response()

    async def start(self) -> None:
        """Run the lifespan startup once; an application without lifespan is ready at once."""
        if self._lifespan is None:
            self._lifespan = asyncio.create_task(self._run_lifespan())
            await self._lifespan_in.put({"type": "lifespan.startup"})
            message = await self._lifespan_out.get()
            if message["type"] == "lifespan.startup.failed":
                detail = f"{self.name} failed to start: {message.get('message', '')}"
                raise GatewayError(ErrorKind.UPSTREAM_UNAVAILABLE, detail)

    async def stop(self) -> None:
        """Run the lifespan shutdown, if it was started."""
        if self._lifespan is not None and not self._lifespan.done():
            await self._lifespan_in.put({"type": "lifespan.shutdown"})
            await self._lifespan_out.get()
            await self._lifespan

    async def _run_lifespan(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        try:
            await self._app(scope, self._lifespan_in.get, self._lifespan_out.put)
        except Exception:
            logger.debug("%s has no lifespan", self.name)
        await self._lifespan_out.put({"type": "lifespan.over"})

    def _scope(self, exchange: Exchange, kind: str) -> dict[str, Any]:
        headers = [line for line in exchange.headers if line[0] not in CONNECTION_FIELDS]
        scope: dict[str, Any] = {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": exchange.http_version,
            "scheme": exchange.scheme if kind == "http" else exchange.scheme.replace("http", "ws"),
            "path": unquote(exchange.target_path),
            "raw_path": exchange.target_path.encode(),
            "query_string": exchange.query,
            "root_path": "",
            "headers": headers,
            "client": (exchange.client, 0),
            "server": None,
            "state": self._state.copy(),
            "extensions": {},
        }
        if kind == "http":
            scope["method"] = exchange.method
        else:
            offered = [value.decode() for name, value in exchange.headers if name == b"sec-websocket-protocol"]
            scope["subprotocols"] = [name.strip() for line in offered for name in line.split(",")]
        return scope


class _Answer:
    """One request to the application, and the Body of its response."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue(_QUEUE)
        self._over = False
        self._complete = False
        self.task: asyncio.Task[None] | None = None
        self.trailers: Headers = []

    async def run(self, app: AsgiCallable, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._messages.put)
        except Exception:
            logger.exception("%s failed on %s %s", self._exchange.upstream, scope["method"], scope["path"])
        await self._messages.put(None)

    async def _receive(self) -> Message:
        body = self._exchange.body
        if body is None:
            if self._over:
                await asyncio.Event().wait()
            self._over = True
            return {"type": "http.request", "body": b"", "more_body": False}
        data = await body.read()
        if not data:
            self._exchange.body = None
            self._over = True
        return {"type": "http.request", "body": data, "more_body": bool(data)}

    async def response(self) -> Response:
        try:
            message = await self._messages.get()
        except BaseException:
            self.close()
            raise
        if message is None or message["type"] != "http.response.start":
            raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, f"{self._exchange.upstream} ended without a response")
        headers = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())]
        if any(b"\n" in part or b"\r" in part for line in headers for part in line):
            self.close()
            detail = f"{self._exchange.upstream} sent a header with a line break"
            raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail)
        return Response(message["status"], [line for line in headers if line[0] not in CONNECTION_FIELDS], self)

    @property
    def ready(self) -> bool:
        return not self._messages.empty()

    async def read(self) -> bytes:
        while not self._complete:
            message = await self._messages.get()
            if message is None:
                detail = f"{self._exchange.upstream} ended in the middle of its response"
                raise GatewayError(ErrorKind.UPSTREAM_RESET, detail)
            self._complete = not message.get("more_body", False)
            if data := message.get("body", b""):
                return bytes(data)
        return b""

    def close(self) -> None:
        if self.task is not None and not self.task.done():
            self.task.cancel()


class _AsgiSession:
    """A WebSocket that the application serves itself."""

    def __init__(self, app: AsgiCallable, scope: dict[str, Any]) -> None:
        self._app = app
        self._scope = scope
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def run(self, receive: Receive, send: Send) -> None:
        """Give the application the client's own channel."""
        task = asyncio.ensure_future(self._app(self._scope, receive, send))
        try:
            await asyncio.wait([task, self._ended], return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                await send({"type": "websocket.close", "code": self._ended.result()})
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def close(self, code: int) -> None:
        """End it with this code."""
        if not self._ended.done():
            self._ended.set_result(code)
