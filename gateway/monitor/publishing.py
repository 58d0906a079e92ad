"""Reports of a router to the monitor of another process: its counts, every second, and authentications."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from gateway.algorithms.percentiles import Sketch
from gateway.algorithms.token_bucket import TokenBucket
from gateway.bus.bus import Bus
from gateway.events import AccessLog, AuthRequest, Decision, EndpointCounts, FlowCounts, TrafficCounts
from gateway.http import Exchange, Outcome
from gateway.live import Tasks
from gateway.live.paced import PAUSE, paced
from gateway.monitor.readings import Counted, Service
from gateway.monitor.slices import Steps
from gateway.monitor.traffic import Flow, Key, Traffic

ROUND_SECONDS: Final = 1.0
LATEST_SECONDS: Final = 60.0  # what was counted in a longer time, while Redis was away, is no news
AT_ONCE: Final = 200  # flows and endpoints of one message
MOST_LOGGED: Final = 200  # requests of a second, that are sent one by one
MOST_WAITING: Final = 1000  # requests that are not sent yet
LOGGED_SECONDS: Final = 0.2  # in which they are sent together


class _Known:
    """The last report of a flow, or of an endpoint."""

    __slots__ = ("counts", "durations", "errors", "look")

    def __init__(self) -> None:
        self.counts: dict[Key, int] = {}
        self.durations = Sketch()
        self.errors = 0
        self.look = 0


class TrafficPublisher:
    """Says what was counted since it last did."""

    def __init__(self, bus: Bus, traffic: Traffic, services: Callable[[], Iterable[Service]]) -> None:
        self.tasks = Tasks()
        self._bus = bus
        self._traffic = traffic
        self._services = services
        self._flows: dict[Flow, _Known] = {}
        self._endpoints: dict[Counted, _Known] = {}
        self._consumers: dict[str, int] = {}
        self._look = 0
        self._sent = 0.0  # time.monotonic()

    async def start(self) -> None:
        """Begin. What was counted before, another process may have sent already."""
        self._traffic.ending.append(self._end)
        self.tasks.supervise("publishing of what is counted", self._run)

    async def stop(self) -> None:
        """Send the last changes."""
        await self.tasks.end()
        if self._sent:
            await self._send(pause=0.0)
        self._traffic.ending.remove(self._end)

    def _end(self, flow: Flow) -> None:
        known = self._flows.pop(flow, None)
        if known is not None and self._sent and flow.durations.count > known.durations.count:
            self._publish(0.0, [_of_flow(flow, known)], [], {})

    async def _run(self) -> None:
        if not self._sent:
            await paced(self._news())
            self._new_consumers()
            self._sent = time.monotonic()
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            if self._bus.connected:
                await self._send()

    async def _send(self, pause: float = PAUSE) -> None:
        now = time.monotonic()
        seconds, self._sent = now - self._sent, now
        flows, endpoints = await paced(self._news(), pause)
        consumers = self._new_consumers()
        if seconds > LATEST_SECONDS:
            self._bus.counts.drop(TrafficCounts.KIND, "late", "Redis was away for a minute")
            return
        while flows or endpoints or consumers:
            self._publish(seconds, flows[:AT_ONCE], endpoints[:AT_ONCE], consumers)
            flows, endpoints, consumers = flows[AT_ONCE:], endpoints[AT_ONCE:], {}

    def _publish(
        self, seconds: float, flows: list[FlowCounts], endpoints: list[EndpointCounts], consumers: dict[str, int]
    ) -> None:
        message = TrafficCounts(
            seconds=round(seconds, 3), flows=tuple(flows), endpoints=tuple(endpoints), consumers=consumers
        )
        self._bus.publish(message)

    def _new_consumers(self) -> dict[str, int]:
        known, self._consumers = self._consumers, dict(self._traffic.consumers)
        news = {name[:512]: count - known.get(name, 0) for name, count in self._consumers.items()}
        return {name: count for name, count in news.items() if count > 0}

    def _news(self) -> Steps[tuple[list[FlowCounts], list[EndpointCounts]]]:
        self._look += 1
        flows, endpoints = list[FlowCounts](), list[EndpointCounts]()
        for flow in list(self._traffic.flows.values()):
            known = self._flows.setdefault(flow, _Known())
            if flow.durations.count != known.durations.count:
                flows.append(_of_flow(flow, known))
            yield
        for service in list(self._services()):
            for endpoint in service.endpoints:
                seen = self._endpoints.setdefault(endpoint, _Known())
                seen.look = self._look
                if endpoint.durations.count != seen.durations.count:
                    endpoints.append(_of_endpoint(service.name, endpoint, seen))
                yield
        for endpoint, seen in list(self._endpoints.items()):
            if seen.look != self._look:
                del self._endpoints[endpoint]
            yield
        return flows, endpoints


def _of_flow(flow: Flow, known: _Known) -> FlowCounts:
    counts = [(key, count - known.counts.get(key, 0)) for key, count in flow.counts.items()]
    durations = flow.durations.minus(known.durations)
    known.counts, known.durations = dict(flow.counts), flow.durations.copy()
    return FlowCounts(
        route=flow.route[:512],
        upstream=flow.upstream[:512],
        counts=tuple((key[0][:512], *key[1:], count) for key, count in counts if count > 0),
        durations=durations,
    )


def _of_endpoint(service: str, endpoint: Counted, known: _Known) -> EndpointCounts:
    durations, failures = endpoint.durations.minus(known.durations), max(0, endpoint.failures - known.errors)
    known.durations, known.errors = endpoint.durations.copy(), endpoint.failures
    return EndpointCounts(service=service[:512], instance=endpoint.label[:512], failures=failures, durations=durations)


class AccessPublisher:
    """Says of each request what was decided about it, as far as there are not too many."""

    def __init__(self, bus: Bus, *, auth: bool) -> None:
        """`auth`: whether this process has that role; otherwise it says what it was shown, too."""
        self.tasks = Tasks()
        self.left_out = 0
        self._bus = bus
        self._auth = auth
        self._allowed = TokenBucket(MOST_LOGGED)
        self._requests: deque[tuple[str, str, bool, float, str, str]] = deque(maxlen=MOST_WAITING)

    async def start(self) -> None:
        """Begin."""
        self.tasks.supervise("publishing of requests", self._run)

    async def stop(self) -> None:
        """Send those that wait."""
        await self.tasks.end()
        self._send()

    def report(self, exchange: Exchange, outcome: Outcome) -> None:
        """An exchange is over. See `Report`."""
        if not self._allowed.take(outcome.at):
            self.left_out += 1
            return
        identity = exchange.identity
        client = identity.consumer if identity is not None else exchange.claimed_consumer or exchange.client
        denied = any(decision.refuses for decision in exchange.decisions)
        fingerprint = identity.fingerprint if identity is not None else ""
        self._requests.append(
            (exchange.request_id, client, denied, outcome.seconds, exchange.original_path, fingerprint)
        )

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOGGED_SECONDS)
            self._send()

    def _send(self) -> None:
        requests, self._requests = self._requests, deque(maxlen=MOST_WAITING)
        for request_id, client, denied, seconds, path, fingerprint in requests:
            if not self._auth and fingerprint:
                self._bus.publish(AuthRequest(request_id=request_id[:512], path=path[:8192], api_key=fingerprint))
            decision: Decision = "deny" if denied else "allow"
            took = round(seconds * 1000, 1)
            self._bus.publish(
                AccessLog(request_id=request_id[:512], client=client[:512], decision=decision, latency_ms=took)
            )
