"""Metrics of what the gateway does about failures: each has a series for each thing that lives, and none besides."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from gateway.algorithms.circuit_breaker import State
from gateway.families import Family, Labels, Sample, counter
from gateway.live import Owner
from gateway.monitor.traffic import upstream_name
from gateway.upstream.breaker import Breaker
from gateway.upstream.concurrency import ServiceLimit
from gateway.upstream.hedging import Latencies
from gateway.upstream.mirror import MirrorQueue
from gateway.upstream.retry import ServiceBudget

BY_ROUTE = ("route_id", "upstream")


def resilience_metrics(owner: Owner) -> Iterator[Family]:
    """All of it, as of now."""
    yield from _breakers(list(owner.all(Breaker)))
    yield from _mirrors(list(owner.all(MirrorQueue)))
    limits = list(owner.all(ServiceLimit))
    help = "Requests that an upstream may have at once."
    allowed = (Sample((each.service,), each.limit.limit) for each in limits)
    yield Family("gateway_concurrency_limit", "gauge", help, ("upstream",), allowed)
    help = "Requests that were too many for an upstream; GET /limits shows its limit now."
    refused = (Sample((each.service,), each.refused) for each in limits)
    yield Family("gateway_concurrency_refused_total", "counter", help, ("upstream",), refused)
    drawn, exhausted = Counter[Labels](), Counter[Labels]()
    for each in owner.all(ServiceBudget):  # one address asked with and without TLS has two, and one name
        drawn[upstream_name(each.service),] += each.budget.drawn
        exhausted[upstream_name(each.service),] += each.budget.exhausted
    help = "Retries that the budget of an upstream paid for."
    yield counter("gateway_retry_budget_drawn_total", help, drawn, ("upstream",))
    help = "Retries that it did not pay for: too much of the upstream fails for retries to help."
    yield counter("gateway_retry_budget_refused_total", help, exhausted, ("upstream",))
    hedges = list(owner.all(Latencies))
    yield counter(
        "gateway_hedges_total",
        "Second attempts beside slow ones (hedge), by whether their answer was taken.",
        {("taken",): sum(each.won for each in hedges), ("not_taken",): sum(each.sent - each.won for each in hedges)},
        ("result",),
    )


def _breakers(breakers: list[Breaker]) -> Iterator[Family]:
    help = (
        "1 for the state of a breaker, by route, upstream and state: half_open, too, once the open time is over and no "
        "request has come as a trial; GET /breakers says why it is open."
    )
    yield Family("gateway_breaker_state", "gauge", help, (*BY_ROUTE, "state"), _states(breakers), "max")
    help = "Times that a breaker opened, by route and upstream."
    opened = (Sample(_way(each.route, each.target), each.circuit.opened) for each in breakers)
    yield Family("gateway_breaker_opened_total", "counter", help, BY_ROUTE, opened)
    help = "Requests that a breaker refused, by route and upstream; PUT /breakers/ROUTE forces it open or closed."
    refused = (Sample(_way(each.route, each.target), each.refused) for each in breakers)
    yield Family("gateway_breaker_refused_total", "counter", help, BY_ROUTE, refused)


def _states(breakers: list[Breaker]) -> Iterator[Sample]:
    now = time.perf_counter()
    for each in breakers:
        current = each.circuit.report(now).state
        for state in State:
            yield Sample((*_way(each.route, each.target), state.value), float(state is current))


def _way(route: str, target: str) -> Labels:
    return (route, upstream_name(target))


def _mirrors(queues: list[MirrorQueue]) -> Iterator[Family]:
    help = "Copies for a mirror, by route, upstream and result."
    copies = (
        Sample((*_way(queue.route, queue.target), result), getattr(queue, result))
        for queue in queues
        for result in ("same", "different", "failed", "dropped", "left_out")
    )
    yield Family("gateway_mirror_copies_total", "counter", help, (*BY_ROUTE, "result"), copies)
    help = "Time to the head of answers that both gave, by route, upstream and side."
    seconds = (
        Sample((*_way(queue.route, queue.target), side), value)
        for queue in queues
        for side, value in (("real", queue.real_seconds), ("mirror", queue.mirror_seconds))
    )
    yield Family("gateway_mirror_response_seconds_total", "counter", help, (*BY_ROUTE, "side"), seconds)
