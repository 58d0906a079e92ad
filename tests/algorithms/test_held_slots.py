from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.held_slots import HeldSlots


def test_a_failure_counts_as_a_request_for_a_while() -> None:
    """One at first, 1/e after its time, and nothing after about five times as long."""
    slots = HeldSlots()
    assert slots.held(100) == 0
    slots.hold(5, 100)
    assert slots.held(100) == 1
    assert slots.held(105) == pytest.approx(1 / math.e)
    assert slots.held(124) == 0


def test_what_asks_for_longer_is_kept_longer() -> None:
    """A Retry-After of a minute is still felt after half a minute."""
    slots = HeldSlots()
    slots.hold(60, 100)
    assert slots.held(130) == pytest.approx(math.exp(-0.5))


@pytest.mark.parametrize("rate", [1, 10, 100])
def test_an_endpoint_that_fails_steadily_holds_what_it_failed(rate: int) -> None:
    """At so many failures a second of five seconds each it looks like five times as many requests in flight."""
    slots = HeldSlots()
    for number in range(60 * rate):
        slots.hold(5, number / rate)
    assert slots.held(60) == pytest.approx(5 * rate, rel=0.15)


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 300)), max_size=50))
def test_it_never_counts_more_than_was_failed(failures: list[tuple[float, float]]) -> None:
    """It is between nothing and the number of failures, and ends."""
    slots, now = HeldSlots(), 0.0
    for pause, seconds in failures:
        now += pause
        slots.hold(seconds, now)
        assert 0 < slots.held(now) <= len(failures) + 1e-9
    assert slots.held(now + 5000) == 0
