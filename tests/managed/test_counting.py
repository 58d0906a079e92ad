"""What came of requests, in the last minute and since the running configuration was swapped in."""

from __future__ import annotations

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Outcome
from gateway.http.testing import make_exchange
from gateway.managed.counting import LONGEST, Counting


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _request(
    counting: Counting, clock: Clock, seconds: float = 0.01, status: int = 200, upstream: str | None = "a:1"
) -> None:
    """One that ends now."""
    exchange, outcome = make_exchange(), Outcome(0.0, clock.now - seconds, status)
    exchange.upstream, outcome.seconds = upstream, seconds
    counting.report(exchange, outcome)


def test_rates_and_percentiles_are_of_the_last_minute() -> None:
    """What is older than that does not count any more."""
    clock = Clock()
    counting = Counting(clock)
    for second in range(180):
        clock.now += 1
        _request(counting, clock, 0.2 if second < 60 else 0.01, 502 if second < 60 else 200)
    minute = counting.last_minute()
    assert 55 <= minute.requests <= 65
    assert minute.errors == 0
    assert minute.p95_ms is not None
    assert minute.p95_ms < 11
    assert (counting.requests, counting.errors) == (180, 60)


def test_what_began_under_the_former_configuration_is_not_the_new_ones_fault() -> None:
    """A canary is judged by its own requests alone."""
    clock = Clock()
    counting = Counting(clock)
    for _ in range(10):
        clock.now += 0.1
        _request(counting, clock, 0.5, 502)
    counting.swapped()
    clock.now += 0.1
    _request(counting, clock, 2.0, 502)
    clock.now += 1
    for _ in range(3):
        _request(counting, clock, 0.01)
    since = counting.since_swapped()
    assert (since.requests, since.errors) == (3, 0)
    assert since.p95_ms is not None
    assert since.p95_ms < 11
    assert counting.errors == 11


def test_refusals_and_clients_that_leave_are_no_errors() -> None:
    """Neither is what the configuration answers itself."""
    clock = Clock()
    counting = Counting(clock)
    exchange, outcome = make_exchange(), Outcome(0.0, clock.now, 429)
    exchange.error = GatewayError(ErrorKind.QUOTA_EXCEEDED, "too many")
    counting.report(exchange, outcome)
    _request(counting, clock, status=503, upstream=None)
    assert (counting.requests, counting.errors) == (2, 0)


def test_what_is_kept_is_bounded() -> None:
    """Whatever the clock does."""
    clock = Clock()
    counting = Counting(clock)
    for _ in range(2000):
        clock.now += 11
        _request(counting, clock)
    assert len(counting._buckets) < LONGEST / 10 + 5
    assert counting.since_swapped().requests == 2000
