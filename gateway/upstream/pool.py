"""Which connection serves the next request to an endpoint: one that is idle, a new one, or the next to come free.

`Pool` decides only; `Connections` opens, closes and waits.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

from gateway.deadlines import NEVER, Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http.messages import Attempt
from gateway.plurals import counted
from gateway.upstream.connection import Connection, Owner
from gateway.upstream.idle_limit import IdleLimit
from gateway.upstream.member import Address
from gateway.upstream.tls import EndpointTls
from gateway.upstream.transport import Connector

LOOKED_AT: Final = 0.05
"""Seconds of idleness from which on a connection is looked at once more, before a request that cannot be repeated."""

_LONG_AGO: Final = -math.inf

C = TypeVar("C")
W = TypeVar("W")


class Verdict(Enum):
    """The action if no idle connection is available."""

    OPEN = "open"  # one more may be opened; it is counted already
    WAIT = "wait"  # join the queue
    FULL = "full"  # the queue is full too


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections one endpoint may have."""

    connections: int = 512  # open at once
    pending: int = 1024  # requests that wait for one
    idle: int = 128  # kept open without a request
    idle_seconds: float = 60.0
    age: float = 3600.0  # seconds after which a connection serves no other request
    requests: int = 0  # that one connection serves; 0: any number
    drain: float = 30.0  # seconds for which streams go on when the endpoint has left its service


class Pool(Generic[C, W]):
    """The connections of one endpoint. `C` is a connection, `W` a place in the queue for one."""

    __slots__ = ("_open", "limits", "ready", "waiting")

    def __init__(self, limits: PoolLimits) -> None:
        self.limits = limits
        # Idle, the most recently used last. That one is taken first, so that the others may expire.
        self.ready: deque[C] = deque()
        self._open = 0
        self.waiting: deque[W] = deque()

    @property
    def open(self) -> int:
        """Connections that are open or being opened."""
        return self._open

    @property
    def idle(self) -> int:
        """Connections without a request."""
        return len(self.ready)

    def oldest(self) -> C | None:
        """Takes the one that has been idle longest, to make room for a fresh one."""
        return self.ready.popleft() if self.ready else None

    def reserve(self) -> Verdict:
        """Room for a fresh connection, whatever is idle."""
        if self._open < self.limits.connections:
            self._open += 1
            return Verdict.OPEN
        return Verdict.WAIT if len(self.waiting) < self.limits.pending else Verdict.FULL

    def give_back(self, connection: C) -> bool:
        """Keep an idle connection; False where there are enough of them already."""
        if len(self.ready) >= self.limits.idle or self._open > self.limits.connections:
            return False
        self.ready.append(connection)
        return True

    def gone(self, connection: C | None) -> bool:
        """A connection is closed, or (None) could not be opened. Whether it was idle."""
        self._open -= 1
        if connection not in self.ready:
            return False
        self.ready.remove(connection)  # type: ignore[arg-type]
        return True

    def drain(self) -> list[C]:
        """Every idle connection, to be closed."""
        drained = list(self.ready)
        self.ready.clear()
        return drained


