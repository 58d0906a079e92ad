"""What `gateway check` says of numbers that contradict each other, and of settings that nothing ever comes of."""

from __future__ import annotations

import pytest

from gateway.config.checks import WARNINGS, run
from tests.config.support import errors, parsed

SERVICE = "services: {s: {endpoints: ['a:1', 'a:2', 'a:3', 'a:4', 'a:5', 'a:6'], %s}}\nroutes: [{path: /x, target: s}]"
ROUTE = "services: {s: {endpoints: ['a:1', 'a:2']}}\nroutes: [{path: /x, target: s, %s}]"
OTHER = "services: {s: {endpoints: ['a:1']}}\nroutes: [{path: /x, target: s, hedge: {after: 1s}}]"


def warnings(routes: str, middleware: str = "") -> list[str]:
    """The places and messages; all that is said here must be about the sample."""
    found = run(WARNINGS, parsed(routes, middleware=middleware), "warning")
    return [f"{problem.where}: {problem.message}" for problem in found]


@pytest.mark.parametrize(
    ("service", "where", "said"),
    [
        ("health: {path: /, interval: 1s, timeout: 2s}", "health.timeout", "timeout, 2 s, is more than interval, 1 s"),
        ("health: {path: /, interval: 1s}", "health.interval", "timeout, 2 s, is more than interval, 1 s"),
        ("outliers: {base_ejection: 10m}", "outliers.base_ejection", "more than max_ejection, 300 s"),
        ("outliers: {max_ejection: 5s}", "outliers.max_ejection", "base_ejection, 30 s, is more than max_ejection"),
        ("outliers: {interval: 1m}", "outliers.interval", "ejections last longer"),
        ("outliers: {consecutive_gateway: 5}", "outliers.consecutive_gateway", "make it smaller"),
        ("outliers: {max_ejected: 0}", "outliers.max_ejected", "none is ever ejected"),
        (
            "outliers: {consecutive: 0, success_rate: {deviations: 0}, failure_percentage: {threshold: 0}}",
            "outliers",
            "write outliers: off",
        ),
        ("outliers: {failure_percentage: {endpoints: 9}}", "outliers.failure_percentage.endpoints", "6 endpoints"),
        ("connections: {max: 10, idle: 20}", "connections.idle", "idle, 20, is more than max, 10"),
        ("connections: {idle_timeout: 60s, max_age: 30s}", "connections.idle_timeout", "closed for its age"),
        ("concurrency: {limit: 5, minimum: 3}", "concurrency.minimum", "adaptive: true"),
        ("concurrency: 200, connections: {max: 10, pending: 20, idle: 5}", "concurrency", "take 180 requests at most"),
        ("health: {path: /, status: 204, body: ok}", "health.body", "no body; remove it"),
        ("health: {path: /, method: HEAD, body: ok}", "health.body", "write method: GET"),
    ],
)
def test_services(service: str, where: str, said: str) -> None:
    """Each is a warning at the number that is written, with what comes of it and the remedy."""
    (warning,) = warnings(SERVICE % service)
    assert warning.startswith(f"services.s.{where}: ")
    assert said in warning


@pytest.mark.parametrize(
    ("route", "where", "said"),
    [
        ("breaker: {open: 10m}", "breaker.open", "open, 600 s, is more than longest_open, 300 s"),
        ("breaker: {longest_open: 5s}", "breaker.longest_open", "however often trials fail"),
        ("breaker: {slow: 90s}", "breaker.slow", "more than half_open, 60 s"),
        ("breaker: {slow: 9s}, timeout: 5s", "breaker.slow", "the total time-out is 5 s"),
        ("timeout: {response_header: 9s, total: 5s}", "timeout.response_header", "the exchange ends before"),
        ("retry: {per_try: 5s}, timeout: 5s", "retry.per_try", "no time for a second attempt"),
        ("retry: {per_try: 90s}", "retry.per_try", "end an attempt after 60 s"),
        ("retry: {attempts: 1, on: [503]}", "retry.on", "attempts: 1"),
        ("hedge: {after: 5s}, timeout: 3s", "hedge.after", "given up by then, after 3 s"),
        ("hedge: {after: 2s}, retry: {per_try: 1s}", "hedge.after", "given up by then, after 1 s"),
        ("split: [{target: s, weight: 0}, {target: 'b:1', weight: 0}]", "split", "go to s; give one of them"),
        ("split: [{target: s, weight: 1}, {target: 'b:1', weight: 0}]", "split[1].weight", "b:1 gets no requests"),
        ("fallback: {status: 503, content_type: a/b}", "fallback.content_type", "without a body"),
    ],
)
def test_routes(route: str, where: str, said: str) -> None:
    """The same for what a route says, together with what it does not say."""
    (warning,) = warnings(ROUTE % route)
    assert warning.startswith(f"routes[0].{where}: ")
    assert said in warning


