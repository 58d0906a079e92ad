"""The end of every handler chain: which endpoint, which connection, which attempt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.deadlines import NEVER
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Response
from gateway.http.attempt import Attempt, Observer
from gateway.http.fields import response_headers
from gateway.http.handshake import UPGRADE_LINES, BadHandshake, check_answer, spelled
from gateway.upstream.connection import Connection
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.request import Request, Timeouts, request_headers
from gateway.upstream.retry import IDEMPOTENT, STALE, OnlyWhatIsSafe, RetryPolicy
from gateway.upstream.service import Upstream
from gateway.upstream.websocket import Upgraded, WebSocketLimits

ONLY_WHAT_IS_SAFE: Final = OnlyWhatIsSafe()

SWITCHING: Final = 101
_HOP: Final = frozenset({b"connection", b"te"})


@dataclass(frozen=True, slots=True)
class Cluster:
    """A service as one route uses it. A Handler."""

    name: str
    upstream: Upstream
    timeouts: Timeouts
    preserve_host: bool = False
    websocket: WebSocketLimits = field(default_factory=WebSocketLimits)
    retries: RetryPolicy = ONLY_WHAT_IS_SAFE
    observers: tuple[Observer, ...] = ()  # of every attempt of this route

    async def __call__(self, exchange: Exchange) -> Response:
        """Forward the exchange. Raises GatewayError when no endpoint answered."""
        exchange.upstream = self.name
        timeouts = self.timeouts
        if timeouts.total != NEVER and not exchange.websocket:
            exchange.deadline = min(exchange.deadline, asyncio.get_running_loop().time() + timeouts.total)
        host = exchange.host.encode("latin-1") if self.preserve_host else b""
        request = Request(exchange, request_headers(exchange), host, timeouts)
        once = exchange.body is not None or exchange.method not in IDEMPOTENT
        tried: list[Endpoint] = []
        failure: GatewayError | None = None
        retry = ""
        while True:
            now = time.perf_counter()
            if retry != STALE:
                picked = self.upstream.pick(exchange, now, tried)
                if picked is None:
                    raise failure or GatewayError(ErrorKind.UPSTREAM_UNAVAILABLE, f"{self.name} has no endpoint")
                tried.append(picked)
            endpoint = tried[-1]
            attempt = endpoint.begin(now, self.observers)
            try:
                exchange.attempts += (attempt,)
                if exchange.websocket:
                    return await self._ask_for_websocket(request, endpoint, attempt)
                connection = endpoint.idle_connection(now, once=once) if retry != STALE else None
                if connection is None:
                    connection = await self._connection(endpoint.connection, exchange, attempt)
                attempt.connected = True
                attempt.reused = connection.used > 0
                if exchange.body is not None:
                    self.retries.prepare(exchange, attempt)
                response = await connection.exchange(request, attempt)
            except GatewayError as error:
                retry = self._failed(exchange, attempt, error)
                if not retry:
                    raise
                failure = error
            except BaseException:
                attempt.end()
                raise
            else:
                if not isinstance(response.body, bytes):
                    exchange.defer(response.body.close)
                return response

    def _failed(self, exchange: Exchange, attempt: Attempt, error: GatewayError) -> str:
        """An attempt is over: why another one follows; empty where none does."""
        attempt.failure = error.kind
        attempt.unanswered = error.retryable
        attempt.retry = self.retries.again(exchange, attempt)
        attempt.end()
        if attempt.connected:
            error.retryable = False  # the endpoint may have seen the request
        return attempt.retry

    async def _connection(
        self, connect: Callable[[float], Awaitable[Connection]], exchange: Exchange, attempt: Attempt
    ) -> Connection:
        """A connection that has to be waited for. Raises GatewayError."""
        left = exchange.deadline - asyncio.get_running_loop().time()
        connection = await connect(max(0.001, min(self.timeouts.connect, left)))
        attempt.waited = time.perf_counter() - attempt.started
        return connection

    async def _ask_for_websocket(self, request: Request, endpoint: Endpoint, attempt: Attempt) -> Response:
        """The same for a handshake: on a connection of its own, which a 101 makes one end of a tunnel."""
        exchange = request.exchange
        lines = [*(line for line in request.headers if line[0] not in _HOP), *UPGRADE_LINES]
        connection = await self._connection(endpoint.connection_apart, exchange, attempt)
        attempt.connected = True
        handshake = Request(exchange, spelled(lines), request.host, self.timeouts)
        response = await connection.exchange(handshake, attempt)
        if not isinstance(response.body, bytes):
            exchange.defer(response.body.close)
        if response.status != SWITCHING:
            return response
        try:
            negotiated = check_answer(lines, response.headers)
        except BadHandshake as error:
            detail = f"{endpoint.label} did not answer the WebSocket handshake as it should: {error}"
            raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail) from None
        answered = [line for line in response.headers if line[0].startswith(b"sec-websocket-")]
        others = [line for line in response.headers if line not in answered and line[0] != b"content-length"]
        session = Upgraded(connection, answered, negotiated, self.websocket, exchange.deadline)
        return Response(SWITCHING, response_headers(others), session=session)
