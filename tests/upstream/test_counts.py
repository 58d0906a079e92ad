"""What endpoints and services count, also of what is gone."""

from __future__ import annotations

import time

from gateway.errors import ErrorKind
from gateway.upstream.endpoint import Endpoint
from tests.upstream.test_service import A, B, upstream_of


def ask(endpoint: Endpoint, seconds: float = 0.1, failure: ErrorKind | None = None) -> None:
    attempt = endpoint.begin(time.perf_counter())
    if failure is None:
        attempt.status, attempt.seconds = 200, seconds
    attempt.failure, attempt.took = failure, seconds
    attempt.end()


async def test_durations_of_an_endpoint_and_of_its_service() -> None:
    """Answers and failures count with their time; what a client gave up says nothing of an endpoint."""
    upstream = upstream_of(A, B)
    first, second = upstream.endpoints
    ask(first, 0.1)
    ask(first, 5.0, ErrorKind.UPSTREAM_TIMEOUT)
    ask(first, 9.0, ErrorKind.CLIENT_GONE)
    ask(second, 0.2)
    assert (first.durations.count, first.durations.total, first.failures) == (2, 5.1, 1)
    assert second.durations.count == 1
    assert (upstream.durations.count, round(upstream.durations.total, 6)) == (3, 5.3)


async def test_what_has_left_stays_counted() -> None:
    """The numbers of a service never fall: not when endpoints leave it, and not when they come back."""
    upstream = upstream_of(A, B)
    first, second = upstream.endpoints
    ask(first)
    ask(second)
    waiting = second.begin(time.perf_counter())
    upstream.replace(upstream.members[:1])
    assert (upstream.had().requests, upstream.had().in_flight) == (3, 1)
    waiting.status, waiting.seconds = 500, 0.1
    waiting.end()
    assert (upstream.had().requests, upstream.had().failures) == (3, 1)
    upstream.replace(())
    assert (upstream.had().requests, upstream.had().failures, upstream.durations.count) == (3, 1, 3)
    ask_again = upstream_of(A)
    ask(ask_again.endpoints[0])
    ask_again.replace(())
    ask_again.replace([first.member])
    ask(ask_again.endpoints[0])
    assert ask_again.had().requests == 2
