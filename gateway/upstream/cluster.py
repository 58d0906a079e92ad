"""The end of every handler chain: which endpoint, which connection, which attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Body, Exchange, Headers, Response
from gateway.http.fields import ENDS_HERE, is_forwarding, nominated, response_headers, tokens
from gateway.http.forwarded import forwarding_headers
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.http1 import encode_request
from gateway.upstream.transport import Connection
from gateway.upstream.websocket import WebSocketLimits, open_websocket

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110, 9.2.2, without TRACE, which is never forwarded."""


class Balancer(Protocol):
    """Chooses among the endpoints of a cluster."""

    def pick(self, excluded: Collection[Endpoint] = ()) -> Endpoint | None:
        """The endpoint to try next, or None where none is left."""
        ...


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `idle` None: IDLE_SECONDS, and never for an event stream, which may be silent for hours."""

    connect: float = 5.0
    response_header: float = 60.0
    idle: float | None = None
    total: float = float("inf")


IDLE_SECONDS = 300.0


class UpstreamBody:
    """A response body on its way from an endpoint. Its end, or `close`, ends the exchange with the endpoint."""

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
        return self._connection.has_data

    async def read(self) -> bytes:
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
    """The endpoints of one service, as one route uses them. A Handler."""

    name: str
    balancer: Balancer
    endpoints: tuple[Endpoint, ...]
    timeouts: Timeouts
    preserve_host: bool = False
    websocket: WebSocketLimits = field(default_factory=WebSocketLimits)

    async def __call__(self, exchange: Exchange) -> Response:
        """Forward the exchange. Raises GatewayError when no endpoint answered."""
        exchange.upstream = self.name
        loop = asyncio.get_running_loop()
        exchange.deadline = min(exchange.deadline, loop.time() + self.timeouts.total)
        headers = request_headers(exchange)
        tried: list[Endpoint] = []
        while True:
            endpoint = self.balancer.pick(tried)
            if endpoint is None:
                raise GatewayError(ErrorKind.UPSTREAM_UNAVAILABLE, f"{self.name} has no endpoint left to try")
            tried.append(endpoint)
            try:
                return await self._attempt(exchange, endpoint, headers)
            except GatewayError as error:
                endpoint.failures += 1
                # A retryable error was met before the endpoint saw anything: another one may answer.
                if not error.retryable or len(tried) == len(self.endpoints):
                    raise

    async def _attempt(self, exchange: Exchange, endpoint: Endpoint, headers: Headers) -> Response:
        """Ask one endpoint; once more on a fresh connection where an old one turned out to be dead."""
        exchange.endpoint = endpoint.label
        endpoint.requests += 1
        if exchange.websocket:
            return await self._ask_for_websocket(exchange, endpoint, headers)
        connection = endpoint.idle_connection()
        if connection is not None:
            try:
                return await self._ask(exchange, endpoint, connection, headers)
            except GatewayError as error:
                dead = error.kind is ErrorKind.UPSTREAM_RESET and error.retryable
                if not dead or exchange.method not in IDEMPOTENT or exchange.body is not None:
                    raise not_retryable(error) from None
        connection = await endpoint.connection(self._connect_seconds(exchange))
        try:
            return await self._ask(exchange, endpoint, connection, headers)
        except GatewayError as error:
            raise not_retryable(error) from None

    async def _ask_for_websocket(self, exchange: Exchange, endpoint: Endpoint, headers: Headers) -> Response:
        exchange.attempts += 1
        loop = asyncio.get_running_loop()
        exchange.upstream_started = loop.time()
        answer = await open_websocket(
            exchange,
            endpoint,
            [line for line in headers if not line[0].startswith(b"sec-websocket-")],
            host=self._host_for(exchange, endpoint),
            connect_seconds=self.timeouts.connect,
            limits=self.websocket,
        )
        exchange.upstream_seconds = loop.time() - exchange.upstream_started
        return answer

    def _host_for(self, exchange: Exchange, endpoint: Endpoint) -> bytes:
        return exchange.host.encode("latin-1") if self.preserve_host else endpoint.authority

    def _connect_seconds(self, exchange: Exchange) -> float:
        left = exchange.deadline - asyncio.get_running_loop().time()
        return max(0.001, min(self.timeouts.connect, left))

    async def _ask(self, exchange: Exchange, endpoint: Endpoint, connection: Connection, headers: Headers) -> Response:
        """One exchange on one connection."""
        exchange.attempts += 1
        timeouts = self.timeouts
        loop = asyncio.get_running_loop()
        started = exchange.upstream_started = loop.time()
        host = self._host_for(exchange, endpoint)
        head = encode_request(exchange.method, exchange.target_path, exchange.query, host, headers)
        idle = IDLE_SECONDS if timeouts.idle is None else timeouts.idle
        connection.begin(exchange.method, head, exchange_ends=exchange.deadline, idle_seconds=idle)
        upload = None
        if exchange.body is None:
            connection.request_complete(timeouts.response_header)
        else:
            upload = loop.create_task(self._upload(connection, exchange.body, chunked=_is_chunked(exchange)))
        body = UpstreamBody(connection, endpoint, upload)
        endpoint.in_flight += 1
        try:
            reader = await connection.response_head(exchange.early_hints)
        except BaseException:
            body.close()
            raise
        exchange.upstream_seconds = loop.time() - started
        if timeouts.idle is None and _is_event_stream(reader.headers):
            connection.use_idle_timeout(float("inf"))
        answer = Response(reader.status, response_headers(reader.headers))
        if connection.response_complete and upload is None:
            answer.body = reader.take()
            if reader.trailers:
                answer.body = _Whole(answer.body, reader.trailers)
            body.close()
        else:
            answer.body = body
        return answer

    async def _upload(self, connection: Connection, body: Body, *, chunked: bool) -> None:
        """Send the request body beside the wait for the response, which may come before all of it is sent."""
        try:
            await connection.upload(body, chunked=chunked)
            connection.request_complete(self.timeouts.response_header)
        except GatewayError as error:
            connection.abort(error)


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


def request_headers(exchange: Exchange) -> Headers:
    """The lines that go to the backend: the client's, less those that end here, plus what the gateway says of it."""
    received, fields = exchange.headers, exchange.fields
    dropped = ENDS_HERE
    if b"connection" in fields and (named := nominated(received, fields)):
        dropped = ENDS_HERE | named
    headers = [line for line in received if line[0] not in dropped and not is_forwarding(line[0])]
    headers += forwarding_headers(exchange)
    if exchange.body is not None:
        headers.append(
            (b"transfer-encoding", b"chunked")
            if _is_chunked(exchange)
            else (b"content-length", fields[b"content-length"])
        )
    elif b"content-length" in fields:
        headers.append((b"content-length", b"0"))
    if b"te" in fields and b"trailers" in tokens(received, b"te"):
        headers += [(b"te", b"trailers"), (b"connection", b"te")]
    return headers


def not_retryable(error: GatewayError) -> GatewayError:
    """The same failure, once the endpoint may have seen the request."""
    error.retryable = False
    return error


def _is_chunked(exchange: Exchange) -> bool:
    return b"content-length" not in exchange.fields


def _is_event_stream(headers: Headers) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
