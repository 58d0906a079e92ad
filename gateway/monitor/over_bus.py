"""Counts of routers in other processes for the monitor: cumulative numbers that only grow."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from gateway.algorithms.percentiles import Sketch
from gateway.bus.bus import Bus, Received, Subscription
from gateway.events import AccessLog, AuthRequest, EndpointCounts, TrafficCounts
from gateway.families import Family, counter
from gateway.live.paced import paced
from gateway.monitor.slices import Steps
from gateway.monitor.traffic import Traffic

GROUP: Final = "monitor"
AUTH_GROUP: Final = "auth"
LATEST_SECONDS: Final = 60.0  # what is older is of no slice that is still open
MOST_BYTES: Final = 16 * 1024**2
FORGOTTEN_SECONDS: Final = 3600.0  # after which an endpoint is let go of which nothing was heard
_ENDPOINT_BYTES: Final = 600  # without its durations


class HeardEndpoint:
    """See `Counted`."""

    __slots__ = ("durations", "failures", "heard", "in_flight", "label")

    def __init__(self, label: str) -> None:
        self.label = label
        self.durations = Sketch()
        self.failures = 0
        self.in_flight = 0
        self.heard = 0.0  # time.monotonic()


class HeardService:
    """See `Service`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.known: dict[str, HeardEndpoint] = {}

    @property
    def endpoints(self) -> Sequence[HeardEndpoint]:
        """All that were heard of lately."""
        return list(self.known.values())


class Heard:
    """All of it, in bounded memory: what there is no room for is counted of routes and services only."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.traffic = Traffic()
        self.bytes = 0  # about what the endpoints take
        self.left_out = 0  # messages of endpoints, for which there was no room
        self.decisions: dict[str, int] = {}  # requests that routers reported one by one
        self.credentials = 0  # requests that showed one, to routers that are not auth
        self._most_bytes = most_bytes
        self._services: dict[str, HeardService] = {}

    def services(self) -> Iterable[HeardService]:
        """Those of whose endpoints something was heard."""
        return list(self._services.values())

    def take(self, message: TrafficCounts, now: float) -> Steps[None]:
        """Add it up. `now` is time.monotonic()."""
        self.traffic.merge_consumers(message.consumers)
        for flow in message.flows:
            counts = [
                ((tenant, method, status, ended), number) for tenant, method, status, ended, number in flow.counts
            ]
            self.traffic.merge((flow.route, flow.upstream), counts, flow.durations)
            yield
        for endpoint in message.endpoints:
            self._take(endpoint, now)
            yield

    def _take(self, counts: EndpointCounts, now: float) -> None:
        service = self._services.get(counts.service)
        endpoint = service.known.get(counts.instance) if service is not None else None
        if endpoint is None:
            if self.bytes > self._most_bytes:
                self._forget(now)
            if self.bytes > self._most_bytes:
                self.left_out += 1
                return
            service = self._services.setdefault(counts.service, HeardService(counts.service))
            endpoint = service.known[counts.instance] = HeardEndpoint(counts.instance)
            self.bytes += _ENDPOINT_BYTES
        self.bytes -= 8 * len(endpoint.durations.counts)
        if endpoint.durations.counts and self.bytes > self._most_bytes:
            endpoint.durations.merge_within(counts.durations)
        else:
            endpoint.durations.merge(counts.durations)
        self.bytes += 8 * len(endpoint.durations.counts)
        endpoint.failures += counts.failures
        endpoint.heard = now

    def _forget(self, now: float) -> None:
        for service in self.services():
            for endpoint in service.endpoints:
                if now - endpoint.heard > FORGOTTEN_SECONDS:
                    del service.known[endpoint.label]
                    self.bytes -= _ENDPOINT_BYTES + 8 * len(endpoint.durations.counts)
            if not service.known:
                del self._services[service.name]


class RouterListener:
    """Takes what routers say on the bus. Several monitors share that, and put their windows together."""

    def __init__(self, bus: Bus, heard: Heard) -> None:
        self._bus = bus
        self._heard = heard
        self._subscriptions: list[Subscription] = []

    async def start(self) -> None:
        """Begin."""
        self._subscriptions = [
            self._bus.subscribe(TrafficCounts, self._take, GROUP),
            self._bus.subscribe(AccessLog, self._take_decision, GROUP),
        ]

    async def stop(self) -> None:
        """Listen no more."""
        for subscription in self._subscriptions:
            subscription.end()

    async def _take(self, message: TrafficCounts, received: Received) -> None:
        if received.age > LATEST_SECONDS:
            self._bus.counts.drop(message.KIND, "late", "it had to wait for a minute")
        else:
            await paced(self._heard.take(message, time.monotonic()))

    async def _take_decision(self, message: AccessLog, received: Received) -> None:
        self._heard.decisions[message.decision] = self._heard.decisions.get(message.decision, 0) + 1


class CredentialListener:
    """Counts what routers without the role auth say of credentials. Several processes with that role share it."""

    def __init__(self, bus: Bus, heard: Heard) -> None:
        self._bus = bus
        self._heard = heard
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Begin."""
        self._subscription = self._bus.subscribe(AuthRequest, self._take, AUTH_GROUP)

    async def stop(self) -> None:
        """Listen no more."""
        if self._subscription is not None:
            self._subscription.end()

    async def _take(self, message: AuthRequest, received: Received) -> None:
        self._heard.credentials += 1


def heard_metrics(heard: Heard) -> Iterator[Family]:
    """Metrics about reports of routers in other processes."""
    help = "Requests that routers without a monitor have reported one by one, at most 200 in a second of each."
    decisions = {(decision,): number for decision, number in heard.decisions.items()}
    yield counter("gateway_heard_requests_total", help, decisions, ("decision",))
    help = "Requests that showed a credential, that routers without the role auth have reported."
    yield counter("gateway_heard_credentials_total", help, {(): heard.credentials})
