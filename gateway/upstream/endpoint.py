"""One backend address, with its live counters and its connections. It lives as long as its service has it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from math import ceil, log2
from typing import Final, Protocol

from gateway.algorithms.held_slots import HeldSlots
from gateway.algorithms.peak_ewma import PeakEwma
from gateway.algorithms.percentiles import PER_OCTAVE, SMALLEST, Sketch
from gateway.deadlines import NEVER, Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http.frames import RESTART
from gateway.http.messages import Attempt, Observer
from gateway.plurals import counted
from gateway.upstream.connection import Connection
from gateway.upstream.counts import EndpointCounts
from gateway.upstream.health import Health, Signal
from gateway.upstream.idle_limit import IdleLimit
from gateway.upstream.member import Address, Member
from gateway.upstream.pool import Pool, PoolLimits, Verdict
from gateway.upstream.retry import STALE
from gateway.upstream.transport import Connector, is_literal

LOOKED_AT: Final = 0.05
"""Seconds of idleness from which on a connection is looked at once more, before a request that cannot be repeated."""

PENALTY_SECONDS: Final = 5.0
"""For so long a failed attempt counts as one in flight, and as an answer that took so long, where it has no
`Retry-After`. That of Linkerd."""

LONGEST_PENALTY: Final = 300.0


Said = tuple[Signal, bool, str]
"""What says something of an endpoint, whether it is up, and why."""


class Judge(Protocol):
    """Learns from what an endpoint failed."""

    def judge(self, endpoint: Endpoint, attempt: Attempt) -> None:
        """An attempt ended with a 5xx, or failed. Must not raise, and must not wait."""
        ...


class Session(Protocol):
    """A WebSocket."""

    def close(self, code: int) -> None:
        """End both sides with this code."""
        ...


class Endpoint:
    """One backend address."""

    __slots__ = (
        "_connections",
        "_connector",
        "_leaving",
        "_pool",
        "address",
        "authority",
        "certificate_until",
        "durations",
        "ewma",
        "failures",
        "given_up",
        "health",
        "held",
        "idle_limit",
        "in_flight",
        "judge",
        "label",
        "member",
        "out",
        "requests",
        "retired",
        "server_name",
        "service_durations",
        "sessions",
        "started",
        "tls_context",
        "unanswered",
        "unreachable",
    )

    def __init__(
        self,
        member: Member,
        connector: Connector,
        limits: PoolLimits,
        tls_context: ssl.SSLContext | None = None,
        server_name: str | None = None,
        host_name: str | None = None,
    ) -> None:
        """`host_name`: what it is asked for (Host, and the name in TLS), where that is not its address."""
        address = member.address
        asked = Address(host_name or address.host, address.port)
        self.member = member
        self.address = address
        self.label = str(address)
        self.authority = asked.authority(tls=tls_context is not None)
        self.health = Health()
        self.out = False  # whether it gets no requests, as its service last saw its health
        self.started = time.perf_counter()  # when it joined, or was well again
        self.unreachable = False  # the last attempt to connect failed, a health check's included
        self.judge: Judge | None = None
        self.idle_limit = IdleLimit()
        self.in_flight = 0
        self.held: HeldSlots | None = None  # what it has failed lately; None while that is nothing
        self.ewma: PeakEwma | None = None  # how long it takes, where its balancer wants to know
        self.requests = 0
        self.failures = 0
        self.unanswered = 0  # of these, without a whole answer
        self.given_up = 0  # by the client, or before the endpoint saw them
        self.durations = Sketch()  # of attempts that it answered, until the head, or failed
        self.service_durations = self.durations  # the same of all endpoints of its service, those that left included
        self.tls_context = tls_context
        self.certificate_until = NEVER  # Unix time at which the certificate ends that it showed last
        self.server_name = server_name or asked.name
        self._connector = connector
        self.retired = False  # no new request comes here
        self._pool: Pool[Connection, asyncio.Future[Connection | None]] = Pool(limits)
        self._connections: set[Connection] = set()  # of the pool, whatever they are in
        self.sessions: set[Session] = set()  # WebSockets
        self._leaving: asyncio.TimerHandle | None = None  # until its streams are ended

    def configure(self, limits: PoolLimits) -> None:
        """Take these limits, and new requests."""
        self.retired = False
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        self._pool.limits = limits
        self._admit()

    def take_over(self, member: Member, now: float) -> Sequence[Said]:
        """Know what its source says of it. Answers what is said otherwise than before."""
        former, self.member = self.member, member
        if member.up and former.up and not (member.late or former.late):
            return ()
        said: list[Said] = []
        if not (member.up and former.up):
            said.append((Signal.SOURCE, member.up, member.reason or "its source says passing"))
        if member.late or former.late:
            said.append((Signal.HEARTBEAT, not member.late, f"its heartbeat is {'late' if member.late else 'in time'}"))
        report = self.health.report
        return [(signal, up, why) for signal, up, why in said if report(signal, up=up, reason=why, now=now)]

    def remember(self, former: Endpoint) -> None:
        """Be what this endpoint was when it left its service."""
        self.health, self.idle_limit, self.held, self.ewma = former.health, former.idle_limit, former.held, former.ewma

    def retire(self) -> None:
        """No new request comes here: finish what is in flight, keep nothing. Streams get a limit, having no end."""
        self.retired = True
        self.judge = None
        for connection in self._pool.drain():
            connection.close()
        if self.in_flight and self._leaving is None:
            self._leaving = asyncio.get_running_loop().call_later(self._pool.limits.drain, self._end_streams)

    def _end_streams(self) -> None:
        for session in list(self.sessions):
            session.close(RESTART)
        for connection in list(self._connections):
            connection.leave()

    def abandon(self, since: float) -> None:
        """It hangs: what has waited for a head since then, and can safely be asked of another endpoint, is to be."""
        for connection in list(self._connections):
            if connection.waits_since <= since:
                connection.abandon()

    @property
    def is_plain(self) -> bool:
        """Whether a connection to it needs neither a name service nor TLS."""
        return self.tls_context is None and is_literal(self.address.host)

    @property
    def deadlines(self) -> Deadlines:
        """Those of its loop."""
        return self._connector.deadlines

    # What is asked of it, counted.

    def counts(self) -> EndpointCounts:
        """As of now."""
        return EndpointCounts(self.requests, self.failures, self.in_flight, *self.connections)

    @property
    def answered(self) -> int:
        """Attempts that have ended with an answer."""
        return self.requests - self.in_flight - self.unanswered - self.given_up

    @property
    def connections(self) -> tuple[int, int]:
        """(open, idle)"""
        return self._pool.open, self._pool.idle

    @property
    def most_connections(self) -> int:
        """How many connections it may have."""
        return self._pool.limits.connections

    @property
    def waiting_for_connections(self) -> int:
        """Requests that wait for one."""
        return len(self._pool.waiting)

    def begin(self, now: float, observers: tuple[Observer, ...] = ()) -> Attempt:
        """A request comes here. The attempt must be ended, which `observers` learn of, too."""
        self.in_flight += 1
        self.requests += 1
        return Attempt(self.label, now, self, observers)

    def ended(self, attempt: Attempt) -> None:
        """An attempt of `begin` is over."""
        self.in_flight -= 1
        failure, status = attempt.failure, attempt.status
        if failure is None and status < 500 and status != 429:
            if not status:
                self.given_up += 1
            elif self.health.record.in_a_row:
                self.health.record.succeeded()
            if attempt.seconds is not None:
                self._took(attempt.waited + attempt.seconds)
                if self.ewma is not None:
                    self.ewma.observe(attempt.waited + attempt.seconds, time.perf_counter())
            return
        if failure is not None and (failure.origin != "upstream" or attempt.retry == STALE):
            self.given_up += 1
            return
        if failure is not None:
            self.unanswered += 1
        if failure is not None or status >= 500:
            self.failures += 1
        self._took(attempt.took if attempt.seconds is None else attempt.waited + attempt.seconds)
        self._failed(attempt)
        known = failure is ErrorKind.UPSTREAM_DOWN or (failure is None and status == 429)
        if self.judge is not None and not known:
            self.judge.judge(self, attempt)

    def _took(self, seconds: float) -> None:
        """`Sketch.add` for both, with one logarithm."""
        index = ceil(log2(seconds) * PER_OCTAVE) if seconds > SMALLEST else 0
        for durations in (self.durations, self.service_durations):
            at = index - durations.first
            if seconds > SMALLEST and 0 <= at < len(durations.counts):
                durations.count += 1
                durations.total += seconds
                durations.counts[at] += 1
            else:
                durations.add(seconds)

    def let_go(self) -> EndpointCounts:
        """It has left its service, with nothing in flight: what it has counted, which is its service's from now on."""
        counts = self.counts()
        self.requests = self.failures = self.unanswered = self.given_up = 0
        return EndpointCounts(counts.requests, counts.failures)

    def _failed(self, attempt: Attempt) -> None:
        """A failure is never good news to a balancer, however fast it came."""
        now = time.perf_counter()
        seconds = min(attempt.retry_after or PENALTY_SECONDS, LONGEST_PENALTY)
        if self.held is None:
            self.held = HeldSlots()
        self.held.hold(seconds, now)
        if self.ewma is not None:
            self.ewma.observe(max(seconds, now - attempt.started), now)

    def load(self, now: float) -> float:
        """Requests in flight, with those that failed lately as if they still were."""
        if self.held is None:
            return self.in_flight
        held = self.held.held(now)
        if not held:
            self.held = None
        return self.in_flight + held

    def waiting(self, now: float, seconds: float = 0.0) -> int:
        """How many requests wait for the head of a response for longer than this."""
        return sum(now - connection.waits_since > seconds for connection in self._connections)

    def longest_wait(self, now: float) -> float:
        """Seconds for which the first of them has waited."""
        return max(0.0, now - min((connection.waits_since for connection in self._connections), default=now))

    # Its connections.

    def idle_connection(self, now: float, *, once: bool) -> Connection | None:
        """An idle connection, without waiting; None where there is none. `now` is time.perf_counter().

        `once`: for a request that must not be sent twice, which gets none that the endpoint may be closing.
        """
        pool = self._pool
        while (connection := pool.youngest()) is not None:
            connection.idled = idled = now - connection.idle_since
            if once and idled > self.idle_limit.seconds:
                return None
            pool.take()
            # What has come since this turn of the loop began is not known yet.
            if connection.available and not (once and idled > LOOKED_AT and connection.readable):
                return connection
            if connection.available:
                connection.close()
        return None

    async def connection(self, seconds: float) -> Connection:
        """A fresh connection, or the next to come free at the limit; open in any case. Raises GatewayError."""
        while (verdict := self._pool.reserve()) is Verdict.WAIT:
            if (too_old := self._pool.oldest()) is not None:
                too_old.close()  # which makes room
            connection = await self._next_free(seconds)
            if connection is None:
                break
            if connection.available:
                return connection
        if verdict is Verdict.FULL:
            limits = self._pool.limits
            waiting = counted(limits.pending, "request")
            detail = f"{self.label} has {counted(limits.connections, 'connection')} and {waiting} waiting for one"
            raise GatewayError(ErrorKind.OVERLOADED, detail, retryable=True)
        return await self._open(seconds)

    async def connection_apart(self, seconds: float) -> Connection:
        """A fresh connection outside the pool, for what stays open as long as its client. Raises GatewayError."""
        try:
            connection = await self._connector.connect(
                self.label,
                self.authority,
                self.address.host,
                self.address.port,
                tls=self.tls_context,
                server_name=self.server_name,
                seconds=seconds,
            )
        except GatewayError as error:
            self.unreachable = error.kind.origin == "upstream"
            raise
        self.unreachable = False
        self.certificate_until = connection.certificate_until
        if not connection.available:
            detail = f"{self.label} closed the connection before it was used"
            raise GatewayError(ErrorKind.UPSTREAM_RESET, detail, retryable=True)
        return connection

    async def _open(self, seconds: float) -> Connection:
        """A connection for the room that was reserved."""
        try:
            connection = await self.connection_apart(seconds)
        except BaseException:
            self._gone(None)
            raise
        connection.owner = self  # only now does its end count: what never was established is not counted twice
        self._connections.add(connection)
        return connection

    async def _next_free(self, seconds: float) -> Connection | None:
        """Wait in the queue: for a connection, or (None) for the room to open one."""
        ticket: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._pool.waiting.append(ticket)
        try:
            async with asyncio.timeout(seconds):
                return await ticket
        except BaseException as error:
            self._leave(ticket)
            if isinstance(error, TimeoutError):
                limit = self._pool.limits.connections
                detail = f"none of the {limit} connections to {self.label} came free in {seconds:g} s"
                raise GatewayError(ErrorKind.OVERLOADED, detail, retryable=True) from None
            raise

    def _leave(self, ticket: asyncio.Future[Connection | None]) -> None:
        """Leave the queue; what was given in that very moment goes to the next."""
        if ticket.cancel() or ticket.cancelled():
            if ticket in self._pool.waiting:
                self._pool.waiting.remove(ticket)
        elif (given := ticket.result()) is None:
            self._gone(None)
        elif given.available:
            self.released(given)

    # What connections report.

    def released(self, connection: Connection) -> None:
        """It has done its exchange, and is available."""
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
        if self.retired or not self._pool.give_back(connection):
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
        self._connections.discard(connection)
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
        """Let those who wait open connections of their own, as far as there is room."""
        while self._pool.waiting:
            if self._pool.waiting[0].done():
                self._pool.waiting.popleft()
            elif self._pool.reserve() is Verdict.OPEN:
                self._pool.waiting.popleft().set_result(None)
            else:
                return
