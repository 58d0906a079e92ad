from __future__ import annotations

import random

import pytest

from gateway.balancing.peak_ewma import LeastCost
from tests.balancing.support import NOW, Picks


def picks_of(*weights: float) -> Picks:
    return Picks(LeastCost(random.Random(1).random), weights)


def observe(picks: Picks, number: int, seconds: float) -> None:
    ewma = picks.endpoints[number].ewma
    assert ewma is not None
    ewma.observe(seconds, NOW)


async def test_the_faster_one_is_preferred() -> None:
    """Of two the one that answers in 10 ms gets all requests that come one by one, not the one of 100 ms."""
    picks = picks_of(1, 1)
    observe(picks, 0, 0.1)
    observe(picks, 1, 0.01)
    assert picks.shares(1000) == [0, 1]


async def test_a_slower_one_gets_requests_when_the_faster_one_is_busy() -> None:
    """The fast one has about ten times as many in flight as the one that takes ten times as long."""
    picks = picks_of(1, 1)
    observe(picks, 0, 0.1)
    observe(picks, 1, 0.01)
    for _ in range(220):
        number = picks()
        assert number is not None
        picks.endpoints[number].in_flight += 1
    assert [endpoint.in_flight for endpoint in picks.endpoints] == pytest.approx([20, 200], abs=2)


async def test_a_new_one_gets_one_request_until_it_has_answered() -> None:
    """What is not known yet is tried at once, and waited for."""
    picks = picks_of(1, 1)
    observe(picks, 0, 0.1)
    assert picks() == 1
    picks.endpoints[1].in_flight += 1
    assert picks.shares(1000) == [1, 0]


async def test_a_failure_keeps_requests_away() -> None:
    """One whose failure entered as five seconds is left alone for a while, and comes back."""
    picks = picks_of(1, 1)
    observe(picks, 0, 5.0)
    observe(picks, 1, 0.1)
    assert picks.shares(1000) == [0, 1]
    ewma = picks.endpoints[1].ewma
    assert ewma is not None
    ewma.observe(0.1, NOW + 60)
    assert picks.shares(1000, now=NOW + 60)[0] == 1


async def test_the_average_outlives_a_change_of_the_set() -> None:
    """What is known of an endpoint is kept while another one joins or leaves."""
    picks = picks_of(1, 1)
    observe(picks, 0, 0.1)
    observe(picks, 1, 0.01)
    picks.offer([1, 0])
    picks.offer([1, 1])
    assert picks.shares(100) == [0, 1]