@pytest.mark.parametrize(
    ("middleware", "where", "said"),
    [
        ("breakers: {x: {open: 2m, longest_open: 1m}}", "breakers.x.open", "make open smaller, or longest_open larger"),
        ("timeouts: {connect: 9s, total: 5s}", "timeouts.connect", "more than total, 5 s"),
        ("drain: {window: 1m}", "drain.window", "more than deadline, 30 s"),
        ("retry_budget: {ratio: 0%, minimum_per_second: 0}", "retry_budget", "nothing is ever retried"),
        ("zones: {own: a, gateways: {b: 2}}", "zones.gateways", "it lacks a"),
        ("cache: {store: redis, size: 1MiB, max_body: 2MiB}", "cache.max_body", "larger than cache.size"),
        ("cache: {keep_stale: 1m, stale_if_error: 1h}", "cache.keep_stale", "for the 3600 s of stale_if_error"),
        ("rate_limits: {m: {limits: [10/s, 1000/m]}}", "rate_limits.m.limits", "1000 in 60 s has no effect"),
        ("rate_limits: {m: {limits: [10/s, 5/h]}}", "rate_limits.m.limits", "10 in 1 s has no effect beside 5 in 3600"),
        (
            "rate_limits: {m: {limits: [5/s], tiers: {gold: [10/s, 5/h]}}}",
            "rate_limits.m.tiers.gold",
            "10 in 1 s has no effect",
        ),
    ],
)
def test_all_routes(middleware: str, where: str, said: str) -> None:
    """The same for what middleware.yaml says."""
    redis = "redis: {url: 'redis://127.0.0.1'}\n" if "redis" in middleware else ""
    (warning,) = warnings(OTHER.replace("['a:1']", "['a:1', 'a:2']"), redis + middleware)
    assert warning.startswith(f"{where}: ")
    assert said in warning


def test_a_profile_that_is_changed() -> None:
    """What a profile that exists without a configuration does not say again counts as it is there."""
    assert warnings(OTHER.replace("['a:1']", "['a:1', 'a:2']"), "breakers: {long-tail: {slow: 3m, window: 10m}}") == []
    (warning,) = warnings(OTHER.replace("['a:1']", "['a:1', 'a:2']"), "breakers: {long-tail: {slow: 6m}}")
    assert warning.startswith("breakers.long-tail.slow: slow, 360 s, is more than half_open, 300 s")


def test_a_route_that_stores_more_than_there_is_room_for() -> None:
    """A route's largest body is held against the store of all."""
    (warning,) = warnings(ROUTE % "cache: {max_body: 10MiB}", "cache: {size: 16MiB}")
    assert warning.startswith("routes[0].cache.max_body: the store keeps nothing larger than a sixteenth")


@pytest.mark.parametrize(
    ("route", "middleware"),
    [
        ("timeout: 3s", "timeouts: {response_header: 30s}"),
        ("breaker: long-tail, timeout: 30s", ""),
        ("retry: {attempts: 1}", ""),
        ("retry: {per_try: 2s}, hedge: {after: 1s}, timeout: 10s", ""),
        ("breaker: {open: 5m}", ""),
        ("split: [{target: s, weight: 1}, {target: 'b:1', weight: 0, when: {header: {x-b: '1'}}}]", ""),
        ("split: [{target: 'b:1', when: {header: {x-b: '1'}}}]", ""),
        ("fallback: {status: 204}", ""),
        ("fallback: {status: 200, body: ok, content_type: a/b}", ""),
        ("", "rate_limits: {m: {limits: [10/s, 1000/h], burst: 50}}"),
        ("", "retry_budget: {ratio: 0%, minimum_per_second: 0}"),
        ("", "drain: {window: 30s, deadline: 30s}"),
    ],
)
def test_what_goes_together_is_not_mentioned(route: str, middleware: str) -> None:
    """Equal numbers, those that only defaults contradict, and shorter time-outs of a route."""
    assert warnings(ROUTE % route, middleware) == []


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_fallback_whose_status_has_no_body(status: int) -> None:
    """An answer that could not be sent as it is written is an error, at its place."""
    (error,) = errors(ROUTE % f"fallback: {{status: {status}, body: gone}}")
    assert "routes[0].fallback: " in error
    assert f"a response with the status {status} has no body; remove it, or take another status" in error
    (error,) = errors(ROUTE % "fallback: {status: 103, body: early}")
    assert "at least 200" in error
