"""Counters of every request: cumulative numbers by route and upstream, from which all else is derived.

A request costs three look-ups and a logarithm. All of it is bounded in bytes: what would be beyond `FLOW_BYTES` and
`COUNT_BYTES` is counted under `_other`, and how often that happens is counted, too. Texts that clients choose are no
labels: unknown methods are `_OTHER`; tenants and consumers that a token issuer has invented are `_other` when
there are many.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import ceil, log2
from typing import Final, Literal

from gateway.algorithms.percentiles import HIGHEST, LOWEST, PER_OCTAVE, SMALLEST, Sketch
from gateway.algorithms.sizes import HIGHEST as LARGEST
from gateway.algorithms.sizes import Sizes
from gateway.config.values.addresses import AddressTarget, ServiceTarget, parse_target
from gateway.errors import ErrorKind, GatewayError, OwnKind
from gateway.families import Exemplar
from gateway.http import Exchange, Identity, Outcome
from gateway.upstream.member import Address

NONE: Final = "-"  # the route where none took a request, the upstream where none was asked
OTHER: Final = "_other"
OTHER_METHOD: Final = "_OTHER"
METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
"""Those that OpenTelemetry's conventions know."""

TENANTS: Final = 1000  # that the configuration does not name
CONSUMERS: Final = 1000  # the same
LONGEST_NAME: Final = 200  # characters of one of these
RULES: Final = 1000  # pairs of a rule and what it said
FLOW_BYTES: Final = 32 * 1024**2  # of all flows, their distributions included, from which on no new one is begun
COUNT_BYTES: Final = 16 * 1024**2  # of their counts by tenant, method, status and outcome
_GROWTH: Final = 1.25  # the share of FLOW_BYTES that distributions of flows may grow to that are there
_FLOW: Final = 1600  # bytes
_COUNT: Final = 200  # the same
_CELL: Final = 8
_EXEMPLAR: Final = 400

Ended = Literal["ok", "refused", "failed", "client_gone", "internal"]
OUTCOMES: Final[tuple[Ended, ...]] = ("ok", "refused", "failed", "client_gone", "internal")
ERRORS: Final[frozenset[Ended]] = frozenset({"failed", "internal"})
"""Results that count in error rates."""

_BY_KIND: Final[dict[str, Ended]] = {  # by what it is called: to hash a member of an enumeration takes a call
    **{kind.slug: "failed" for kind in ErrorKind if kind.origin == "upstream"},
    **{kind.slug: "internal" for kind in ErrorKind if kind.origin == "gateway" and kind.status in (500, 503)},
    ErrorKind.MAINTENANCE.slug: "refused",
    ErrorKind.CLIENT_GONE.slug: "client_gone",
    # Here it is the service, or one that the gateway asks, that cannot take what there is for it.
    ErrorKind.OVERLOADED.slug: "failed",
    ErrorKind.CIRCUIT_OPEN.slug: "failed",
    ErrorKind.CONCURRENCY_LIMIT.slug: "failed",
    ErrorKind.AUTH_UNAVAILABLE.slug: "failed",
    ErrorKind.STORE_UNAVAILABLE.slug: "failed",
}
"""All others are refusals."""

Key = tuple[str, str, int, Ended]  # tenant ("" where there is none), method, status, how it ended


class Flow:
    """All that one route sent to one upstream, or answered itself. Every number only grows."""

    __slots__ = (
        "attempts",
        "backends",
        "cache",
        "counts",
        "durations",
        "errors",
        "exemplars",
        "received",
        "retries",
        "route",
        "sent",
        "upstream",
    )

    def __init__(self, route: str, upstream: str) -> None:
        self.route = route
        self.upstream = upstream
        self.counts: dict[Key, int] = {}
        self.backends: dict[tuple[Key, str], int] = {}  # of these, those to models, by which one had them
        self.durations = Sketch()  # of all requests, so that it knows how many there were
        self.errors = 0  # of those, that failed; see ERRORS
        self.received = Sizes()  # request bodies
        self.sent = Sizes()  # response bodies
        self.attempts = 0  # at endpoints
        self.retries: dict[str, int] = {}  # attempts that another one followed, by why
        self.cache: dict[str, int] = {}  # what the response cache did, where the route has one
        self.exemplars: dict[int, Exemplar] = {}  # the last one of each octave of durations

    @property
    def name(self) -> tuple[str, str]:
        """(route, upstream)"""
        return self.route, self.upstream

    def add_bodies(self, received: int, sent: int) -> None:
        """Count the bodies of one request: `Sizes.add` for both, in one call."""
        for sizes, size in ((self.received, received), (self.sent, sent)):
            sizes.count += 1
            if size > 0:
                sizes.total += size
                at = min((size - 1).bit_length(), LARGEST)
                if at >= len(sizes.counts):
                    sizes.cover(at)
                sizes.counts[at] += 1
            else:
                sizes.zeros += 1


