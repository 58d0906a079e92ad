"""What Prometheus scrapes: put into its format when it asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from platform import python_version
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.algorithms.percentiles import Sketch
from gateway.families import SECONDS
from gateway.http import messages
from gateway.monitor.traffic import Traffic

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
    "gateway_telemetry_sent_total": "Requests, log lines and readings of metrics that an OpenTelemetry collector took.",
    "gateway_telemetry_lost_total": "The same that found no room, or that it did not take; /health says why.",
    "gateway_state_directory_up": "1 while the state directory can be written. At 0, what is kept there is lost by a "
    "restart.",
    "gateway_clock_offset_seconds": "How far this machine's clock is ahead of others (behind: negative), where it is "
    "wrong; set it right.",
    "gateway_clock_jumps_total": "Times that the clock of this machine was set while the gateway ran.",
    "gateway_memory_limit_bytes": "What the control group of the gateway may have; absent without a limit.",
    "gateway_memory_used_bytes": "What it has, without what the kernel can take back. Near the limit, raise that: "
    "docs/sizing.md.",
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

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._sources: list[Source] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def add_source(self, source: Source) -> None:
        """Another source of numbers, read with every scrape."""
        self._sources.append(source)

    def collect(self) -> Iterator[Metric]:
        """All of it, in Prometheus's terms."""
        requests = CounterMetricFamily(
            "gateway_requests",
            "Requests by route and status; the access log says more of each.",
            labels=["route", "status"],
        )
        statuses: Counter[tuple[str, str]] = Counter()
        durations: dict[str, Sketch] = {}
        for flow in self._traffic.flows.values():
            durations.setdefault(flow.route, Sketch()).merge(flow.durations)
            for (_, _, status, _), count in flow.counts.items():
                statuses[flow.route, str(status)] += count
        for labels, count in statuses.items():
            requests.add_metric(labels, count)
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
        for route, each in durations.items():
            seconds.add_metric([route], buckets_of(each), each.total)
        yield seconds
        consumers = CounterMetricFamily("gateway_consumer_requests", "Requests by consumer.", labels=["consumer"])
        for consumer, count in self._traffic.consumers.items():
            consumers.add_metric([consumer], count)
        yield consumers
        decisions = CounterMetricFamily(
            "gateway_decisions",
            "What the rules said, by rule and verdict; shadow-deny is what enforcing a rule would refuse.",
            labels=["rule", "verdict"],
        )
        for (rule, verdict), count in self._traffic.decisions.items():
            decisions.add_metric([rule, verdict], count)
        yield decisions
        for source in self._sources:
            yield from source()

    def render(self) -> bytes:
        """The text that a scrape gets."""
        return generate_latest(self._registry)


def buckets_of(durations: Sketch) -> list[tuple[str, float]]:
    """As the client library takes them."""
    return list(zip((*map(str, SECONDS), "+Inf"), map(float, durations.cumulative(SECONDS)), strict=True))


def plain(measures: Mapping[str, float]) -> Iterator[Metric]:
    """Numbers without labels, each of HELP: counters where the name ends in `_total`, gauges otherwise."""
    for name, value in measures.items():
        family: Metric
        if name.endswith("_total"):
            family = CounterMetricFamily(name.removesuffix("_total"), HELP.get(name, name), value=value)
        else:
            family = GaugeMetricFamily(name, HELP.get(name, name), value=value)
        yield family
