"""The only file that speaks ASGI: scope -> Exchange, Response -> send, lifespan, WebSocket.

Gateway.__call__      which kind of scope
  _http               health; otherwise an exchange: answered, sent, reported once
  _websocket          the same for a WebSocket
  _lifespan           configuration is loaded, and watched
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.build import Snapshot
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Headers, Response, WebSocketSession
from gateway.http.fields import tokens
from gateway.http.messages import Message, Receive, Send
from gateway.http.problems import problem_for
from gateway.monitor.access_log import Record
from gateway.reload import Reloader
from gateway.routes.paths import PathError, normalise
from gateway.routes.rule import NoMatch

logger = logging.getLogger("gateway")

Scope = dict[str, Any]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_HEALTH = ("/health", "/health/live", "/health/ready")


class Gateway:
    """The gateway as an ASGI application. `reloader` holds the Snapshot that new exchanges begin with."""

    def __init__(self, reloader: Reloader, access_log: Callable[[Record], None]) -> None:
        self.reloader = reloader
        self.draining = False
        self._access_log = access_log
        self._ids = random.Random()
        self._sessions: set[WebSocketSession] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] == "http":
            if "gateway.cancel" in scope.get("extensions", ()):
                await self._http(scope, receive, send)
            else:
                await _until_disconnect(self._http, scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._lifespan(receive, send)

    # HTTP.

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/health") and scope["path"] in _HEALTH and scope["method"] in ("GET", "HEAD"):
            await _send(health(self, scope["path"]), send, _Transfer(0, 0), trailers=False)
            return
        snapshot = self.reloader.current
        exchange = self._exchange(scope, snapshot)
        exchange.body = body = _request_body(exchange, receive)
        extensions = scope.get("extensions") or {}
        if "http.response.early_hint" in extensions:
            exchange.early_hints = _early_hints(send)
        transfer = _Transfer(time.time(), asyncio.get_running_loop().time())
        try:
            response = await self._answer(exchange, snapshot, extensions)
            transfer.status = response.status
            trailers = "http.response.trailers" in extensions and _wants_trailers(exchange, response)
            await _send(response, send, transfer, trailers=trailers)
        except asyncio.CancelledError:
            exchange.error = GatewayError(ErrorKind.CLIENT_GONE, "the client went away")
            transfer.status = transfer.status or ErrorKind.CLIENT_GONE.status
            raise
        except GatewayError as error:
            exchange.error = error  # too late for another status: the server cuts the connection off
        finally:
            self._report(exchange, transfer, body.received if body else 0)

    async def _answer(self, exchange: Exchange, snapshot: Snapshot | None, extensions: dict[str, Any]) -> Response:
        """The response of the route, or the problem that says why there is none."""
        try:
            refusal = extensions.get("gateway.refusal")
            if refusal is not None:
                raise refusal["error"]
            return await self._route(exchange, snapshot)
        except GatewayError as error:
            exchange.error = error
            return problem_for(error, exchange)
        except Exception as error:
            logger.exception("request %s: %s %s failed", exchange.request_id, exchange.method, exchange.path)
            exchange.error = error
            return problem_for(GatewayError(ErrorKind.INTERNAL, "see the gateway's log under this id"), exchange)

    async def _route(self, exchange: Exchange, snapshot: Snapshot | None) -> Response:
        """Find the route, and let its handlers answer. Raises GatewayError."""
        if snapshot is None:
            detail = "the configuration has errors, which the log and /health name; correct the files"
            raise GatewayError(ErrorKind.NO_CONFIGURATION, detail)
        if exchange.path == "*":
            return Response(204, [(b"content-length", b"0")])
        try:
            path = normalise(exchange.path.encode("latin-1"))
        except PathError as error:
            raise GatewayError(ErrorKind.AMBIGUOUS_PATH, str(error)) from None
        exchange.path = path.path
        match = snapshot.table.match(exchange.method, exchange.host, path.path, exchange.query, exchange.fields.get)
        if isinstance(match, NoMatch):
            raise _no_match(exchange, match)
        exchange.route = match.rule.id
        if path.has_encoded_slash and not match.rule.allow_encoded_slashes:
            detail = "the path holds an encoded slash or backslash, which this route does not allow"
            raise GatewayError(ErrorKind.AMBIGUOUS_PATH, detail)
        exchange.target_path = match.path
        exchange.parameters = dict(match.parameters)
        return await match.value.handle(exchange)

    def _exchange(self, scope: Scope, snapshot: Snapshot | None) -> Exchange:
        headers: Headers = scope["headers"]
        fields = dict(headers)
        client = scope.get("client")
        peer = client[0] if client else "unknown"
        scheme = scope["scheme"].replace("ws", "http")
        trusted, address = False, peer
        if snapshot is not None:
            caller = snapshot.proxies.caller(peer, scheme, headers, fields)
            trusted, address, scheme = caller.peer_trusted, caller.client, caller.scheme
        return Exchange(
            request_id=self._request_id(fields, trusted=trusted),
            method=scope.get("method", "GET"),
            path=(scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
            query=scope["query_string"],
            headers=headers,
            fields=fields,
            scheme=scheme,
            host=fields.get(b"host", b"").decode("latin-1"),
            peer=peer,
            peer_trusted=trusted,
            client=address,
            http_version=scope["http_version"],
        )

    def _request_id(self, fields: dict[bytes, bytes], *, trusted: bool) -> str:
        """The id that a trusted proxy gave the request, or a new one."""
        if trusted and b"x-request-id" in fields:
            given = fields[b"x-request-id"].decode("latin-1")
            if _REQUEST_ID.fullmatch(given):
                return given
        return f"{self._ids.getrandbits(96):024x}"

    def _report(self, exchange: Exchange, transfer: _Transfer, received: int) -> None:
        """What came of an exchange, told once."""
        now = asyncio.get_running_loop().time()
        error = exchange.error
        self._access_log(
            {
                "time": transfer.at,
                "request_id": exchange.request_id,
                "client": exchange.client,
                "method": exchange.method,
                "host": exchange.host,
                "path": exchange.path,
                "route": exchange.route,
                "upstream": exchange.upstream,
                "endpoint": exchange.endpoint,
                "status": transfer.status,
                "bytes_in": received,
                "bytes_out": transfer.sent,
                "duration": round(now - transfer.started, 6),
                "upstream_duration": exchange.upstream_seconds and round(exchange.upstream_seconds, 6),
                "attempts": exchange.attempts,
                "error": f"{error.kind.slug}: {error}" if isinstance(error, GatewayError) else error and repr(error),
            }
        )

    # WebSockets.

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        snapshot = self.reloader.current
        exchange = self._exchange(scope, snapshot)
        exchange.websocket = True
        transfer = _Transfer(time.time(), asyncio.get_running_loop().time())
        try:
            response = await self._answer(exchange, snapshot, {})
            transfer.status = response.status
            if response.session is None:
                await receive()
                await _deny(response, scope, send)
            else:
                await self._run(response.session, receive, send)
        finally:
            self._report(exchange, transfer, 0)

    async def _run(self, session: WebSocketSession, receive: Receive, send: Send) -> None:
        self._sessions.add(session)
        try:
            await session.run(receive, send)
        finally:
            self._sessions.discard(session)

    def close_websockets(self, code: int) -> None:
        """End every WebSocket with this code."""
        for session in list(self._sessions):
            session.close(code)

    # Lifespan.

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.reloader.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.reloader.stop()
        await send({"type": "lifespan.shutdown.complete"})


@dataclass(slots=True)
class _Transfer:
    """What of a response reached the client's side."""

    at: float  # Unix time
    started: float  # loop time
    status: int = 0
    sent: int = 0  # body bytes