class Names:
    """Which names are labels: all that the configuration has, and so many others, which token issuers may invent."""

    __slots__ = ("_configured", "_most", "_others")

    def __init__(self, most: int) -> None:
        self._configured: frozenset[str] = frozenset()
        self._others: set[str] = set()
        self._most = most

    def admit(self, name: str) -> bool:
        """Whether this one is a label, or becomes one."""
        if self.has(name):
            return True
        if len(self._others) >= self._most or len(name) > LONGEST_NAME:
            return False
        self._others.add(name)
        return True

    def has(self, name: str) -> bool:
        """Whether it is one."""
        return name in self._configured or name in self._others or name == OTHER

    def configure(self, names: frozenset[str]) -> None:
        """These are configured from now on."""
        self._configured = names
        self._others = {name for name in self._others if name not in names}


class Traffic:
    """Counts every exchange that is over. All on the event loop."""

    def __init__(self, flow_bytes: int = FLOW_BYTES, count_bytes: int = COUNT_BYTES) -> None:
        self.flows: dict[tuple[str, str], Flow] = {}
        self.consumers: dict[str, int] = {}
        self.decisions: dict[tuple[str, str], int] = {}  # by rule and verdict
        self.limited: dict[str, int] = {}  # requests that a limit or quota counted, by rule
        self.overflow: dict[str, int] = {}  # requests that were counted under `_other`, by what was too many
        self.ending: list[Callable[[Flow], None]] = []  # called with each flow that ends, before it is let go
        self._flows: dict[tuple[str | None, str | None], Flow] = {}  # by the words that exchanges have for them
        self._other = Flow(OTHER, OTHER)
        self._exists: Callable[[str, str], bool] | None = None
        self._tenants = Names(TENANTS)
        self._consumers = Names(CONSUMERS)
        self._most_flow_bytes = flow_bytes
        self._most_count_bytes = count_bytes
        self.flow_bytes = 0  # about what they take
        self.count_bytes = 0

    def report(self, exchange: Exchange, outcome: Outcome) -> None:
        """An exchange is over. See `Report`."""
        flow = self._flows.get((exchange.route, exchange.upstream))
        if flow is None:
            flow = self._flow(exchange.route, exchange.upstream)
        status, identity = outcome.status, exchange.identity
        ended: Ended = "ok"
        if exchange.error is not None or status >= 500:
            ended = ended_by(exchange, exchange.error, status)
            flow.errors += ended in ERRORS
        key = ("" if identity is None else self._caller(identity), exchange.method, status, ended)
        count = flow.counts.get(key)
        if count is None:
            self._new_count(flow, key)
        else:
            flow.counts[key] = count + 1
        # `durations.add`, without the call, and within what there is room for.
        seconds, durations = outcome.seconds, flow.durations
        durations.count += 1
        durations.total += seconds
        if seconds > SMALLEST:
            at = ceil(log2(seconds) * PER_OCTAVE) - durations.first
            if not 0 <= at < len(durations.counts):
                at = self._room(durations, at)
            durations.counts[at] += 1
        else:
            durations.zeros += 1
        flow.add_bodies(outcome.received, outcome.sent)
        attempts = len(exchange.attempts)
        flow.attempts += attempts
        if exchange.decisions or exchange.counted:
            self._decided(exchange)
        model = exchange.model
        if attempts > 1 or exchange.cache is not None or exchange.span is not None or model is not None:
            self._more(flow, exchange, outcome)
            if model is not None and model.backend:
                self._of_model(flow, key, model.backend)

    def _caller(self, identity: Identity) -> str:
        """Count a consumer. Answers its tenant."""
        name = identity.consumer
        count = self.consumers.get(name)
        if count is None:
            self._new_consumer(name)
        else:
            self.consumers[name] = count + 1
        return identity.tenant or ""

    def _decided(self, exchange: Exchange) -> None:
        decisions = self.decisions
        for decision in exchange.decisions:
            key = (decision.rule, decision.verdict)
            count = decisions.get(key)
            if count is None and len(decisions) >= RULES:
                self._overflowed("decisions")
                key = (OTHER, decision.verdict)
                count = decisions.get(key)
            decisions[key] = 1 if count is None else count + 1
        limited = self.limited
        for rule, _, _ in exchange.counted:
            limited[rule] = limited.get(rule, 0) + 1

    def _more(self, flow: Flow, exchange: Exchange, outcome: Outcome) -> None:
        for attempt in exchange.attempts:
            if attempt.retry:
                flow.retries[attempt.retry] = flow.retries.get(attempt.retry, 0) + 1
        if exchange.cache is not None:
            flow.cache[exchange.cache] = flow.cache.get(exchange.cache, 0) + 1
        if (span := exchange.span) is not None:
            octave = ceil(log2(max(outcome.seconds, SMALLEST)))
            if octave not in flow.exemplars:
                if self.flow_bytes > self._most_flow_bytes:
                    return
                self.flow_bytes += _EXEMPLAR
            flow.exemplars[octave] = Exemplar(span.trace, span.id, outcome.seconds, time.time())

    def _of_model(self, flow: Flow, key: Key, backend: str) -> None:
        """Count by its backend, too, what has just been counted."""
        tenant, method, status, ended = key
        tenant = tenant if not tenant or self._tenants.has(tenant) else OTHER
        key = (tenant, method if method in METHODS else OTHER_METHOD, status, ended)
        place = (key, backend)
        count = flow.backends.get(place)
        if count is None:
            if key not in flow.counts:  # there was no room
                return
            if self.count_bytes > self._most_count_bytes:
                self._overflowed("backends")
                return
            self.count_bytes += _COUNT
            count = 0
        flow.backends[place] = count + 1

    # What comes for the first time.

    def _flow(self, route: str | None, upstream: str | None) -> Flow:
        """The flow with these words, in whichever way the target is written."""
        flow = self._named((route or NONE, upstream_name(upstream) if upstream else NONE))
        if flow is not self._other:
            self._flows[route, upstream] = flow
        return flow

    def _named(self, name: tuple[str, str]) -> Flow:
        """The flow with this name."""
        flow = self.flows.get(name)
        if flow is None:
            # A route may have ended while it was answering.
            if self.flow_bytes > self._most_flow_bytes or not (self._exists is None or self._exists(*name)):
                self._overflowed("flows")
                return self.flows.setdefault(self._other.name, self._other)
            flow = self.flows[name] = Flow(*name)
            self.flow_bytes += _FLOW
        return flow

    def _new_count(self, flow: Flow, key: Key, number: int = 1) -> None:
        tenant, method, status, ended = key
        if tenant and not self._tenants.admit(tenant):
            self._overflowed("tenants")
            tenant = OTHER
        key = (tenant, method if method in METHODS else OTHER_METHOD, status, ended)
        if key not in flow.counts:
            if self.count_bytes > self._most_count_bytes:
                self._overflowed("requests")
                key = (OTHER, OTHER_METHOD, status // 100 * 100, ended)
                if key not in flow.counts:
                    flow = self.flows.setdefault(self._other.name, self._other)
            elif flow is not self._other:
                self.count_bytes += _COUNT
        flow.counts[key] = flow.counts.get(key, 0) + number

    def _new_consumer(self, consumer: str, number: int = 1) -> None:
        if not self._consumers.admit(consumer):
            self._overflowed("consumers")
            consumer = OTHER
        self.consumers[consumer] = self.consumers.get(consumer, 0) + number

    def _room(self, durations: Sketch, at: int) -> int:
        """Where one is counted that is outside of what there was; at the end of it, where there is no room."""
        index = min(max(at + durations.first, LOWEST), HIGHEST)
        before = len(durations.counts)
        if before and self.flow_bytes > _GROWTH * self._most_flow_bytes:
            self._overflowed("durations")
            return 0 if at < 0 else before - 1
        durations.cover(index, index)
        self.flow_bytes += _CELL * (len(durations.counts) - before)
        return index - durations.first

    def _overflowed(self, what: str) -> None:
        self.overflow[what] = self.overflow.get(what, 0) + 1

    # What another process has counted.

    def merge(self, name: tuple[str, str], counts: Iterable[tuple[Key, int]], durations: Sketch) -> None:
        """Count what has come of the flow with this name elsewhere."""
        flow = self._named(name)
        for key, number in counts:
            flow.errors += number if key[3] in ERRORS else 0
            if key in flow.counts:
                flow.counts[key] += number
            else:
                self._new_count(flow, key, number)
        before = len(flow.durations.counts)
        if before and self.flow_bytes > _GROWTH * self._most_flow_bytes:
            self._overflowed("durations")
            flow.durations.merge_within(durations)
        else:
            flow.durations.merge(durations)
            self.flow_bytes += _CELL * (len(flow.durations.counts) - before)

    def merge_consumers(self, counts: Mapping[str, int]) -> None:
        """The same of consumers."""
        for name, number in counts.items():
            self._new_consumer(name, number)

    # What ends.

    def configure(
        self, exists: Callable[[str, str], bool], tenants: frozenset[str], consumers: frozenset[str]
    ) -> Iterator[None]:
        """From now on there are only these: routes with upstreams for which `exists` is true, and, of those who are
        configured, these. What ends is let go step by step, with each value that is taken of what is returned."""
        self._exists = exists
        self._tenants.configure(tenants)
        self._consumers.configure(consumers)
        return self._end(exists)

    def keep_rules(self, exists: Callable[[str], bool]) -> None:
        """Drop decisions of rules for which this is false."""
        self.decisions = {key: count for key, count in self.decisions.items() if exists(key[0])}
        self.limited = {rule: count for rule, count in self.limited.items() if exists(rule)}

    def _end(self, exists: Callable[[str, str], bool]) -> Iterator[None]:
        for flow in list(self.flows.values()):
            if flow is not self._other and not exists(*flow.name):
                for report in self.ending:
                    report(flow)
                del self.flows[flow.name]
                self.flow_bytes -= _FLOW + _CELL * len(flow.durations.counts) + _EXEMPLAR * len(flow.exemplars)
                self.count_bytes -= _COUNT * (len(flow.counts) + len(flow.backends))
            else:
                for key in [key for key in flow.counts if key[0] and not self._tenants.has(key[0])]:
                    del flow.counts[key]
                    ended = [each for each in flow.backends if each[0] == key]
                    for each in ended:
                        del flow.backends[each]
                    self.count_bytes -= _COUNT * (1 + len(ended))
            yield
        for number, consumer in enumerate(list(self.consumers)):
            if not self._consumers.has(consumer):
                del self.consumers[consumer]
            if number % 1000 == 0:
                yield
        self._flows = {words: flow for words, flow in self._flows.items() if self.flows.get(flow.name) is flow}


def ended_by(exchange: Exchange, error: BaseException | None, status: int) -> Ended:
    """How an exchange ended that raised something, or was answered by a 5xx."""
    if isinstance(error, GatewayError):
        kind = error.kind
        if exchange.decisions and exchange.decisions[-1].verdict == "unknown":
            return "failed"  # with whatever status it was to be answered
        return "refused" if isinstance(kind, OwnKind) else _BY_KIND.get(kind.slug, "refused")
    if error is None:  # an answer of the configuration is meant so, and a backend's is a failure
        return "refused" if exchange.upstream is None and exchange.cache is None else "failed"
    return "internal" if status >= 500 or not isinstance(error, OSError) else "client_gone"


def upstream_name(target: str) -> str:
    """The name of what a target leads to, in whichever way it is written."""
    try:
        parsed = parse_target(target)
    except ValueError:
        return target
    if isinstance(parsed, AddressTarget):
        return str(Address(parsed.host, parsed.port))
    return parsed.name if isinstance(parsed, ServiceTarget) else target
