"""What Prometheus scrapes: counted in plain numbers on the request path, put into its format only when it asks.

A request costs one dict entry and a bisection. Every set of labels is bounded: routes and rules come from the
configuration, and consumers beyond CONSUMERS, which a token issuer may invent without end, are counted as "other".
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from platform import python_version
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.algorithms.histogram import Histogram
from gateway.http import Exchange, Outcome, messages

BUCKETS: Final[tuple[float, ...]] = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)  # seconds
CONSUMERS: Final = 1000
ROUTES: Final = 20_000  # series that are kept; those of removed routes go first when there are more
NO_ROUTE: Final = "-"
_BUILD: Final = ("version", "python", "made")

HELP: Final = {
    "gateway_config_good": "1 while the files are those that are served. At 0, correct what /health of the admin port "
    "lists.",
    "gateway_config_reloads_total": "Configurations that were taken up after the first; GET /config/history has them.",
    "gateway_config_refusals_total": "Configurations that were refused; the log and gateway check say why.",
    "gateway_config_age_seconds": "Time since the configuration in force was loaded.",
    "gateway_troubles": "What does not work now. gateway status lists it, with what to do.",
    "gateway_task_deaths_total": "Long-lived tasks that ended by an error and were begun again; the log has the "
    "traceback.",
    "gateway_loop_lag_seconds": "How late the event loop is, measured where routes have a priority. Over 0.1, add a "
    "replica.",
    "gateway_loop_stalls_total": "Times that code kept everything waiting for over a second; the log names its place.",
    "gateway_loop_stalled_seconds_total": "How long it did.",
    "gateway_access_log_up": "1 while the access log is written. At 0, make room on its disk, or look at what reads "
    "it.",
    "gateway_access_log_lost_total": "Lines of the access log that could not be written.",
    "gateway_process_log_lost_total": "Lines of the gateway's own log that could not be written; look at what reads "
    "stderr.",
    "gateway_audit_log_up": "1 while the audit log is written. At 0, make room; with on_failure: closed nothing is "
    "served.",
    "gateway_audit_log_waiting": "Records of the audit log that wait in memory; beyond 20,000 they are lost.",
    "gateway_audit_log_records_total": "Records of the audit log that were written.",
    "gateway_audit_log_lost_total": "Records of the audit log that found no room in memory.",
    "gateway_state_directory_up": "1 while the state directory can be written. At 0, what is kept there is lost by a "
    "restart.",
    "gateway_redis_up": "1 while Redis answers. At 0, limits go on as their on_failure says; /health has the reason.",
    "gateway_redis_calls_total": "Calls of Redis.",
    "gateway_redis_failures_total": "Calls of Redis that failed. Where it grows, compare redis.timeout with Redis's "
    "latency.",
    "gateway_redis_outages_total": "Times that Redis was given up for a while.",
    "gateway_cache_hits_total": "Responses from the cache that were fresh.",
    "gateway_cache_collapsed_total": "Responses from the cache to requests that waited for another one's.",
    "gateway_cache_stale_total": "Responses from the cache that were stale, as may be when the backend fails.",
    "gateway_cache_revalidated_total": "Responses from the cache that the backend confirmed.",
    "gateway_cache_misses_total": "Requests that a cache could have answered, and the backend did.",
    "gateway_cache_bypassed_total": "Requests that were none for the cache, with a credential for instance.",
    "gateway_cache_stored_total": "Responses that were stored.",
    "gateway_cache_evicted_total": "Stored responses that made room for others. Where it grows with misses, raise "
    "cache.size.",
    "gateway_cache_invalidated_total": "Resources that a request changed, so that nothing stored of them was right.",
    "gateway_cache_purged_total": "Stored responses that were removed through the admin port.",
    "gateway_cache_bytes": "What stored responses take; in Redis of all gateways, as of the last one that this stored.",
    "gateway_cache_resources": "Resources of which something is stored in memory.",
    "gateway_quota_file_up": "1 while the file of the quotas can be used. At 0, quotas are counted in memory; see "
    "/health.",
    "gateway_quota_file_failures_total": "Failures to use the file of the quotas.",
    "gateway_quota_file_outages_total": "Times that the file of the quotas could not be used for a while.",
    "gateway_health_checks_total": "Health checks of endpoints.",
    "gateway_health_check_failures_total": "Health checks that failed; gateway top shows of which endpoints, and why.",
}
"""What numbers without labels are, by name. docs/metrics.md has the same."""

Source = Callable[[], Iterable[Metric]]


class Metrics(Collector):
    """The numbers of one process."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._durations: dict[str, Histogram] = {}
        self._consumers: Counter[str] = Counter()
        self._decisions: Counter[tuple[str, str]] = Counter()
        self._sources: list[Source] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def add_source(self, source: Source) -> None:
        """Another source of numbers, read with every scrape."""
        self._sources.append(source)

    def observe(self, exchange: Exchange, outcome: Outcome) -> None:
        """An exchange is over."""
        route = exchange.route or NO_ROUTE
        self._requests[route, outcome.status] += 1
        durations = self._durations.get(route)
        if durations is None:
            durations = self._new_route(route)
        durations.counts[bisect_left(durations.bounds, outcome.seconds)] += 1  # `observe`, without the call
        durations.total += outcome.seconds
        if exchange.identity is not None:
            name = exchange.identity.consumer
            known = name in self._consumers or len(self._consumers) < CONSUMERS
            self._consumers[name if known else "other"] += 1
        for decision in exchange.decisions:
            self._decisions[decision.rule, decision.verdict] += 1

    def _new_route(self, route: str) -> Histogram:
        if len(self._durations) >= ROUTES:
            self._durations.clear()
            self._requests.clear()
        durations = self._durations[route] = Histogram(BUCKETS)
        return durations

    def collect(self) -> Iterator[Metric]:
        """All of it, in Prometheus's terms."""
        requests = CounterMetricFamily(
            "gateway_requests",
            "Requests by route and status; the access log says more of each.",
            labels=["route", "status"],
        )
        for (route, status), count in self._requests.items():
            requests.add_metric([route, str(status)], count)
        yield requests
        made = "interpreted" if (messages.__file__ or "").endswith(".py") else "compiled"  # see setup.py
        build = GaugeMetricFamily("gateway_build_info", "1, by version, Python, and how it was made.", labels=_BUILD)
        build.add_metric([version("flowmaster-gateway"), python_version(), made], 1)
        yield build
        seconds = HistogramMetricFamily(
            "gateway_request_seconds",
            "Duration by route; gateway last shows how much of it the backend took.",
            labels=["route"],
        )
        for route, durations in self._durations.items():
            seconds.add_metric([route], durations.cumulative(), durations.total)
        yield seconds
        consumers = CounterMetricFamily("gateway_consumer_requests", "Requests by consumer.", labels=["consumer"])
        for consumer, count in self._consumers.items():
            consumers.add_metric([consumer], count)
        yield consumers
        decisions = CounterMetricFamily(
            "gateway_decisions",
            "What the rules said, by rule and verdict; shadow-deny is what enforcing a rule would refuse.",
            labels=["rule", "verdict"],
        )
        for (rule, verdict), count in self._decisions.items():
            decisions.add_metric([rule, verdict], count)
        yield decisions
        for source in self._sources:
            yield from source()

    def render(self) -> bytes:
        """The text that a scrape gets."""
        return generate_latest(self._registry)


def plain(measures: Mapping[str, float]) -> Iterator[Metric]:
    """Numbers without labels, each of HELP: counters where the name ends in `_total`, gauges otherwise."""
    for name, value in measures.items():
        family: Metric
        if name.endswith("_total"):
            family = CounterMetricFamily(name.removesuffix("_total"), HELP.get(name, name), value=value)
        else:
            family = GaugeMetricFamily(name, HELP.get(name, name), value=value)
        yield family
