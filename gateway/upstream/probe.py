"""One look at an endpoint: whether it answers as it should."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from gateway.deadlines import NEVER
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Headers, Response
from gateway.http.messages import Attempt
from gateway.upstream.connection import Connection
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Checked
from gateway.upstream.request import Request, Timeouts

BODY_LIMIT: Final = 64 * 1024  # bytes of an answer that are looked at

_TIMEOUTS: Final = Timeouts(NEVER, NEVER, NEVER)  # but the deadline of the exchange
HEADERS: Final[Headers] = [(b"user-agent", b"gateway-health-check"), (b"accept", b"*/*"), (b"connection", b"close")]


@dataclass(frozen=True, slots=True)
class Check:
    """How the endpoints of a service are checked. Times are seconds."""

    path: str | None  # with its query; None: to accept a connection is enough
    interval: float = 10.0
    timeout: float = 2.0
    unhealthy_after: int = 3
    healthy_after: int = 2
    initially_up: bool = True
    method: str = "GET"
    host: bytes = b""  # empty: that of the endpoint
    statuses: tuple[tuple[int, int], ...] = ((200, 399),)  # from, to
    contains: bytes = b""

    def expects(self, status: int) -> bool:
        """Whether this status passes."""
        return any(low <= status <= high for low, high in self.statuses)

    def fault(self, status: int, body: bytes) -> str:
        """The error of an answer; empty if there is none. `body` is only checked if it matters."""
        if not self.expects(status):
            # What is below 500 says less of the endpoint than of the question.
            asked = f" to {self.method} {self.path}: is that its health check?" if status < 500 else ""
            return f"answered {status}{asked}"
        return "" if self.contains in body else "its answer does not contain the expected text"


async def probed(endpoint: Endpoint, check: Check) -> Checked:
    """The result of one check. It takes no longer than its time-out, and does not raise."""
    started, ends, asked = time.perf_counter(), asyncio.get_running_loop().time() + check.timeout, True
    date = b""
    try:
        connection = await endpoint.connections.open_apart(check.timeout)
        try:
            fault, date = await _fault(connection, check, started, ends) if check.path is not None else ("", b"")
        finally:
            connection.close()
    except GatewayError as error:
        asked = error.kind is not ErrorKind.OVERLOADED
        late = error.kind is ErrorKind.UPSTREAM_TIMEOUT or error.kind is ErrorKind.UPSTREAM_CONNECT_TIMEOUT
        fault = f"no answer in {check.timeout:g} s" if late else error.detail.removeprefix(f"{endpoint.label}: ")
    return Checked(time.time(), time.perf_counter() - started, not fault, fault or "passed", asked, date)


async def _fault(connection: Connection, check: Check, started: float, ends: float) -> tuple[str, bytes]:
    """The error of the answer, empty if there is none, and its Date. Raises GatewayError."""
    path, question, query = (check.path or "").partition("?")
    exchange = Exchange("", check.method, path, query.encode(), [], {}, "http", "", "", False, "")
    exchange.target_path, exchange.bare_query, exchange.deadline = path, bool(question), ends
    response = await connection.exchange(Request(exchange, HEADERS, check.host, _TIMEOUTS), Attempt("", started))
    wanted = check.contains and check.expects(response.status)
    fault = check.fault(response.status, await _body(response) if wanted else b"")
    return fault, next((value for name, value in response.headers if name == b"date"), b"")


async def _body(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body[:BODY_LIMIT]
    data = b""
    while len(data) < BODY_LIMIT and (piece := await response.body.read()):
        data += piece
    return data[:BODY_LIMIT]
