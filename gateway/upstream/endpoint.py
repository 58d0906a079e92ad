"""One backend address: its live counters, health and connections. It lives as long as its service has it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Final, Protocol

from gateway.algorithms.held_slots import HeldSlots
from gateway.algorithms.peak_ewma import PeakEwma
from gateway.algorithms.percentiles import PER_OCTAVE, SMALLEST, Sketch
from gateway.errors import ErrorKind
from gateway.http.frames import RESTART
from gateway.http.messages import Attempt, Observer
from gateway.upstream.health import Health, Signal
from gateway.upstream.member import Address, Member
from gateway.upstream.pool import Connections, PoolLimits
from gateway.upstream.retry import STALE
from gateway.upstream.tls import EndpointTls
from gateway.upstream.transport import Connector, is_literal

PENALTY_SECONDS: Final = 5.0
"""For so long a failed attempt counts as one in flight, and as an answer that took so long, where it has no
`Retry-After`. That of Linkerd."""

LONGEST_PENALTY: Final = 300.0


Said = tuple[Signal, bool, str]
"""One report about an endpoint: its signal, whether it is up, and why."""


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
        "_asked",
        "_leaving",
        "address",
        "authority",
        "connections",
        "durations",
        "ewma",
        "failures",
        "given_up",
        "health",
        "held",
        "in_flight",
        "judge",
        "label",
        "member",
        "out",
        "requests",
        "retired",
        "service_durations",
        "sessions",
        "started",
        "tls",
        "unanswered",
    )

    def __init__(
        self,
        member: Member,
        connector: Connector,
        limits: PoolLimits,
        tls: EndpointTls | None = None,
        server_name: str | None = None,
        host_name: str | None = None,
    ) -> None:
        """`host_name`: what it is asked for (Host, and the name in TLS), where that is not its address."""
        address = member.address
        asked = Address(host_name or address.host, address.port)
        self.member = member
        self.address = address
        self.label = str(address)
        self.authority = asked.authority(tls=tls is not None)
        self.health = Health()
        self.out = False  # whether it gets no requests, as its service last saw its health
        self.started = time.perf_counter()  # when it joined, or was well again
        self.judge: Judge | None = None
        self.in_flight = 0
        self.held: HeldSlots | None = None  # what it has failed lately; None while that is nothing
        self.ewma: PeakEwma | None = None  # how long it takes, where its balancer wants to know
        self.requests = 0
        self.failures = 0
        self.unanswered = 0  # of these, without a whole answer
        self.given_up = 0  # by the client, or before the endpoint saw them
        self.durations = Sketch()  # of attempts that it answered, until the head, or failed
        self.service_durations = self.durations  # the same of all endpoints of its service, those that left included
        self.tls = tls is not None
        self._asked = asked.name
        self.connections = Connections(
            self.label, address, self.authority, connector, limits, tls, server_name or asked.name
        )
        self.retired = False  # no new request comes here
        self.sessions: set[Session] = set()  # WebSockets
        self._leaving: asyncio.TimerHandle | None = None  # until its streams are ended

    def configure(self, limits: PoolLimits) -> None:
        """Take these limits, and new requests."""
        self.retired = False
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        self.connections.configure(limits)

    def renew(self, tls: EndpointTls, server_name: str | None) -> None:
        """Prove to be another one, or trust others, from the next connection on."""
        self.connections.renew(tls, server_name or self._asked)

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
        self.health, self.held, self.ewma = former.health, former.held, former.ewma
        self.connections.idle_limit = former.connections.idle_limit

    def retire(self) -> None:
        """No new request comes here: finish what is in flight, keep nothing. Streams get a limit, having no end."""
        self.retired = True
        self.judge = None
        self.connections.retire()
        if self.in_flight and self._leaving is None:
            self._leaving = asyncio.get_running_loop().call_later(self.connections.limits.drain, self._end_streams)

    def _end_streams(self) -> None:
        self._leaving = None
        for session in list(self.sessions):
            session.close(RESTART)
        for connection in self.connections:
            connection.leave()

    def abandon(self, since: float) -> None:
        """The endpoint hangs: retry requests that have waited for a head since then elsewhere, if that is safe."""
        for connection in self.connections:
            if connection.waits_since <= since:
                connection.abandon()

    @property
    def is_plain(self) -> bool:
        """Whether a connection to it needs neither a name service nor TLS."""
        return not self.tls and is_literal(self.address.host)

    # What is asked of it, counted.

    def counts(self) -> EndpointCounts:
        """The current report."""
        return EndpointCounts(self.requests, self.failures, self.in_flight, *self.connections.open_and_idle)

    @property
    def answered(self) -> int:
        """Attempts that have ended with an answer."""
        return self.requests - self.in_flight - self.unanswered - self.given_up

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
                seconds = attempt.waited - attempt.queued + attempt.seconds
                self._took(seconds)
                if self.ewma is not None:
                    self.ewma.observe(seconds, time.perf_counter())
            return
        if failure is not None and (failure.origin != "upstream" or attempt.retry == STALE):
            self.given_up += 1
            return
        if failure is not None:
            self.unanswered += 1
        if failure is not None or status >= 500:
            self.failures += 1
        seconds = attempt.took if attempt.seconds is None else attempt.waited + attempt.seconds
        self._took(seconds - attempt.queued)
        # A failure is never good news to a balancer, however fast it came.
        now = time.perf_counter()
        penalty = min(attempt.retry_after or PENALTY_SECONDS, LONGEST_PENALTY)
        if self.held is None:
            self.held = HeldSlots()
        self.held.hold(penalty, now)
        if self.ewma is not None:
            self.ewma.observe(max(penalty, now - attempt.started), now)
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
        """The endpoint has left its service without requests in flight: its totals move to the service."""
        counts = self.counts()
        self.requests = self.failures = self.unanswered = self.given_up = 0
        return EndpointCounts(counts.requests, counts.failures)

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
        return sum(now - connection.waits_since > seconds for connection in self.connections)

    def longest_wait(self, now: float) -> float:
        """Seconds for which the first of them has waited."""
        return max(0.0, now - min((connection.waits_since for connection in self.connections), default=now))


@dataclass(frozen=True, slots=True)
class EndpointCounts:
    """Past and current counts of an endpoint at one moment. Counts of several processes add up."""

    requests: int = 0  # attempts, begun
    failures: int = 0  # attempts that failed by its fault, answers of 500 and above included
    in_flight: int = 0
    open: int = 0  # connections
    idle: int = 0  # of those, without a request

    def __add__(self, other: EndpointCounts) -> EndpointCounts:
        return EndpointCounts(
            self.requests + other.requests,
            self.failures + other.failures,
            self.in_flight + other.in_flight,
            self.open + other.open,
            self.idle + other.idle,
        )
