"""Metrics of what the gateway does about failures: each has a series for each thing that lives, and none besides."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gateway.algorithms.circuit_breaker import State
from gateway.families import Family, Labels, counter, gauge
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
    yield from _limits(list(owner.all(ServiceLimit)))
    yield from _budgets(list(owner.all(ServiceBudget)))
    hedges = list(owner.all(Latencies))
    yield counter(
        "gateway_hedges_total",
        "Second attempts beside slow ones (hedge), by whether their answer was taken.",
        {("taken",): sum(each.won for each in hedges), ("not_taken",): sum(each.sent - each.won for each in hedges)},
        ("result",),
    )


def _breakers(breakers: list[Breaker]) -> Iterator[Family]:
    now = time.perf_counter()
    states: dict[Labels, float] = {}
    for each in breakers:
        current = each.circuit.report(now).state
        states |= {(each.route, upstream_name(each.target), state.value): float(state is current) for state in State}
    help = "1 for the state of a breaker, by route, upstream and state; GET /breakers says why it is open."
    yield gauge("gateway_breaker_state", help, states, (*BY_ROUTE, "state"), "max")
    opened = {(each.route, upstream_name(each.target)): each.circuit.opened for each in breakers}
    help = "Times that a breaker opened, by route and upstream."
    yield counter("gateway_breaker_opened_total", help, opened, BY_ROUTE)
    refused = {(each.route, upstream_name(each.target)): each.refused for each in breakers}
    help = "Requests that a breaker refused, by route and upstream; PUT /breakers/ROUTE forces it open or closed."
    yield counter("gateway_breaker_refused_total", help, refused, BY_ROUTE)


def _mirrors(queues: list[MirrorQueue]) -> Iterator[Family]:
    copies: dict[Labels, float] = {}
    seconds: dict[Labels, float] = {}
    for queue in queues:
        named = (queue.route, upstream_name(queue.target))
        for result in ("same", "different", "failed", "dropped", "left_out"):
            copies[*named, result] = getattr(queue, result)
        seconds[*named, "real"] = queue.real_seconds
        seconds[*named, "mirror"] = queue.mirror_seconds
    help = "Copies for a mirror, by route, upstream and result."
    yield counter("gateway_mirror_copies_total", help, copies, (*BY_ROUTE, "result"))
    help = "Time to the head of answers that both gave, by route, upstream and side."
    yield counter("gateway_mirror_response_seconds_total", help, seconds, (*BY_ROUTE, "side"))


def _limits(limits: list[ServiceLimit]) -> Iterator[Family]:
    help = "Requests that an upstream may have at once."
    allowed = {(each.service,): each.limit.limit for each in limits}
    yield gauge("gateway_concurrency_limit", help, allowed, ("upstream",))
    help = "Requests that were too many for an upstream; GET /limits shows its limit now."
    refused = {(each.service,): each.refused for each in limits}
    yield counter("gateway_concurrency_refused_total", help, refused, ("upstream",))


def _budgets(budgets: list[ServiceBudget]) -> Iterator[Family]:
    drawn: dict[Labels, float] = {}
    refused: dict[Labels, float] = {}
    for each in budgets:
        named = (upstream_name(each.service),)
        drawn[named] = drawn.get(named, 0) + each.budget.drawn
        refused[named] = refused.get(named, 0) + each.budget.exhausted
    help = "Retries that the budget of an upstream paid for."
    yield counter("gateway_retry_budget_drawn_total", help, drawn, ("upstream",))
    help = "Retries that it did not pay for: too much of the upstream fails for retries to help."
    yield counter("gateway_retry_budget_refused_total", help, refused, ("upstream",))