async def _send(response: Response, send: Send, transfer: _Transfer, *, trailers: bool) -> None:
    """Send a response. Raises GatewayError where its body is cut short."""
    body = response.body
    start = {"type": "http.response.start", "status": response.status, "headers": response.headers}
    if isinstance(body, bytes):
        await send(start)
        await send({"type": "http.response.body", "body": body})
        transfer.sent = len(body)
        return
    try:
        await send(start | {"trailers": trailers})
        if not body.ready:
            await send({"type": "http.response.body", "body": b"", "more_body": True})  # let the head go
        while piece := await body.read():
            transfer.sent += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if trailers:
            await send({"type": "http.response.trailers", "headers": body.trailers, "more_trailers": False})
    finally:
        body.close()


async def _deny(response: Response, scope: Scope, send: Send) -> None:
    """Answer a WebSocket handshake with something else than 101."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    body = response.body if isinstance(response.body, bytes) else b""
    await send({"type": "websocket.http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "websocket.http.response.body", "body": body})


class RequestBody:
    """A request body as ASGI hands it over. A Body."""

    __slots__ = ("_over", "_receive", "received", "trailers")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._over = False
        self.received = 0  # bytes
        self.trailers: Headers = []

    @property
    def ready(self) -> bool:
        return self._over

    async def read(self) -> bytes:
        while not self._over:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._over = True
                raise message.get("gateway.error") or GatewayError(ErrorKind.CLIENT_GONE, "the client went away")
            if not message.get("more_body", False):
                self._over = True
                self.trailers = message.get("gateway.trailers", [])
            data: bytes = message.get("body", b"")
            if data:
                self.received += len(data)
                return data
        return b""

    def close(self) -> None:
        self._over = True


def _request_body(exchange: Exchange, receive: Receive) -> RequestBody | None:
    """The body, where the head announces one."""
    fields = exchange.fields
    if b"transfer-encoding" in fields or fields.get(b"content-length", b"0").strip(b"0"):
        return RequestBody(receive)
    return None


def _early_hints(send: Send) -> Callable[[Headers], Awaitable[None]]:
    async def pass_on(links: Headers) -> None:
        await send({"type": "http.response.early_hint", "links": [value for _, value in links]})

    return pass_on


def _wants_trailers(exchange: Exchange, response: Response) -> bool:
    """Whether the trailer section, if one comes, may be passed on (RFC 9110, 6.5.1)."""
    if isinstance(response.body, bytes):
        return False
    if any(name == b"trailer" for name, _ in response.headers):
        return True
    return b"te" in exchange.fields and b"trailers" in tokens(exchange.headers, b"te")


def _no_match(exchange: Exchange, match: NoMatch) -> GatewayError:
    if match.allow:
        allow = ", ".join(match.allow)
        detail = f"{exchange.path} takes {allow}, not {exchange.method}"
        return GatewayError(ErrorKind.METHOD_NOT_ALLOWED, detail, headers=((b"allow", allow.encode()),))
    return GatewayError(ErrorKind.NO_ROUTE, f"no route takes {exchange.method} {exchange.path}")


def health(gateway: Gateway, path: str) -> Response:
    """What probes are told. Live: the process answers. Ready: send traffic."""
    report = gateway.reloader.report()
    status = "draining" if gateway.draining else "ok" if gateway.reloader.current else "no configuration"
    well = status == "ok" or path == "/health/live"
    body = orjson.dumps({"status": status, "config": report})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    return Response(200 if well else 503, headers, body)


async def _until_disconnect(handle: Callable[..., Awaitable[None]], scope: Scope, receive: Receive, send: Send) -> None:
    """For servers that do not cancel the task of a client that went away: listen for it beside the exchange."""
    body_over = asyncio.Event()

    async def listened() -> Message:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            body_over.set()
        return message

    async def listen() -> None:
        fields = dict(scope["headers"])
        if b"transfer-encoding" in fields or fields.get(b"content-length", b"0") != b"0":
            await body_over.wait()
        while (await receive())["type"] != "http.disconnect":
            pass

    exchange = asyncio.ensure_future(handle(scope, listened, send))
    listener = asyncio.create_task(listen())
    try:
        await asyncio.wait({exchange, listener}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (exchange, listener):
            task.cancel()
        await asyncio.wait({exchange, listener})
    if not exchange.cancelled():
        exchange.result()
