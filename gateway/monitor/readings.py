"""Differences since the last reading, by subject, of the cumulative numbers that the request path counts.

The numbers of the last look are kept as packed tallies, in a bounded number of bytes; beyond it, only how many requests
there were is known. All on the event loop; what is looked at is so in steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from gateway.algorithms.percentiles import Sketch
from gateway.monitor.slices import Pending, Steps, Subjects, summed
from gateway.monitor.tallies import Kind, Tally, durations_of, pack
from gateway.monitor.traffic import ERRORS, NONE, Flow, Key, Traffic

KNOWN_BYTES: Final = 10 * 1024**2
_KNOWN_BYTES: Final = 300  # of what is known of one, beside its packed tally
_COUNT_BYTES: Final = 100  # of a count by tenant
_EMPTY: Final = pack(0, 0, {})


class Counted(Protocol):
    """An endpoint, by what it counts: numbers that only grow."""

    label: str
    durations: Sketch
    failures: int
    in_flight: int

    def __hash__(self) -> int:
        """By identity."""
        ...


class Service(Protocol):
    """The endpoints of one service."""

    name: str

    @property
    def endpoints(self) -> Sequence[Counted]:
        """Those that it has now."""
        ...


class _Known:
    """The counts at the last reading."""

    __slots__ = ("counts", "errors", "look", "name", "packed", "requests", "size")

    def __init__(self, name: str) -> None:
        self.name = name
        self.look = 0  # the number of the last one
        self.requests = self.errors = 0
        self.packed: bytes | None = _EMPTY  # None: there was no room for it
        self.counts: dict[Key, int] | None = {}  # by tenant; None: the same
        self.size = 0


class Readings:
    """Looks at what is counted in this process and in others, and at the endpoints of services."""

    def __init__(
        self,
        traffics: Sequence[Traffic],
        services: Callable[[], Iterable[Service]],
        subjects: Subjects,
        most_bytes: int = KNOWN_BYTES,
    ) -> None:
        self._traffics = traffics
        self._services = services
        self._subjects = subjects
        self._flows: dict[Flow, _Known] = {}
        self._endpoints: dict[Counted, _Known] = {}
        self._look = 0
        self._most_bytes = most_bytes
        self.bytes = 0  # of what is known
        self._ended: list[Flow] = []  # since the last look
        self._former = [0, 0]  # requests and errors of all that have ended
        for traffic in traffics:
            traffic.ending.append(self._end)

    def close(self) -> None:
        """Look no more."""
        for traffic in self._traffics:
            traffic.ending.remove(self._end)

    def _counted(self) -> list[Flow]:
        return [flow for traffic in self._traffics for flow in traffic.flows.values()]

    def _end(self, flow: Flow) -> None:
        self._ended.append(flow)
        self._former[0] += flow.durations.count
        self._former[1] += flow.errors

    def totals(self) -> Steps[tuple[int, int]]:
        """All requests and errors so far."""
        requests, errors = self._former
        for count, flow in enumerate(self._counted()):
            requests += flow.durations.count
            errors += flow.errors
            if count % 500 == 0:
                yield
        return requests, errors

    def look(self) -> Steps[Pending]:
        """The differences since the last reading, packed, by the number of the subject."""
        self._look += 1
        self._subjects.overflow = 0
        pending: Pending = {}
        every, tenants = Tally(), dict[str, Tally]()
        ended, self._ended = self._ended, []
        for flow in [*ended, *self._counted()]:
            self._look_at_flow(flow, pending, every, tenants)
            yield
        for flow in ended:
            self._forget(self._flows, flow)
        for tenant, tally in tenants.items():
            self._put(pending, "tenant", tenant, tally.pack())
            yield
        if every.requests:
            self._put(pending, "all", "", every.pack())
        yield from self._look_at_endpoints(pending)
        return pending

    def _put(self, pending: Pending, kind: Kind, name: str, packed: bytes) -> None:
        number = self._subjects.number(kind, name)
        pending[number] = summed([pending[number], packed]) if number in pending else packed

    def _look_at_flow(self, flow: Flow, pending: Pending, every: Tally, tenants: dict[str, Tally]) -> None:
        known = self._flows.get(flow)
        if known is None:
            known = self._flows[flow] = _Known(flow.route)
        more = self._more(known, flow.durations, flow.errors)
        if more is not None:
            every.add(more)
            self._put(pending, "route", flow.route, more)
            if flow.upstream != NONE:
                self._put(pending, "upstream", flow.upstream, more)
            self._count_tenants(known, flow, tenants)

    def _count_tenants(self, known: _Known, flow: Flow, tenants: dict[str, Tally]) -> None:
        counts = {key: count for key, count in flow.counts.items() if key[0]}
        former = counts if known.counts is None else known.counts
        for key, count in counts.items():
            more = count - former.get(key, 0)
            if more > 0:
                tally = tenants.setdefault(key[0], Tally())
                tally.requests += more
                tally.errors += more if key[3] in ERRORS else 0
        known.counts = counts
        self._resize(known)

    def _look_at_endpoints(self, pending: Pending) -> Steps[None]:
        for service in list(self._services()):
            for endpoint in service.endpoints:
                known = self._endpoints.get(endpoint)
                if known is None:
                    known = self._endpoints[endpoint] = _Known(f"{service.name}/{endpoint.label}")
                known.look = self._look
                self._look_at_endpoint(known, endpoint, pending)
                yield
        for endpoint, known in list(self._endpoints.items()):
            if known.look != self._look:  # it has left its service
                self._look_at_endpoint(known, endpoint, pending)
                if not endpoint.in_flight:
                    self._forget(self._endpoints, endpoint)
                yield

    def _look_at_endpoint(self, known: _Known, endpoint: Counted, pending: Pending) -> None:
        more = self._more(known, endpoint.durations, endpoint.failures)
        if more is not None:
            self._put(pending, "endpoint", known.name, more)

    def _more(self, known: _Known, durations: Sketch, errors: int) -> bytes | None:
        """The difference, packed; None: none."""
        requests = durations.count - known.requests
        if not requests:
            return None
        # An endpoint that leaves hands what it has failed to its service.
        failed = errors - known.errors if errors >= known.errors else errors
        buckets = durations_of(durations)
        fresh: dict[int, int] = {}
        if known.packed is not None:
            before = Tally()
            before.add(known.packed)
            former = before.buckets
            fresh = {index: count - former.get(index, 0) for index, count in buckets.items()}
            fresh = {index: count for index, count in fresh.items() if count > 0}
        known.requests, known.errors = durations.count, errors
        known.packed = pack(0, 0, buckets)
        self._resize(known)
        return pack(requests, min(failed, requests), fresh)

    def _resize(self, known: _Known) -> None:
        """Count what it takes, and let go of it where that is too much."""
        size = _KNOWN_BYTES + len(known.packed or b"") + _COUNT_BYTES * len(known.counts or ())
        if self.bytes + size - known.size > self._most_bytes:
            known.packed = known.counts = None
            size = _KNOWN_BYTES
        self.bytes += size - known.size
        known.size = size

    def _forget(self, known: dict[Flow, _Known] | dict[Counted, _Known], thing: Flow | Counted) -> None:
        former = known.pop(thing, None)  # type: ignore[arg-type]
        self.bytes -= former.size if former is not None else 0
