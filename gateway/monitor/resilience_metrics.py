"""Metrics of what the gateway does about failures: each has a series for each thing that lives, and none besides."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gateway.algorithms.circuit_breaker import State
from gateway.live import Owner
from gateway.upstream.breaker import Breaker


def resilience_metrics(owner: Owner) -> Iterator[Metric]:
    """All of it, as of now."""
    yield from _breakers(list(owner.all(Breaker)))


def _breakers(breakers: list[Breaker]) -> Iterator[Metric]:
    labels, now = ["route", "target"], time.perf_counter()
    states = GaugeMetricFamily("gateway_breaker_state", "1 for the state of a breaker.", labels=[*labels, "state"])
    opened = CounterMetricFamily("gateway_breaker_opened", "Times that a breaker opened.", labels=labels)
    refused = CounterMetricFamily("gateway_breaker_refused", "Requests that a breaker refused.", labels=labels)
    for breaker in breakers:
        named, current = [breaker.route, breaker.target], breaker.circuit.report(now).state
        for state in State:
            states.add_metric([*named, state], float(state is current))
        opened.add_metric(named, breaker.circuit.opened)
        refused.add_metric(named, breaker.refused)
    yield from (states, opened, refused)
