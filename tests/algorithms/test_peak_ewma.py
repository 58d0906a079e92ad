from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.peak_ewma import UNKNOWN, PeakEwma


def observed(*times: float, now: float = 100.0) -> PeakEwma:
    ewma = PeakEwma()
    for seconds in times:
        ewma.observe(seconds, now)
    return ewma


def test_a_peak_is_believed_at_once() -> None:
    """One slow answer is the cost from then on."""
    assert observed(0.1, 2.0).cost(100) == 2.0


def test_good_news_count_slowly() -> None:
    """A fast answer ten seconds later moves the cost by 1 - 1/e of the way."""
    ewma = observed(2.0)
    ewma.observe(0.1, 110)
    assert ewma.cost(110) == pytest.approx(2.0 / math.e + 0.1 * (1 - 1 / math.e))


def test_what_is_not_asked_becomes_cheaper() -> None:
    """After ten seconds without an answer the cost is 1/e of what it was, so that it is tried again."""
    assert observed(2.0).cost(110) == pytest.approx(2.0 / math.e)


def test_the_load_grows_with_what_is_in_flight() -> None:
    """The cost counts once for each request in flight, and for the one in question."""
    assert observed(0.5).load(3, 100) == 2.0


def test_one_that_is_unknown_gets_one_request_and_then_waits_for_its_answer() -> None:
    """Without an answer yet it is free, and dearer than all others while the first request is out."""
    ewma = observed()
    assert ewma.load(0, 100) == 0
    assert ewma.load(1, 100) == UNKNOWN + 1 > observed(300.0).load(100, 100)


def test_a_failure_keeps_away_for_a_while() -> None:
    """A fast failure that enters as five seconds costs more than an answer of 100 ms for about 40 seconds."""
    failing, good = observed(0.001, 5.0), observed(0.1)
    assert failing.load(0, 135) > good.load(0, 100) > failing.load(0, 145)


steps = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 60)), max_size=30)


@given(steps)
def test_the_cost_lies_between_nothing_and_the_worst(steps: list[tuple[float, float]]) -> None:
    """Whatever comes, it is at most the longest time and at least nothing, also when a clock goes back."""
    ewma, now = PeakEwma(), 0.0
    for seconds, pause in steps:
        now += pause
        ewma.observe(seconds, now)
        ewma.observe(seconds, now - 1)
        assert 0 <= ewma.cost(now) <= max(worst for worst, _ in steps) * (1 + 1e-9)
