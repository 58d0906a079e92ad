"""The end of every handler chain: which endpoint, which connection, which attempt."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from gateway.deadlines import NEVER
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Body, Exchange, Headers, Response
from gateway.http.fields import response_headers
from gateway.http.handshake import UPGRADE_LINES, BadHandshake, check_answer, spelled
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.http1.codec import DONE, SWITCHED, encode_request
from gateway.upstream.http1.connection import Connection
from gateway.upstream.request import Rereadable, is_chunked, request_headers, request_trailers
from gateway.upstream.service import Upstream
from gateway.upstream.websocket import Upgraded, WebSocketLimits

logger = logging.getLogger("gateway.upstream")

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110, 9.2.2, without TRACE, which is never forwarded."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. An event stream may be silent for hours, and so has a bound of its own."""

    connect: float = 5.0
    response_header: float = 60.0
    idle: float = 300.0
    event_stream_idle: float = NEVER
    total: float = NEVER


SWITCHING: Final = 101
_HOP: Final = frozenset({b"connection", b"te"})
_EXPECT: Final = (b"expect", b"100-continue")


class UpstreamBody:
    """A response body on its way from an endpoint, until `close`, after which the connection may be another's."""

    __slots__ = ("_connection", "_endpoint", "_over", "_upload")

    def __init__(self, connection: Connection, endpoint: Endpoint, upload: asyncio.Task[None] | None) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self._upload = upload
        self._over = False

    @property
    def trailers(self) -> Headers:
        return self._connection.trailers if not self._over else []

    @property
    def ready(self) -> bool:
        return self._over or self._connection.has_data

    async def read(self) -> bytes:
        if self._over:
            raise GatewayError(ErrorKind.UPSTREAM_RESET, f"the response of {self._endpoint.label} was closed")
        return await self._connection.read_body()

    def close(self) -> None:
        if self._over:
            return
        self._over = True
        self._endpoint.in_flight -= 1
        uploaded = self._upload is None or self._upload.done()
        if self._upload is not None and not uploaded:
            self._upload.cancel()
        self._connection.finish(reusable=uploaded)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A service as one route uses it. A Handler."""

    name: str
    upstream: Upstream
    timeouts: Timeouts
    preserve_host: bool = False
    websocket: WebSocketLimits = field(default_factory=WebSocketLimits)

    async def __call__(self, exchange: Exchange) -> Response:
        """Forward the exchange. Raises GatewayError when no endpoint answered."""
        exchange.upstream = self.name
        if self.timeouts.total != NEVER and not exchange.websocket:
            exchange.deadline = min(exchange.deadline, asyncio.get_running_loop().time() + self.timeouts.total)
        headers = request_headers(exchange)
        tried: list[Endpoint] = []
        failure: GatewayError | None = None
        while (endpoint := self.upstream.balancer.pick(exchange, time.perf_counter(), tried)) is not None:
            tried.append(endpoint)
            try:
                return await self._attempt(exchange, endpoint, headers)
            except GatewayError as error:
                if error.kind.origin == "upstream":
                    endpoint.failures += 1
                # A retryable error was met before the endpoint saw anything: another one may answer.
                if not error.retryable:
                    raise
                failure = error
        raise failure or GatewayError(ErrorKind.UPSTREAM_UNAVAILABLE, f"{self.name} has no endpoint")

    async def _attempt(self, exchange: Exchange, endpoint: Endpoint, headers: Headers) -> Response:
        """Ask one endpoint; once more on another connection where an old one turned out to be dead."""
        exchange.endpoint = endpoint.label
        endpoint.requests += 1
        host = exchange.host.encode("latin-1") if self.preserve_host else endpoint.authority
        if exchange.websocket:
            return await self._ask_for_websocket(exchange, endpoint, host, headers)
        again = False
        while True:
            expecting = exchange.expectation is not None and exchange.expectation.pending
            lines = [*headers, _EXPECT] if expecting else headers
            # Before a connection is taken, as it fails where a policy has added what is no header.
            head = encode_request(exchange.method, exchange.target_path, exchange.query_part(), host, lines)
            connection = None if again else endpoint.idle_connection()
            if connection is None:
                connection = await endpoint.connection(self._connect_seconds(exchange))
            reused = connection.used > 0
            if reused and exchange.body is not None and exchange.method in IDEMPOTENT:
                exchange.body = Rereadable(exchange.body)
            try:
                return await self._ask(exchange, endpoint, connection, head, expecting=expecting)
            except GatewayError as error:
                dead = error.kind is ErrorKind.UPSTREAM_RESET and error.retryable
                error.retryable = False  # the endpoint may have seen the request
                if not (reused and dead and _is_repeatable(exchange)):
                    raise
            again = True

    async def _ask_for_websocket(
        self, exchange: Exchange, endpoint: Endpoint, host: bytes, headers: Headers
    ) -> Response:
        """The same for a handshake: on a connection of its own, which a 101 makes one end of a tunnel."""
        lines = [*(line for line in headers if line[0] not in _HOP), *UPGRADE_LINES]
        target = exchange.target_path
        head = encode_request(exchange.method, target, exchange.query_part(), host, spelled(lines))
        connection = await endpoint.connection_apart(self._connect_seconds(exchange))
        try:
            response = await self._ask(exchange, endpoint, connection, head, expecting=False)
        except GatewayError as error:
            error.retryable = False  # the endpoint may have seen the request
            raise
        if response.status != SWITCHING:
            return response
        try:
            negotiated = check_answer(lines, response.headers)
        except BadHandshake as error:
            detail = f"{endpoint.label} did not answer the WebSocket handshake as it should: {error}"
            raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail) from None
        handshake = [line for line in response.headers if line[0].startswith(b"sec-websocket-")]
        response.session = Upgraded(connection, handshake, negotiated, self.websocket, exchange.deadline)
        others = [line for line in response.headers if line not in handshake and line[0] != b"content-length"]
        response.headers = response_headers(others)
        return response

    def _connect_seconds(self, exchange: Exchange) -> float:
        left = exchange.deadline - asyncio.get_running_loop().time()
        return max(0.001, min(self.timeouts.connect, left))

    async def _ask(
        self, exchange: Exchange, endpoint: Endpoint, connection: Connection, head: bytes, *, expecting: bool
    ) -> Response:
        """One exchange on one connection."""
        timeouts = self.timeouts
        upload = None
        endpoint.in_flight += 1
        try:
            exchange.attempts += 1
            started = time.perf_counter()
            until, idle = exchange.deadline, timeouts.idle
            if exchange.body is None:
                due, upgrade = timeouts.response_header, exchange.websocket
                connection.begin(exchange.method, head, until, idle, due, upgrade=upgrade)
            else:
                connection.begin(exchange.method, head, until, idle, None)
                upload = asyncio.create_task(self._upload(connection, exchange, exchange.body, expecting))
            reader = await connection.response_head(exchange.early_hints)
        except BaseException:
            UpstreamBody(connection, endpoint, upload).close()
            raise
        exchange.upstream_seconds = time.perf_counter() - started
        if upload is None and reader.phase is DONE:  # it came whole with its head, as small ones do
            data = reader.take()
            endpoint.in_flight -= 1
            headers, trailers = response_headers(reader.headers, reader.fields), reader.trailers
            connection.finish(reusable=True)
            return Response(reader.status, headers, _Whole(data, trailers) if trailers else data)
        body = UpstreamBody(connection, endpoint, upload)
        exchange.defer(body.close)
        if reader.phase is SWITCHED:
            return Response(reader.status, reader.headers)
        if timeouts.event_stream_idle != timeouts.idle and _is_event_stream(reader.fields):
            connection.use_idle_timeout(timeouts.event_stream_idle)
        return Response(reader.status, response_headers(reader.headers, reader.fields), body)

    async def _upload(self, connection: Connection, exchange: Exchange, body: Body, expecting: bool) -> None:
        """Send the request body beside the wait for the response, which may come before all of it is sent, or any."""
        try:
            allowed = partial(request_trailers, exchange)
            if await connection.upload(body, chunked=is_chunked(exchange), expecting=expecting, allowed=allowed):
                connection.request_complete(self.timeouts.response_header)
        except GatewayError as error:
            connection.abort(error)
        except Exception:
            logger.exception("the request body for %s could not be read", connection.endpoint_label)
            connection.abort(GatewayError(ErrorKind.INTERNAL, "the request body could not be read"))


class _Whole:
    """A body that has come as a whole, with trailers behind it."""

    __slots__ = ("_data", "trailers")

    def __init__(self, data: bytes, trailers: Headers) -> None:
        self._data = data
        self.trailers = trailers

    @property
    def ready(self) -> bool:
        return True

    async def read(self) -> bytes:
        data, self._data = self._data, b""
        return data

    def close(self) -> None:
        self._data = b""


def _is_repeatable(exchange: Exchange) -> bool:
    """Whether the same request can be sent again, though the endpoint may have acted on it; its body is rewound."""
    if exchange.method not in IDEMPOTENT:
        return False
    return exchange.body is None or (isinstance(exchange.body, Rereadable) and exchange.body.rewind())


def _is_event_stream(fields: dict[bytes, bytes]) -> bool:
    return fields.get(b"content-type", b"").lower().startswith(b"text/event-stream")
