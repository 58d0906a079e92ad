from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.slow_start import factor


@pytest.mark.parametrize(
    ("seconds", "share"), [(0, 0.1), (1, 0.1), (3, 0.1), (6, 0.2), (15, 0.5), (29.9, 29.9 / 30), (30, 1), (3000, 1)]
)
def test_the_share_grows_linearly_from_a_tenth(seconds: float, share: float) -> None:
    """Within 30 seconds, a new endpoint's share grows from 10% to all of it."""
    assert factor(seconds, 30) == pytest.approx(share)


@pytest.mark.parametrize(("aggression", "share"), [(0.5, 0.0625), (1, 0.25), (2, 0.5)])
def test_aggression(aggression: float, share: float) -> None:
    """After a quarter of the time the share is that quarter to the power of 1 / aggression."""
    assert factor(7.5, 30, 0.0, aggression) == pytest.approx(share)


@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(0.001, 1000))
def test_it_never_shrinks(first: float, second: float, window: float) -> None:
    """An older endpoint has at least the share of a younger one, between 10% and all."""
    younger, older = sorted((first, second))
    assert 0.1 <= factor(younger, window) <= factor(older, window) <= 1
