"""Counts of requests to models, beside those of all requests: tokens, money, and latencies.

Names of backends, profiles and reasons are those of `ModelRecord`: configured ones. All is bounded: tenants that no
file names are `_other` when there are many, and so is what would be one row too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from gateway.algorithms.percentiles import Sketch
from gateway.families import Family, Labels, Sample, counter
from gateway.http import Exchange
from gateway.http.model_record import ModelRecord
from gateway.monitor.known import Known
from gateway.monitor.traffic import NONE, OTHER, TENANTS, Names

SERVICE: Final = ("model traffic",)
"""The one identity under which it lives."""

MOST_ROWS: Final = 4000  # by route, tenant and backend: about 2 MB
MOST_BACKENDS: Final = 1000  # whose answers' speed is kept apart: at most 16 KB each
MOST_SWITCHES: Final = 1000  # by backends and reason
MICRO: Final = 1e-6  # dollars
RATES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 75.0, 100.0, 150.0, 200.0, 500.0, 1000.0, 2000.0)
"""Bounds of tokens per second."""

_ROW: Final = ("route_id", "tenant", "model_backend")
_BACKEND: Final = ("model_backend",)
SUMS: Final = (
    "cache_hits",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_micros",
    "estimated",
    "input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "requests",
    "unpriced",
)
"""The names of what `Used` has, also where it is compiled: such a class has no `__slots__`."""

Place = tuple[str, str, str]  # route, tenant, backend


class Used:
    """A sum over requests. Input and output are with what was cached, and with reasoning."""

    __slots__ = SUMS

    def __init__(self) -> None:
        self.requests = 0
        self.cache_hits = 0  # of those, which a kept answer was for
        self.input_tokens = 0
        self.output_tokens = 0
        self.cache_read_tokens = 0
        self.cache_write_tokens = 0
        self.reasoning_tokens = 0
        self.cost_micros = 0
        self.estimated = 0  # requests whose tokens no provider has counted
        self.unpriced = 0  # requests whose cost is not known

    def count(self, record: ModelRecord, *, hit: bool) -> None:
        """One request more. `hit`: its answer was kept, and cost nothing."""
        self.requests += 1
        if hit:
            self.cache_hits += 1
        self.input_tokens += record.input_tokens
        self.output_tokens += record.output_tokens
        if record.cache_read_tokens or record.cache_write_tokens:
            self.cache_read_tokens += record.cache_read_tokens
            self.cache_write_tokens += record.cache_write_tokens
        if record.reasoning_tokens:
            self.reasoning_tokens += record.reasoning_tokens
        if record.cost_micros:
            self.cost_micros += record.cost_micros
        if record.estimated:
            self.estimated += 1
        if record.unpriced:
            self.unpriced += 1

    def add(self, other: Used) -> None:
        """Add the counts of another one."""
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Speed:
    """How fast the streamed answers of one backend came."""

    __slots__ = ("first", "rate")

    def __init__(self) -> None:
        self.first = Sketch()  # seconds to the first content
        self.rate = Sketch()  # tokens of output per second, from there on


class ModelTraffic:
    """Counts what requests to models took. It outlives a reload."""

    def __init__(self, most: int = MOST_ROWS) -> None:
        self.rows: dict[Place, Used] = {}
        self.speeds: dict[str, Speed] = {}
        self.switches: dict[Labels, int] = {}  # from, to, reason
        self._tenants = Names(TENANTS)
        self._most = most

    def add(self, exchange: Exchange) -> None:
        """A request is over, and its record complete."""
        record = exchange.model
        if record is None:
            return
        for switch in record.switches:
            labels = (switch.origin, switch.to, switch.reason)
            if labels not in self.switches and len(self.switches) >= MOST_SWITCHES:
                labels = (OTHER, OTHER, OTHER)
            self.switches[labels] = self.switches.get(labels, 0) + 1
        if not record.backend:
            return
        self._row(exchange, record.backend).count(record, hit=exchange.cache == "hit")
        if record.streamed and record.first_token_seconds is not None:
            backend = record.backend
            if backend not in self.speeds and len(self.speeds) >= MOST_BACKENDS:
                backend = OTHER
            speed = self.speeds.setdefault(backend, Speed())
            speed.first.add(record.first_token_seconds)
            if record.output_seconds > 0 and record.output_tokens:
                speed.rate.add(record.output_tokens / record.output_seconds)

    def keep(self, known: Known) -> None:
        """Drop counts of routes, tenants and providers that are not in a new configuration."""
        self._tenants.configure(known.tenants)
        self.rows = {place: sums for place, sums in self.rows.items() if self._is_known(known, place)}
        self.speeds = {name: speed for name, speed in self.speeds.items() if _has(known, name)}
        self.switches = {
            labels: count for labels, count in self.switches.items() if all(_has(known, name) for name in labels[:2])
        }

    def _is_known(self, known: Known, place: Place) -> bool:
        route, tenant, backend = place
        named = route == OTHER or known.leads(route, NONE)
        return named and (not tenant or self._tenants.has(tenant)) and _has(known, backend)

    def _row(self, exchange: Exchange, backend: str) -> Used:
        identity = exchange.identity
        tenant = (identity.tenant or "") if identity is not None else ""
        if tenant and not self._tenants.admit(tenant):
            tenant = OTHER
        place = (exchange.route or NONE, tenant, backend)
        row = self.rows.get(place)
        if row is None:
            if len(self.rows) >= self._most:
                place = (OTHER, OTHER, OTHER)
            row = self.rows.setdefault(place, Used())
        return row


def _has(known: Known, backend: str) -> bool:
    return backend == OTHER or backend.partition("/")[0] in known.providers


def model_metrics(all_traffic: Iterable[ModelTraffic]) -> Iterator[Family]:
    """All of them, as of now; without values where there is no models.yaml."""
    traffic = next(iter(all_traffic), None) or ModelTraffic()
    rows = list(traffic.rows.items())
    help = (
        "Tokens of models, by direction: input (with cache_read and cache_write, the parts of it that a cache had, "
        "or took) and output (with reasoning, a part of it)."
    )
    yield Family("llm_tokens_total", "counter", help, (*_ROW, "direction"), _tokens(rows))
    help = "What requests to models cost, in dollars, as far as the prices are known."
    yield counter("llm_cost_usd_total", help, {place: sums.cost_micros * MICRO for place, sums in rows}, _ROW)
    help = "Time to the first content of streamed answers, from the beginning of the request, failed attempts included."
    firsts = (Sample((name,), speed.first) for name, speed in list(traffic.speeds.items()))
    yield Family("llm_time_to_first_token_seconds", "histogram", help, _BACKEND, firsts)
    help = "Tokens of output per second of streamed answers, from their first content to their end."
    rates = (Sample((name,), speed.rate) for name, speed in list(traffic.speeds.items()))
    yield Family("llm_output_tokens_per_second", "histogram", help, _BACKEND, rates, bounds=RATES)
    help = "Requests that went on to another backend before the client saw anything, by backends and reason."
    yield counter("llm_switches_total", help, traffic.switches, ("from", "to", "reason"))
    help = "Requests whose tokens are estimated, because no count of them came from the provider."
    estimated = {place: sums.estimated for place, sums in rows if sums.estimated}
    yield counter("llm_estimated_usage_total", help, estimated, _ROW)
    help = "Requests whose cost is not known, because their model has no price; write it into the file of prices.file."
    yield counter("llm_unpriced_total", help, {place: sums.unpriced for place, sums in rows if sums.unpriced}, _ROW)


def _tokens(rows: Iterable[tuple[Place, Used]]) -> Iterator[Sample]:
    for place, sums in rows:
        yield Sample((*place, "input"), sums.input_tokens)
        yield Sample((*place, "output"), sums.output_tokens)
        yield Sample((*place, "cache_read"), sums.cache_read_tokens)
        yield Sample((*place, "cache_write"), sums.cache_write_tokens)
        yield Sample((*place, "reasoning"), sums.reasoning_tokens)
