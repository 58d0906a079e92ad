"""Metrics of what the gateway does about failures: each has a series for each thing that lives, and none besides."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gateway.algorithms.circuit_breaker import State
from gateway.live import Owner
from gateway.upstream.breaker import Breaker
from gateway.upstream.concurrency import ServiceLimit
from gateway.upstream.mirror import MirrorQueue
from gateway.upstream.retry import ServiceBudget


def resilience_metrics(owner: Owner) -> Iterator[Metric]:
    """All of it, as of now."""
    yield from _breakers(list(owner.all(Breaker)))
    yield from _mirrors(list(owner.all(MirrorQueue)))
    yield from _limits(list(owner.all(ServiceLimit)))
    yield from _budgets(list(owner.all(ServiceBudget)))


def _breakers(breakers: list[Breaker]) -> Iterator[Metric]:
    labels, now = ["route", "target"], time.perf_counter()
    states = GaugeMetricFamily(
        "gateway_breaker_state",
        "1 for the state of a breaker, by route, target and state; GET /breakers says why it is open.",
        labels=[*labels, "state"],
    )
    opened = CounterMetricFamily(
        "gateway_breaker_opened", "Times that a breaker opened, by route and target.", labels=labels
    )
    refused = CounterMetricFamily(
        "gateway_breaker_refused",
        "Requests that a breaker refused, by route and target; PUT /breakers/ROUTE forces it open or closed.",
        labels=labels,
    )
    for breaker in breakers:
        named, current = [breaker.route, breaker.target], breaker.circuit.report(now).state
        for state in State:
            states.add_metric([*named, state], float(state is current))
        opened.add_metric(named, breaker.circuit.opened)
        refused.add_metric(named, breaker.refused)
    yield from (states, opened, refused)


def _mirrors(queues: list[MirrorQueue]) -> Iterator[Metric]:
    labels = ["route", "target"]
    copies = CounterMetricFamily(
        "gateway_mirror_copies", "Copies for a mirror, by route, target and result.", labels=[*labels, "result"]
    )
    seconds = CounterMetricFamily(
        "gateway_mirror_response_seconds",
        "Time to the head of answers that both gave, by route, target and side.",
        labels=[*labels, "side"],
    )
    for queue in queues:
        named = [queue.route, queue.target]
        for result in ("same", "different", "failed", "dropped", "left_out"):
            copies.add_metric([*named, result], getattr(queue, result))
        seconds.add_metric([*named, "real"], queue.real_seconds)
        seconds.add_metric([*named, "mirror"], queue.mirror_seconds)
    yield from (copies, seconds)


def _limits(limits: list[ServiceLimit]) -> Iterator[Metric]:
    labels = ["service"]
    number = GaugeMetricFamily(
        "gateway_concurrency_limit", "Requests that a service may have at once, by service.", labels=labels
    )
    refused = CounterMetricFamily(
        "gateway_concurrency_refused",
        "Requests that were too many for a service, by service; GET /limits shows its limit now.",
        labels=["service"],
    )
    for each in limits:
        number.add_metric([each.service], each.limit.limit)
        refused.add_metric([each.service], each.refused)
    yield from (number, refused)


def _budgets(budgets: list[ServiceBudget]) -> Iterator[Metric]:
    labels = ["service"]
    drawn = CounterMetricFamily("gateway_retries", "Retries that a budget paid for, by service.", labels=labels)
    refused = CounterMetricFamily(
        "gateway_retries_refused",
        "Retries that a budget did not pay for, by service: too much of it fails for retries to help.",
        labels=labels,
    )
    for each in budgets:
        drawn.add_metric([each.service], each.budget.drawn)
        refused.add_metric([each.service], each.budget.exhausted)
    yield from (drawn, refused)
