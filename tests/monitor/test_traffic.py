"""What requests are counted in."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any, cast

import pytest

from gateway.errors import ErrorKind, GatewayError, Refusal
from gateway.http import Decision, Exchange, Identity, Outcome
from gateway.http.messages import Attempt
from gateway.http.span import Span
from gateway.http.testing import make_exchange
from gateway.monitor.known import Known
from gateway.monitor.traffic import CONSUMERS, NONE, OTHER, OTHER_METHOD, RULES, TENANTS, Flow, Traffic


def exchange_of(route: str | None = "orders", upstream: str | None = "shop", method: str = "GET") -> Exchange:
    exchange = make_exchange(method=method)
    exchange.route, exchange.upstream = route, upstream
    return exchange


def outcome_of(status: int = 200, seconds: float = 0.1) -> Outcome:
    outcome = Outcome(0, 0, status=status)
    outcome.seconds = seconds
    return outcome


def drain(ending: object) -> None:
    for _ in ending:  # type: ignore[attr-defined]
        pass


def test_one_request_is_in_all_that_is_counted() -> None:
    """A request counts by route, upstream, tenant, method, status and how it ended, with its time and sizes."""
    traffic, exchange, outcome = Traffic(), exchange_of(), outcome_of()
    exchange.identity = Identity("app", "keys", tenant="acme")
    exchange.cache = "miss"
    exchange.counted = (("rate_limit:all", None, ()),)  # type: ignore[assignment]
    exchange.decisions = (Decision("authentication:keys", "allow", ""),)
    attempts = Attempt("a:1", 0), Attempt("b:1", 0)
    attempts[0].retry = "not reached"
    exchange.attempts = attempts
    outcome.received, outcome.sent = 10, 3000
    traffic.report(exchange, outcome)
    flow = traffic.flows["orders", "shop"]
    assert flow.counts == {("acme", "GET", 200, "ok"): 1}
    assert (flow.durations.count, flow.durations.total, flow.errors) == (1, 0.1, 0)
    assert (flow.received.total, flow.sent.total) == (10, 3000)
    assert (flow.attempts, flow.retries, flow.cache) == (2, {"not reached": 1}, {"miss": 1})
    assert traffic.consumers == {"app": 1}
    assert traffic.limited == {"rate_limit:all": 1}
    assert traffic.decisions == {("authentication:keys", "allow"): 1}


@pytest.mark.parametrize(
    ("status", "error", "ended"),
    [
        (200, None, "ok"),
        (404, None, "ok"),
        (500, None, "failed"),
        (502, GatewayError(ErrorKind.UPSTREAM_RESET, ""), "failed"),
        (200, GatewayError(ErrorKind.UPSTREAM_RESET, ""), "failed"),
        (503, GatewayError(ErrorKind.CIRCUIT_OPEN, ""), "failed"),
        (429, GatewayError(ErrorKind.QUOTA_EXCEEDED, ""), "refused"),
        (503, GatewayError(ErrorKind.MAINTENANCE, ""), "refused"),
        (503, Refusal(503, "not today"), "refused"),
        (500, GatewayError(ErrorKind.INTERNAL, ""), "internal"),
        (500, ValueError(), "internal"),
        (503, GatewayError(ErrorKind.STORE_UNAVAILABLE, ""), "failed"),
        (503, GatewayError(ErrorKind.AUTH_UNAVAILABLE, ""), "failed"),
        (503, GatewayError(ErrorKind.AUDIT_UNAVAILABLE, ""), "internal"),
        (499, GatewayError(ErrorKind.CLIENT_GONE, ""), "client_gone"),
        (200, GatewayError(ErrorKind.GATEWAY_ENDED, ""), "internal"),
        (200, ConnectionResetError(), "client_gone"),
    ],
)
def test_how_a_request_ended(status: int, error: Exception | None, ended: str) -> None:
    """A refusal and a client that left are no errors of a service; a failure behind a head that was sent is one."""
    traffic, exchange = Traffic(), exchange_of()
    exchange.error = error
    traffic.report(exchange, outcome_of(status))
    flow = traffic.flows["orders", "shop"]
    assert flow.counts == {("", "GET", status, ended): 1}
    assert flow.errors == (ended in ("failed", "internal"))


def test_an_answer_of_the_configuration_is_no_failure() -> None:
    """A route that answers 503 by itself is meant to."""
    traffic = Traffic()
    traffic.report(exchange_of(upstream=None), outcome_of(503))
    assert traffic.flows["orders", NONE].counts == {("", "GET", 503, "refused"): 1}


@pytest.mark.parametrize("written", ["http://127.0.0.1", "http://127.0.0.1:80", "127.0.0.1:80"])
def test_an_upstream_has_one_name(written: str) -> None:
    """However a target is written, it counts as one upstream, by the name that its service has."""
    traffic = Traffic()
    traffic.report(exchange_of(upstream=written), outcome_of())
    assert list(traffic.flows) == [("orders", "127.0.0.1:80")]


def test_what_clients_choose_is_no_label() -> None:
    """Unknown methods, and tenants and consumers that a token issuer invents, end in one label."""
    traffic = Traffic()
    drain(traffic.configure(lambda route, upstream: True, frozenset({"acme"}), frozenset({"app"})))
    for number in range(TENANTS + 500):
        exchange = exchange_of(method=f"M{number}")
        exchange.identity = Identity(f"c{number}", "login", tenant=f"t{number}")
        traffic.report(exchange, outcome_of())
    exchange = exchange_of()
    exchange.identity = Identity("app", "login", tenant="acme")
    traffic.report(exchange, outcome_of())
    counts = traffic.flows["orders", "shop"].counts
    assert len(counts) == TENANTS + 2
    assert counts[OTHER, OTHER_METHOD, 200, "ok"] == 500
    assert counts["acme", "GET", 200, "ok"] == 1
    assert len(traffic.consumers) == CONSUMERS + 2
    assert (traffic.consumers[OTHER], traffic.consumers["app"]) == (500, 1)
    assert traffic.overflow == {"tenants": 500, "consumers": 500}


def test_decisions_are_bounded() -> None:
    """A custom policy that invents names of rules does not fill the memory."""
    traffic, exchange = Traffic(), exchange_of()
    for number in range(RULES + 5):
        exchange.decisions = (Decision(f"rule {number}", "deny", ""),)
        traffic.report(exchange, outcome_of())
    assert traffic.decisions[OTHER, "deny"] == 5
    assert len(traffic.decisions) == RULES + 1


def test_rules_that_are_gone_are_let_go() -> None:
    """A limit that is removed has no series; what has no name of its own in the files stays."""
    traffic, exchange = Traffic(), exchange_of()
    exchange.counted = (("rate_limit:old", None, ()), ("rate_limit:new", None, ()))  # type: ignore[assignment]
    exchange.decisions = (Decision("quota:old", "deny", ""), Decision("blocklist:address", "deny", ""))
    traffic.report(exchange, outcome_of())
    traffic.keep_rules(Known(rules=frozenset({"rate_limit:new"})).has_rule)
    assert traffic.limited == {"rate_limit:new": 1}
    assert traffic.decisions == {("blocklist:address", "deny"): 1}


def test_all_of_it_is_bounded_in_bytes() -> None:
    """With more routes, tenants and durations than there is room for, every request is counted, and memory stays."""
    traffic, total = Traffic(flow_bytes=60_000, count_bytes=40_000), 0
    for number in range(3000):
        exchange = exchange_of(f"r{number % 100}")
        exchange.identity = Identity("app", "login", tenant=f"t{number % 900}")
        traffic.report(exchange, outcome_of(200 + number % 300, 2.0 ** (number % 40 - 19)))
        total += 1
    assert sum(flow.durations.count for flow in traffic.flows.values()) == total
    assert sum(sum(flow.counts.values()) for flow in traffic.flows.values()) == total
    assert traffic.flow_bytes < 60_000 * 1.3
    assert traffic.count_bytes < 41_000
    assert (OTHER, OTHER) in traffic.flows
    assert {"flows", "requests", "durations"} <= set(traffic.overflow)


def test_exemplars_are_the_last_of_each_magnitude() -> None:
    """Of requests that are traced, one for each doubling of the duration is kept, as long as there is room."""
    traffic, small = Traffic(), Traffic(flow_bytes=2000)
    for number, seconds in enumerate((0.3, 0.4, 0.01, 1e-9)):
        exchange = exchange_of()
        exchange.span = Span(f"{number:032}", f"{number:016}", 1, cast(Any, None), random.Random(), ())
        traffic.report(exchange, outcome_of(seconds=seconds))
        small.report(exchange, outcome_of(seconds=seconds))
    kept = traffic.flows["orders", "shop"].exemplars.values()
    assert [(int(each.trace_id), int(each.span_id), each.value) for each in kept] == [
        (1, 1, 0.4),
        (2, 2, 0.01),
        (3, 3, 1e-9),
    ]
    assert len(small.flows["orders", "shop"].exemplars) == 1


def test_memory_is_flat_over_ten_thousand_tenants() -> None:
    """Whatever comes, it takes what it is said to take, and after a while no more."""
    traffic, draw = Traffic(flow_bytes=1_000_000, count_bytes=1_000_000), random.Random(1)
    outcomes = [outcome_of(draw.choice((200, 404, 500)), draw.lognormvariate(-4, 1)) for _ in range(100)]
    identities = [Identity(f"c{number}", "login", tenant=f"t{number}") for number in range(10_000)]
    exchange = exchange_of()

    def serve() -> int:
        for _ in range(40_000):
            exchange.route, exchange.identity = f"r{draw.randrange(400)}", draw.choice(identities)
            traffic.report(exchange, draw.choice(outcomes))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        first, second = serve() - before, serve() - before
    finally:
        tracemalloc.stop()
    assert first < 1.5 * (traffic.flow_bytes + traffic.count_bytes) < 4_000_000
    assert second - first < 0.1 * first


def test_what_is_gone_is_let_go() -> None:
    """A route that is removed, a way that a route has no longer, and a tenant whose consumer is gone have no series."""
    traffic, gone = Traffic(), list[Flow]()
    traffic.ending.append(gone.append)
    drain(traffic.configure(lambda route, upstream: True, frozenset({"acme"}), frozenset({"app"})))
    for route, upstream in (("orders", "shop"), ("orders", "old"), ("users", "shop"), (None, None)):
        exchange = exchange_of(route, upstream)
        exchange.identity = Identity("app", "keys", tenant="acme")
        traffic.report(exchange, outcome_of())
        traffic.report(exchange_of(route, upstream), outcome_of())
    drain(
        traffic.configure(
            lambda route, upstream: (route, upstream) in {("orders", "shop"), ("-", "-")}, frozenset(), frozenset()
        )
    )
    assert set(traffic.flows) == {("orders", "shop"), (NONE, NONE)}
    assert traffic.flows["orders", "shop"].counts == {("", "GET", 200, "ok"): 1}
    assert traffic.consumers == {}
    assert {flow.name for flow in gone} == {("orders", "old"), ("users", "shop")}
    traffic.report(exchange_of("users"), outcome_of())  # one that had begun before
    assert set(traffic.flows) == {("orders", "shop"), (NONE, NONE), (OTHER, OTHER)}
    drain(traffic.configure(lambda route, upstream: True, frozenset(), frozenset()))
    traffic.report(exchange_of("users"), outcome_of())
    assert traffic.flows["users", "shop"].durations.count == 1