class Connections(Owner):
    """Those of one endpoint, idle or in an exchange, and the queue for them."""

    __slots__ = (
        "_address",
        "_all",
        "_authority",
        "_connector",
        "_pool",
        "_retired",
        "_tls",
        "certificate_until",
        "idle_limit",
        "label",
        "server_name",
        "unreachable",
    )

    def __init__(
        self,
        label: str,
        address: Address,
        authority: bytes,
        connector: Connector,
        limits: PoolLimits,
        tls: EndpointTls | None,
        server_name: str,
    ) -> None:
        self.label = label
        self._address = address
        self._authority = authority
        self._connector = connector
        self._tls = tls
        self.server_name = server_name
        self._pool: Pool[Connection, asyncio.Future[Connection | None]] = Pool(limits)
        self._all: set[Connection] = set()  # of the pool, whatever they are in
        self._retired = False  # nothing is kept
        self.idle_limit = IdleLimit()
        self.unreachable = False  # the last attempt to connect failed, a health check's included
        self.certificate_until = NEVER  # Unix time at which the certificate ends that was shown last

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._all))

    @property
    def open_and_idle(self) -> tuple[int, int]:
        """(open, idle)"""
        return self._pool.open, self._pool.idle

    @property
    def limits(self) -> PoolLimits:
        """How many there may be, and for how long."""
        return self._pool.limits

    @property
    def waiting(self) -> int:
        """Requests that wait for one."""
        return len(self._pool.waiting)

    @property
    def deadlines(self) -> Deadlines:
        """Those of their loop."""
        return self._connector.deadlines

    def configure(self, limits: PoolLimits) -> None:
        """Take these limits, and new requests."""
        self._retired = False
        self._pool.limits = limits
        self._admit()

    def renew(self, tls: EndpointTls, server_name: str) -> None:
        """Open connections with these. Those that are open serve no other request."""
        self._tls, self.server_name = tls, server_name
        for connection in self._all:
            connection.opened = _LONG_AGO
        for connection in self._pool.drain():
            connection.close()

    def retire(self) -> None:
        """Keep nothing: what is idle is closed, and what is in an exchange when that is over."""
        self._retired = True
        for connection in self._pool.drain():
            connection.close()

    def reuse(self, now: float, *, once: bool) -> Connection | None:
        """An idle connection, without waiting; None where there is none. `now` is time.perf_counter().

        `once`: for a request that must not be sent twice, which gets none that the endpoint may be closing.
        """
        ready = self._pool.ready
        while ready:
            connection = ready[-1]
            connection.idled = idled = now - connection.idle_since
            if once and idled > self.idle_limit.seconds:
                return None
            ready.pop()
            # What has come since this turn of the loop began is not known yet.
            if connection.available and not (once and idled > LOOKED_AT and connection.readable):
                return connection
            if connection.available:
                connection.close()
        return None

    async def acquire(self, seconds: float, attempt: Attempt | None = None) -> Connection:
        """A fresh connection, or the next to come free at the limit; open in any case. Raises GatewayError. `attempt`
        learns how long it was in the queue."""
        while (verdict := self._pool.reserve()) is Verdict.WAIT:
            if (too_old := self._pool.oldest()) is not None:
                too_old.close()  # which makes room
            began = time.perf_counter()
            try:
                connection = await self._next_free(seconds)
            finally:
                if attempt is not None:
                    attempt.queued += time.perf_counter() - began
            if connection is None:
                break
            if connection.available:
                return connection
        if verdict is Verdict.FULL:
            limits = self._pool.limits
            waiting = counted(limits.pending, "request")
            detail = f"{self.label} has {counted(limits.connections, 'connection')} and {waiting} waiting for one"
            detail += ", as many as connections.max and connections.pending allow"
            raise GatewayError(ErrorKind.CONCURRENCY_LIMIT, detail, retryable=True)
        try:
            connection = await self.open_apart(seconds)
        except BaseException:
            self._gone(None)
            raise
        connection.owner = self  # only now does its end count: what never was established is not counted twice
        self._all.add(connection)
        return connection

    async def open_apart(self, seconds: float) -> Connection:
        """A fresh connection outside the pool, for what stays open as long as its client. Raises GatewayError."""
        tls, server_name = self._tls, self.server_name
        try:
            connection = await self._connector.connect(
                self.label,
                self._authority,
                self._address.host,
                self._address.port,
                tls=tls,
                server_name=server_name,
                seconds=seconds,
            )
        except GatewayError as error:
            self.unreachable = error.kind.origin == "upstream"
            raise
        self.unreachable = False
        if tls is not self._tls or server_name != self.server_name:
            connection.opened = _LONG_AGO  # it serves the request that waits for it, and no other
        else:
            self.certificate_until = connection.certificate_until
        if not connection.available:
            if connection.failure is not None:
                raise connection.failure
            detail = f"{self.label} closed the connection before it was used"
            raise GatewayError(ErrorKind.UPSTREAM_RESET, detail, retryable=True)
        return connection

    async def _next_free(self, seconds: float) -> Connection | None:
        """Wait in the queue: for a connection, or (None) for the room to open one."""
        ticket: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._pool.waiting.append(ticket)
        try:
            async with asyncio.timeout(seconds):
                return await ticket
        except BaseException as error:
            # Leave the queue; what was given in that very moment goes to the next.
            if ticket.cancel() or ticket.cancelled():
                if ticket in self._pool.waiting:
                    self._pool.waiting.remove(ticket)
            elif (given := ticket.result()) is None:
                self._gone(None)
            elif given.available:
                self.released(given)
            if isinstance(error, TimeoutError):
                limit = self._pool.limits.connections
                detail = f"none of the {limit} connections to {self.label}, which is its connections.max, came free in "
                raise GatewayError(ErrorKind.CONCURRENCY_LIMIT, f"{detail}{seconds:g} s", retryable=True) from None
            raise

    # What connections report.

    def released(self, connection: Connection) -> None:
        """The exchange has ended, and the connection is available."""
        if connection.idled > self.idle_limit.seconds:
            self.idle_limit.answered(connection.idled)
        limits, now = self._pool.limits, time.perf_counter()
        left = connection.opened + limits.age - now
        if left <= 0 or (limits.requests and connection.used >= limits.requests):
            connection.close()
            return
        connection.idled = 0.0
        while self._pool.waiting:
            ticket = self._pool.waiting.popleft()
            if not ticket.done():
                ticket.set_result(connection)
                return
        if self._retired or not self._pool.give_back(connection):
            connection.close()
            return
        connection.idle_since = now
        seconds, kept = min(limits.idle_seconds, left), connection.kept
        if kept != NEVER:
            self.idle_limit.declared(kept)
            seconds = min(seconds, kept - 1)
        connection.idle(seconds)

    def lost(self, connection: Connection) -> None:
        """A connection is closed."""
        self._all.discard(connection)
        was_idle = self._gone(connection)
        if was_idle:
            age = time.perf_counter() - connection.idle_since
            (self.idle_limit.closed if connection.dropped else self.idle_limit.stayed_open)(age)
        elif connection.dropped and connection.idled > self.idle_limit.seconds / 2:  # not for what it was asked
            self.idle_limit.closed(connection.idled)

    def _gone(self, connection: Connection | None) -> bool:
        was_idle = self._pool.gone(connection)
        self._admit()
        return was_idle

    def _admit(self) -> None:
        """Let waiting requests open connections, as far as there is room."""
        while self._pool.waiting:
            if self._pool.waiting[0].done():
                self._pool.waiting.popleft()
            elif self._pool.reserve() is Verdict.OPEN:
                self._pool.waiting.popleft().set_result(None)
            else:
                return
