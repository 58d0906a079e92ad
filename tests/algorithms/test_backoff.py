from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.backoff import doubled, full_jitter


@pytest.mark.parametrize(("retry", "below"), [(1, 0.025), (2, 0.075), (3, 0.175), (4, 0.25), (5, 0.25), (5000, 0.25)])
def test_the_limit_doubles_up_to_the_longest(retry: int, below: float) -> None:
    """The first pause is below 25 ms, the second below 75 ms, and none above 250 ms."""
    assert full_jitter(retry, 1.0) == pytest.approx(below)
    assert full_jitter(retry, 0.0) == 0


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_pauses_are_spread_from_zero_to_the_limit(retry: int, draw: float) -> None:
    """A pause is the drawn share of its limit."""
    assert full_jitter(retry, draw) == pytest.approx(draw * full_jitter(retry, 1.0))


def test_a_pause_doubles_up_to_a_cap() -> None:
    """Each is twice as long as the one before, however often."""
    assert [doubled(10, times, 60) for times in (1, 2, 3, 4, 10_000)] == [10, 20, 40, 60, 60]
