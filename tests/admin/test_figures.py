"""Traffic on the page: which endpoints fail, the last minute, and who calls most."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.admin.failing_endpoints import Addresses, Failing, Failure, Lately, attempts_lately, failure_said
from gateway.admin.figures import last_minute
from gateway.admin.service_states import why_out
from gateway.admin.top_consumers import TopConsumers
from gateway.balancing.table import BALANCERS
from gateway.deadlines import Deadlines
from gateway.errors import ErrorKind
from gateway.http import Exchange, Outcome
from gateway.http.messages import Attempt
from gateway.monitor.recent_requests import RecentRequests
from gateway.monitor.traffic import Traffic
from gateway.monitor.watch import Monitor
from gateway.monitor.windows import FINE
from gateway.upstream.health import Signal
from gateway.upstream.member import Address, Member
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.transport import Connector, Resolver
from tests.monitor.test_watch import Watched


def upstream_at(name: str, *hosts: str) -> Upstream:
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    return Upstream(name, connector, Settings(BALANCERS["round_robin"]), [Member(Address(host, 1)) for host in hosts])


def _tried(
    recent: RecentRequests,
    endpoint: str,
    status: int,
    failure: ErrorKind | None = None,
    ago: float = 0,
    service: str = "shop",
) -> None:
    exchange = Exchange("id", "GET", "/", b"", [], {}, "http", "", "10.0.0.1", False, "10.0.0.1")
    attempt = Attempt(endpoint, 0.0)
    attempt.status, attempt.failure = status, failure
    exchange.attempts = (attempt,)
    exchange.upstream = service
    recent.report(exchange, Outcome(time.time() - ago, 0.0, status))


async def test_an_endpoint_that_fails_all_it_is_asked_is_named() -> None:
    """However little that is; one that fails now and then is not, unless that is a share that counts."""
    recent = RecentRequests()
    _tried(recent, "old:1", 500, ago=61)
    _tried(recent, "dead:1", 0, ErrorKind.UPSTREAM_REFUSED)
    for number in range(25):
        _tried(recent, "often:1", 500 if number % 10 == 0 else 200)
        _tried(recent, "well:1", 404)
    for number in range(10):
        _tried(recent, "once:1", 500 if number == 5 else 200)
    failing = Failing(recent, None, [upstream_at("shop", "old", "dead", "often", "well", "once")])
    found = {host: failing.endpoint("shop", f"{host}:1") for host in ("old", "dead", "often", "well", "once")}
    assert {host: failure for host, failure in found.items() if failure is not None} == {
        "dead": Failure("1 of its last 1 request failed", whole=True),
        "often": Failure("3 of its last 25 requests failed", whole=False),
    }


async def test_an_endpoint_fails_for_the_service_that_asked_it() -> None:
    """Another service at the same address is not blamed; where a request went on to another service, all that have the
    address are."""
    recent = RecentRequests()
    _tried(recent, "both:1", 0, ErrorKind.UPSTREAM_TLS, service="clear")
    _tried(recent, "both:1", 200, service="other")
    _tried(recent, "left:1", 500, service="other")
    addresses = Addresses([upstream_at("clear", "both", "left"), upstream_at("other", "both")])
    assert attempts_lately(recent, 60, addresses) == {
        ("clear", "both:1"): Lately(1, 1),
        ("clear", "left:1"): Lately(1, 1),
        ("other", "both:1"): Lately(1, 0),
    }


@pytest.mark.parametrize(
    ("before", "now", "whole"),
    [
        ((0, 0), (0, 2), True),
        ((30, 0), (0, 4), False),  # of the minute, most were answered
        ((30, 0), (0, 5), True),  # they were, but none of the last is
        ((0, 30), (1, 1), False),  # it begins to answer again
        ((0, 30), (0, 0), True),
        ((28, 2), (0, 1), False),
    ],
)
async def test_an_endpoint_that_answers_a_part_does_not_fail_as_a_whole(
    tmp_path: Path, before: tuple[int, int], now: tuple[int, int], whole: bool
) -> None:
    """It does where all of the last minute failed, or so many in a row that the rest of it does not matter."""
    upstream, recent, clock = upstream_at("shop", "it"), RecentRequests(), int(time.time()) // FINE * FINE - FINE
    monitor = Monitor(Traffic(), lambda: [upstream])
    monitor.keep_in(tmp_path)
    monitor.enabled = True
    await monitor.restore(clock)
    (endpoint,) = upstream.endpoints
    for status in [200] * before[0] + [500] * before[1]:
        attempt = endpoint.begin(time.perf_counter())
        attempt.status, attempt.seconds = status, 0.1
        endpoint.ended(attempt)
    await monitor.tick(clock + FINE)
    for status in [200] * now[0] + [500] * now[1]:
        _tried(recent, "it:1", status)
    failure = Failing(recent, monitor, [upstream]).endpoint("shop", "it:1")
    assert failure is not None
    assert failure.whole is whole


async def test_an_outage_says_since_when() -> None:
    """Of an endpoint that gets no requests, how long it has been so, however often that is said again."""
    upstream = upstream_at("shop", "dead")
    for now in (100.0, 130.0):
        upstream.report(upstream.endpoints[0], Signal.PROBE, up=False, reason="3 checks failed", now=now)
    assert why_out(upstream.endpoints[0], 140.0) == "probe: 3 checks failed (for 40 s)"


@pytest.mark.parametrize(
    ("requests", "errors", "said"),
    [
        (0, 0, None),
        (100, 0, None),
        (100, 4, None),
        (100, 5, "5 of 100 requests in the last minute failed"),
        (1, 1, "1 of 1 request in the last minute failed"),
    ],
)
def test_a_twentieth_of_failures_counts(requests: int, errors: int, said: str | None) -> None:
    """Less is left to the figures."""
    assert failure_said(requests, errors) == said


async def test_the_last_minute_is_that_of_the_monitor(tmp_path: Path) -> None:
    """Throughput, errors and percentiles; nothing where it is off, rather than zeros."""
    now = time.time()
    watched = await Watched(tmp_path, int(now) - int(now) % FINE - 60).begin()
    assert last_minute(watched.monitor, "route", "orders") is None
    watched.monitor.enabled = True
    for _ in range(6):
        watched.serve(1, 0.4, status=503)
        await watched.slices(1, requests=9)
    minute = last_minute(watched.monitor, "route", "orders")
    assert minute is not None
    assert (minute["requests"], minute["error_rate"]) == (60, 0.1)
    assert minute["p50_ms"] == pytest.approx(100, rel=0.02)
    assert minute["p99_ms"] == pytest.approx(400, rel=0.02)
    failing = Failing(RecentRequests(), watched.monitor, [])
    assert failing.counts("route", "orders") == (60, 6)
    assert failing.counts("route", "users") == (0, 0)


def test_the_busiest_consumers_are_those_of_the_last_minute() -> None:
    """Not those who called most since the start."""
    top = TopConsumers()
    assert top.shown({"old": 1_000_000, "new": 0}, 0.0) == []
    assert top.shown({"old": 1_000_010, "new": 100, "idle": 0}, 10.0) == [("new", 10.0), ("old", 1.0)]
    counts = {"old": 1_000_010, "new": 100}
    for second in range(11, 200):
        counts["new"] += 1
        shown = top.shown(counts, float(second))
    assert [name for name, _ in shown] == ["new"]
    assert shown[0][1] == pytest.approx(1.0, rel=0.01)
