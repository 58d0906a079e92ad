"""One backend address, with its live counters and its connections. It outlives a reload."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

from gateway.errors import ErrorKind, GatewayError
from gateway.upstream.pool import Pool, PoolLimits, Verdict
from gateway.upstream.transport import Connection, Connector


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How an https endpoint proves who it is."""

    ca: str | None = None  # a PEM file; None: what the system trusts
    server_name: str | None = None  # None: the host of the address
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """A client context. Raises OSError or ssl.SSLError where the CA file cannot be read."""
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols(["http/1.1"])
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True, slots=True)
class Address:
    """What makes an endpoint the same endpoint before and after a reload."""

    host: str
    port: int
    tls: TlsSettings | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def authority(self) -> bytes:
        """The Host that this endpoint is asked for; the default port is left out."""
        if self.port == (443 if self.tls else 80):
            return str(self).rpartition(":")[0].encode()
        return str(self).encode()


class Endpoint:
    """One backend address."""

    __slots__ = (
        "_connector",
        "_pool",
        "_retired",
        "address",
        "authority",
        "failures",
        "in_flight",
        "label",
        "requests",
        "server_name",
        "tls_context",
    )

    def __init__(self, address: Address, connector: Connector, limits: PoolLimits) -> None:
        self.address = address
        self.label = str(address)
        self.authority = address.authority
        self.in_flight = 0
        self.requests = 0
        self.failures = 0
        self.tls_context = address.tls.context() if address.tls else None
        self.server_name = (address.tls.server_name if address.tls else None) or address.host
        self._connector = connector
        self._retired = False
        self._pool: Pool[Connection, asyncio.Future[Connection | None]] = Pool(limits)

    def configure(self, limits: PoolLimits) -> None:
        """Take the limits of a new configuration."""
        self._retired = False
        self._pool.limits = limits

    def retire(self) -> None:
        """No route leads here any more: finish what is in flight, keep nothing."""
        self._retired = True
        for connection in self._pool.drain():
            connection.abort(None)

    @property
    def connections(self) -> tuple[int, int]:
        """(open, idle)"""
        return self._pool.open, self._pool.idle

    def idle_connection(self) -> Connection | None:
        """An idle connection, without waiting; None where there is none."""
        while self._pool.idle:
            connection = self._pool.take()
            if isinstance(connection, Connection) and not connection.closed:
                return connection
        return None

    async def connection(self, connect_seconds: float) -> Connection:
        """A fresh connection, or the next to come free at the limit. Raises GatewayError."""
        verdict = self._pool.reserve()
        if verdict is Verdict.FULL:
            limits = self._pool.limits
            detail = f"{self.label} has {limits.connections} connections and {limits.pending} requests waiting for one"
            raise GatewayError(ErrorKind.OVERLOADED, detail, retryable=True)
        if verdict is Verdict.WAIT:
            connection = await self._next_free(connect_seconds)
            if connection is not None:
                return connection
        return await self._open(connect_seconds)

    async def resolve(self) -> str:
        """One address of this endpoint's host, for whoever opens connections of another kind. Raises GatewayError."""
        return (await self._connector.addresses(self.address.host, self.address.port))[0]

    async def _open(self, connect_seconds: float) -> Connection:
        address = self.address
        try:
            return await self._connector.connect(
                self,
                address.host,
                address.port,
                tls=self.tls_context,
                server_name=self.server_name,
                seconds=connect_seconds,
            )
        except BaseException:
            self._closed(None)
            raise

    async def _next_free(self, seconds: float) -> Connection | None:
        """Wait in the queue: for a connection, or (None) for the right to open one."""
        ticket: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._pool.waiting.append(ticket)
        try:
            async with asyncio.timeout(seconds):
                return await ticket
        except BaseException as error:
            self._hand_on(ticket)
            if isinstance(error, TimeoutError):
                limit = self._pool.limits.connections
                detail = f"none of the {limit} connections to {self.label} came free in {seconds:g} s"
                raise GatewayError(ErrorKind.OVERLOADED, detail, retryable=True) from None
            raise

    def _hand_on(self, ticket: asyncio.Future[Connection | None]) -> None:
        """Whoever waited left: what it was given in the same moment goes to the next."""
        if not ticket.done() or ticket.cancelled():
            if ticket in self._pool.waiting:
                self._pool.waiting.remove(ticket)
            return
        connection = ticket.result()
        if connection is None:
            self._closed(None)
        else:
            self.released(connection)

    # What connections report.

    def released(self, connection: Connection) -> None:
        """An exchange is over, and the connection is fit for another one."""
        while self._pool.waiting:
            ticket = self._pool.waiting.popleft()
            if not ticket.done():
                ticket.set_result(connection)
                return
        keep = self._pool.limits.idle_seconds
        hint = connection.keep_alive_hint()
        if hint is not None:
            keep = min(keep, hint - 1)  # leave before the upstream does
        if self._retired or keep <= 0 or not self._pool.give_back(connection):
            connection.abort(None)
        else:
            connection.expire_after(keep)

    def lost(self, connection: Connection) -> None:
        """A connection is closed."""
        self._closed(connection)

    def _closed(self, connection: Connection | None) -> None:
        self._pool.gone(connection)
        while self._pool.waiting:
            ticket = self._pool.waiting.popleft()
            if not ticket.done():
                self._pool.reserve()
                ticket.set_result(None)
                return
