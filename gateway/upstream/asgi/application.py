"""The application, and what its lifespan and its requests have in common."""

from __future__ import annotations

import asyncio
import importlib
import time
from functools import partial
from typing import Any
from urllib.parse import unquote

from gateway.custom_code import described
from gateway.deadlines import NEVER, Deadlines
from gateway.http import Exchange, Headers, Response
from gateway.http.fields import CONNECTION_FIELDS, values
from gateway.http.messages import Attempt
from gateway.upstream.asgi.answer import Answer
from gateway.upstream.asgi.lifespan import Lifespan
from gateway.upstream.asgi.messages import AsgiCallable
from gateway.upstream.asgi.running import Running
from gateway.upstream.asgi.session import Session
from gateway.upstream.request import Timeouts, request_headers
from gateway.upstream.websocket import WebSocketLimits

RETIRE_SECONDS = 300.0


def import_application(module: str, attribute: str) -> Application:
    """The application that a target names. Raises ImportError, AttributeError or TypeError."""
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except BaseException as error:  # what a module does when it is imported is its own affair
        if not _is_missing(error, module):
            raise ImportError(described(error)) from None
        if isinstance(error, ModuleNotFoundError):
            remedy = "install its package, or name its directory in PYTHONPATH"
            raise ImportError(f"{error}; {remedy}") from None
        raise
    if not callable(found):
        raise TypeError(f"{attribute} of {module} is not callable")
    return Application(f"asgi:{module}:{attribute}", found)


def _is_missing(error: BaseException, module: str) -> bool:
    """Whether the error is a missing module, package or attribute; and not one that the module itself looks for."""
    if isinstance(error, ModuleNotFoundError):
        return f"{module}.".startswith(f"{error.name}.")
    here = error.__traceback__
    return isinstance(error, AttributeError) and here is not None and here.tb_next is None


class Application:
    """An ASGI application (version 3), which all routes that lead to it share."""

    def __init__(self, name: str, app: AsgiCallable) -> None:
        self.name = name
        self._app = app
        self._retiring: asyncio.Task[None] | None = None  # which waits for what is in flight
        self._stopping: asyncio.Task[None] | None = None  # the same, once it has waited
        self._lifespan = Lifespan(name, app)
        self._running = Running(name)
        self._deadlines: Deadlines | None = None

    async def answer(self, exchange: Exchange, timeouts: Timeouts, websocket: WebSocketLimits) -> Response:
        """Call the application. Raises GatewayError if it fails before its response, or takes too long."""
        exchange.upstream = self.name
        attempt = Attempt(self.name, time.perf_counter())
        attempt.connected = True
        exchange.attempts += (attempt,)
        headers = request_headers(exchange)
        if exchange.span is not None:
            headers = exchange.span.begin(attempt, self.name, "", headers)
            exchange.defer(partial(_over, attempt))
        loop = asyncio.get_running_loop()
        if timeouts.total != NEVER and not exchange.websocket:
            exchange.deadline = min(exchange.deadline, loop.time() + timeouts.total)
        lifespan = None
        while lifespan is not self._lifespan:  # it may be stopped meanwhile
            lifespan = self._lifespan
            await lifespan.start(min(timeouts.response_header, exchange.deadline - loop.time()))
        if self._deadlines is None:
            self._deadlines = Deadlines(loop)
        if exchange.websocket:
            session = Session(exchange, self.name, self._running, websocket, self._deadlines)
            exchange.defer(session.release)
            session.begin(self._app, self._scope(exchange, "websocket", headers))
            response = await session.answer(timeouts.response_header)
        else:
            answer = Answer(exchange, self.name, self._running, timeouts, self._deadlines)
            exchange.defer(answer.close)
            answer.begin(self._app, self._scope(exchange, "http", headers))
            response = await answer.response()
        attempt.seconds = time.perf_counter() - attempt.started
        attempt.status = response.status
        return response

    def retire(self) -> None:
        """No route leads here any more: stop, once what is in flight is over."""
        self._retiring = asyncio.create_task(self._retire())

    def go_on(self) -> None:
        """A route leads here, perhaps again."""
        if self._retiring is not None:
            self._retiring.cancel()
            self._retiring = None

    async def _retire(self) -> None:
        await self._running.over(RETIRE_SECONDS)
        self._retiring, self._stopping = None, self._retiring
        await self.stop()

    async def stop(self) -> None:
        """End what still runs, and run the lifespan's shutdown, if it was started. Requests that come from now on wait
        for that, and for another startup."""
        running, lifespan = self._running, self._lifespan
        self._running, self._lifespan = Running(self.name), Lifespan(self.name, self._app, after=lifespan.over)
        await running.stop()
        await lifespan.stop()

    def _scope(self, exchange: Exchange, kind: str, headers: Headers) -> dict[str, Any]:
        headers = [line for line in headers if line[0] not in CONNECTION_FIELDS]
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


def _over(attempt: Attempt) -> None:
    """The exchange is over, and with it its only attempt."""
    attempt.took = time.perf_counter() - attempt.started
