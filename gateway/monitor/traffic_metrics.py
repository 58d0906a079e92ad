"""Metrics of requests: histograms by route and upstream, everything else as counters, with tenants on one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from gateway.families import BYTES, Family, Labels, Sample, counter
from gateway.monitor.traffic import Flow, Key, Traffic

BY_ROUTE: Final = ("route_id", "upstream")
REQUESTS: Final = (*BY_ROUTE, "tenant", "model_backend", "status_class", "method", "outcome")
_AUTHENTICATION: Final = "authentication"
_OUTCOMES: Final = {"allow": "accepted", "deny": "refused", "shadow-deny": "shadow_refused", "unknown": "unavailable"}


def traffic_metrics(traffic: Traffic) -> Iterator[Family]:
    """All of them, as of now."""
    flows = list(traffic.flows.values())
    yield from _distributions(flows)
    help = "Requests that are over, by route, upstream, tenant, model, class of status, method, and how they ended."
    yield Family("gateway_requests_total", "counter", help, REQUESTS, _requests(flows))
    help = "Attempts at endpoints, by route and upstream; more than requests where some are tried again."
    attempts = (Sample(flow.name, flow.attempts) for flow in flows if flow.attempts)
    yield Family("gateway_attempts_total", "counter", help, BY_ROUTE, attempts)
    help = "Attempts that another one followed, by route, upstream and reason; the access log has each."
    retries = (Sample((*flow.name, why), count) for flow in flows for why, count in list(flow.retries.items()))
    yield Family("gateway_retries_total", "counter", help, (*BY_ROUTE, "reason"), retries)
    help = "What the response cache did, by route and result (hit, miss, stale, revalidated, collapsed, bypass)."
    yield Family("gateway_cache_requests_total", "counter", help, ("route_id", "result"), _cache(flows))
    help = "Requests by consumer."
    consumers = (Sample((name,), count) for name, count in list(traffic.consumers.items()))
    yield Family("gateway_consumer_requests_total", "counter", help, ("consumer",), consumers)
    yield from _decisions(traffic)
    help = "Requests that had no room among the labels, and were counted as _other, by what there were too many of."
    yield counter(
        "gateway_metrics_overflow_total",
        help,
        {(name,): count for name, count in traffic.overflow.items()},
        ("labels",),
    )


def _distributions(flows: list[Flow]) -> Iterator[Family]:
    help = "Duration of requests, from their head to the end of the response."
    durations = (Sample(flow.name, flow.durations, tuple(flow.exemplars.values())) for flow in flows)
    yield Family("http_server_request_duration_seconds", "histogram", help, BY_ROUTE, durations)
    help, received = "Size of request bodies, as they came.", (Sample(flow.name, flow.received) for flow in flows)
    yield Family("http_server_request_body_size_bytes", "histogram", help, BY_ROUTE, received, bounds=BYTES)
    help, sent = "Size of response bodies, as they were sent.", (Sample(flow.name, flow.sent) for flow in flows)
    yield Family("http_server_response_body_size_bytes", "histogram", help, BY_ROUTE, sent, bounds=BYTES)


def _requests(flows: Iterable[Flow]) -> Iterator[Sample]:
    for flow in flows:
        together: dict[Labels, int] = {}
        for (tenant, method, status, ended), backend, count in _by_backend(flow):
            labels: Labels = (*flow.name, tenant, backend, f"{status // 100}xx", method, ended)
            together[labels] = together.get(labels, 0) + count
        for labels, count in together.items():
            yield Sample(labels, count)


def _by_backend(flow: Flow) -> Iterator[tuple[Key, str, int]]:
    """The counts, with the backend of requests to a model; empty for all others."""
    if not flow.backends:
        yield from ((key, "", count) for key, count in flow.counts.items())
        return
    rest = dict(flow.counts)
    for (key, backend), count in flow.backends.items():
        rest[key] -= count
        yield key, backend, count
    yield from ((key, "", count) for key, count in rest.items() if count)


def _cache(flows: Iterable[Flow]) -> Iterator[Sample | None]:
    together: dict[Labels, int] = {}
    for flow in flows:
        for result, count in flow.cache.items():
            together[flow.route, result] = together.get((flow.route, result), 0) + count
        yield None
    for labels, total in together.items():
        yield Sample(labels, total)


def _decisions(traffic: Traffic) -> Iterator[Family]:
    """Decisions of rules, in the terms of authentication and limits."""
    help = (
        "What the rules said, by rule and verdict; shadow-deny is what enforcing a rule would refuse, and unknown what "
        "one refused that could not ask what it needs to know."
    )
    yield counter("gateway_decisions_total", help, traffic.decisions, ("rule", "verdict"))
    callers: dict[Labels, float] = {}
    limits: dict[Labels, float] = {(rule, "accepted"): count for rule, count in traffic.limited.items()}
    for (rule, verdict), count in traffic.decisions.items():
        kind, _, name = rule.partition(":")
        if kind == _AUTHENTICATION:
            callers[name, _OUTCOMES.get(verdict, verdict)] = count
        elif kind in ("rate_limit", "quota") and verdict != "allow":
            limits[rule, _OUTCOMES.get(verdict, verdict)] = count
    help = (
        "Requests by the scheme that recognised or refused their caller, or could not ask who it is (unavailable); "
        "it is empty where there is no credential."
    )
    yield counter("gateway_auth_requests_total", help, callers, ("scheme", "outcome"))
    help = "Requests that a rate limit or quota counted or refused, or whose store did not answer (unavailable)."
    yield counter("gateway_limit_requests_total", help, limits, ("limit", "outcome"))
