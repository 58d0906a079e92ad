"""The end of every handler chain: which endpoint, which connection, which attempt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from gateway.deadlines import NEVER
from gateway.driver import in_task
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Headers, Response
from gateway.http.handshake import UPGRADE_LINES, BadHandshake, check_answer, spelled
from gateway.http.messages import Attempt, Observer
from gateway.upstream.concurrency import LATER
from gateway.upstream.connection import Connection
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.request import Request, Timeouts, request_headers, response_headers, with_time_left
from gateway.upstream.retry import IDEMPOTENT, STALE, NextAttempt, Retries
from gateway.upstream.service import Upstream
from gateway.upstream.websocket import Upgraded, WebSocketLimits

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
    retries: Retries = field(default_factory=Retries)
    observers: tuple[Observer, ...] = ()  # of every attempt of this route

    async def __call__(self, exchange: Exchange, avoided: Sequence[Endpoint] = ()) -> Response:
        """Forward the exchange, to none of the endpoints to avoid. Raises GatewayError when none answered."""
        exchange.upstream = self.name
        timeouts, retries = self.timeouts, self.retries
        bounded = timeouts.total != NEVER and not exchange.websocket
        if bounded:
            exchange.deadline = min(exchange.deadline, asyncio.get_running_loop().time() + timeouts.total)
        host = exchange.host.encode("latin-1") if self.preserve_host else b""
        headers = request_headers(exchange)
        request = Request(exchange, headers, host, timeouts)
        now = time.perf_counter()
        requests = retries.budget.requests
        if now >= requests.ends:
            requests.turn(now)
        requests.latest += 1  # `requests.add(1, now)`, without the call
        endpoint = self.upstream.pick(exchange, now, avoided)
        if endpoint is None:
            raise GatewayError(ErrorKind.UPSTREAM_UNAVAILABLE, f"{self.name} has no endpoint")
        tried: list[Endpoint] = [endpoint]
        again: NextAttempt | None = None
        fresh = False
        while True:
            attempt = endpoint.begin(now, self.observers)
            exchange.attempts += (attempt,)
            if bounded or exchange.span is not None:
                request.headers = self._of_attempt(exchange, endpoint, attempt, headers, bounded=bounded)
            try:
                response = await self._answer(request, endpoint, attempt, fresh=fresh)
            except GatewayError as error:
                again = self._failed(exchange, attempt, error, tried)
                if again is None:
                    raise
            except BaseException:
                attempt.took = time.perf_counter() - attempt.started
                attempt.end()
                raise
            else:
                again = self._answered(exchange, attempt, response, tried)
                if again is None:
                    return response
            if again.pause:
                await retries.wait(again)
            fresh = again.why == STALE
            if not fresh:
                endpoint = again.endpoint
                tried.append(endpoint)
            now = time.perf_counter()

    def describe(self, exchange: Exchange) -> str:
        """Its handling of failures, for `explain`."""
        return f"retries at {self.name}: {self.retries.describe(exchange, self.upstream)}"

    def _of_attempt(
        self, exchange: Exchange, endpoint: Endpoint, attempt: Attempt, headers: Headers, *, bounded: bool
    ) -> Headers:
        """These lines, with what only this attempt says: how much time is left, and its span."""
        if bounded:
            headers = with_time_left(headers, exchange.deadline)
        if exchange.span is None:
            return headers
        scheme = "https" if endpoint.tls else "http"
        return exchange.span.begin(attempt, self.name, scheme, headers)

    def _answer(self, request: Request, endpoint: Endpoint, attempt: Attempt, *, fresh: bool) -> Awaitable[Response]:
        """One attempt; `fresh`: not on a connection that has been idle. What is returned raises GatewayError."""
        exchange = request.exchange
        if exchange.websocket:
            return self._ask_for_websocket(request, endpoint, attempt)
        once = exchange.body is not None or exchange.method not in IDEMPOTENT
        connection = None if fresh else endpoint.connections.reuse(attempt.started, once=once)
        if exchange.body is not None:
            self.retries.prepare(exchange)
        if connection is None:
            return self._answer_anew(request, endpoint, attempt)
        attempt.connected = True
        attempt.reused = connection.used > 0
        return connection.exchange(request, attempt)

    async def _answer_anew(self, request: Request, endpoint: Endpoint, attempt: Attempt) -> Response:
        """The same on a connection that has to be waited for."""
        connection = await self._connection(endpoint, request.exchange, attempt)
        attempt.reused = connection.used > 0
        return await connection.exchange(request, attempt)

    def _failed(
        self, exchange: Exchange, attempt: Attempt, error: GatewayError, tried: list[Endpoint]
    ) -> NextAttempt | None:
        """An attempt is over, without an answer: what follows."""
        attempt.failure = error.kind
        attempt.unanswered = error.retryable
        attempt.took = time.perf_counter() - attempt.started
        again = self.retries.after(exchange, attempt, self.upstream, tried, [])
        attempt.retry = again.why if again is not None else ""
        attempt.end()
        if attempt.connected:
            error.retryable = False  # the endpoint may have seen the request
        return again

    def _answered(
        self, exchange: Exchange, attempt: Attempt, response: Response, tried: list[Endpoint]
    ) -> NextAttempt | None:
        """An attempt was answered: what follows. If something does, the answer is given up."""
        body = response.body
        if response.status in self.retries.settings.statuses:
            again = self.retries.after(exchange, attempt, self.upstream, tried, response.headers)
            if again is not None:
                attempt.retry = again.why
                if not isinstance(body, bytes):
                    body.close()
                return again
        if not isinstance(body, bytes):
            exchange.defer(body.close)
        if self.upstream.affinity is not None:
            self.upstream.affinity.remember(exchange, tried[-1], response)
        return None

    async def _connection(
        self, endpoint: Endpoint, exchange: Exchange, attempt: Attempt, *, apart: bool = False
    ) -> Connection:
        """A connection that has to be waited for, of the pool or, `apart`, beside it. Raises GatewayError."""
        await in_task()
        left = exchange.deadline - asyncio.get_running_loop().time()
        seconds = max(0.001, min(self.timeouts.connect, left))
        connections = endpoint.connections
        try:
            connection = await (connections.open_apart(seconds) if apart else connections.acquire(seconds, attempt))
        except GatewayError as error:
            if error.kind is not ErrorKind.CONCURRENCY_LIMIT:
                raise
            detail = f"{self.name}: {error.detail}"
            raise GatewayError(error.kind, detail, retryable=True, headers=LATER) from None
        attempt.waited = time.perf_counter() - attempt.started
        attempt.connected = True
        return connection

    async def _ask_for_websocket(self, request: Request, endpoint: Endpoint, attempt: Attempt) -> Response:
        """The same for a handshake: on a connection of its own, which a 101 makes one end of a tunnel."""
        exchange = request.exchange
        lines = [*(line for line in request.headers if line[0] not in _HOP), *UPGRADE_LINES]
        connection = await self._connection(endpoint, exchange, attempt, apart=True)
        handshake = Request(exchange, spelled(lines), request.host, self.timeouts)
        response = await connection.exchange(handshake, attempt)
        if response.status != SWITCHING:
            return response
        if not isinstance(response.body, bytes):
            exchange.defer(response.body.close)
        try:
            negotiated = check_answer(lines, response.headers)
        except BadHandshake as error:
            detail = f"{endpoint.label} did not answer the WebSocket handshake as it should: {error}"
            raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail) from None
        answered = [line for line in response.headers if line[0].startswith(b"sec-websocket-")]
        others = [line for line in response.headers if line not in answered]
        session = Upgraded(connection, answered, negotiated, self.websocket, exchange.deadline)
        endpoint.sessions.add(session)
        exchange.defer(partial(endpoint.sessions.discard, session))
        return Response(SWITCHING, response_headers(others), session=session)
