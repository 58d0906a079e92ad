from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.percentiles import ERROR, RecentQuantile, Sketch

durations = st.lists(st.floats(2e-6, 1e6), min_size=1, max_size=200)
quantiles = st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0])


def sketch(values: list[float]) -> Sketch:
    counted = Sketch()
    for value in values:
        counted.add(value)
    return counted


@given(durations, quantiles)
def test_every_percentile_is_within_its_error(values: list[float], q: float) -> None:
    """A percentile differs from the value of its rank by 1.1% at most."""
    exact = sorted(values)[math.floor(q * (len(values) - 1))]
    assert sketch(values).quantile(q) == pytest.approx(exact, rel=ERROR + 1e-9)
    assert ERROR < 0.011


@given(durations, durations)
def test_sketches_of_several_processes_add_up(first: list[float], second: list[float]) -> None:
    """Merged, they are the sketch of all values together."""
    merged, together = sketch(first), sketch(first + second)
    merged.merge(sketch(second))
    assert (merged.buckets, merged.zeros, merged.count) == (together.buckets, together.zeros, together.count)


@given(st.lists(st.floats(0, 1e300, allow_subnormal=True), max_size=50))
def test_its_size_is_bounded(values: list[float]) -> None:
    """Whatever comes, there are at most 2,048 buckets, and every value is counted."""
    counted = sketch(values)
    assert all(-640 <= index <= 1408 for index in counted.buckets)
    assert sum(counted.buckets.values()) + counted.zeros == counted.count == len(values)


def test_nothing_and_zero() -> None:
    """Without values, and with such that are too short to measure, a percentile is 0."""
    assert Sketch().quantile(0.95) == 0
    assert sketch([0.0, 0.0, 1.0]).quantile(0.5) == 0


def test_what_is_recent_is_known_and_the_rest_forgotten() -> None:
    """The 95th percentile follows what came in the last 30 to 60 seconds, and is unknown after a pause."""
    recent = RecentQuantile(0.95, 30, minimum=20)
    for number in range(19):
        recent.add(0.1, number)
    assert recent.value(19) is None
    recent.add(0.1, 20)
    assert recent.value(20) == pytest.approx(0.1, rel=0.011)
    for number in range(100):
        recent.add(2.0, 40 + number)
    assert recent.value(140) == pytest.approx(2.0, rel=0.011)
    for number in range(61):
        recent.add(0.1, 140 + number)
    assert recent.value(201) == pytest.approx(0.1, rel=0.011)
    assert recent.value(300) is None
