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
    assert list(merged.filled()) == list(together.filled())
    assert (merged.zeros, merged.count) == (together.zeros, together.count)


@given(st.lists(st.floats(0, 1e300, allow_subnormal=True), max_size=50))
def test_its_size_is_bounded(values: list[float]) -> None:
    """Whatever comes, there are at most 2,048 buckets, and every value is counted."""
    counted = sketch(values)
    assert len(counted.counts) <= 2048
    assert sum(counted.counts) + counted.zeros == counted.count == len(values)


@given(durations, durations)
def test_what_came_since(first: list[float], second: list[float]) -> None:
    """From a sketch and its copy of before, it is known what came between."""
    counted = sketch(first)
    before = counted.copy()
    for value in second:
        counted.add(value)
    since, exact = counted.minus(before), sketch(second)
    assert (since.count, since.zeros, list(since.filled())) == (exact.count, exact.zeros, list(exact.filled()))
    assert since.total == pytest.approx(exact.total, abs=1e-6 * (before.total + exact.total))
    assert before.count == len(first)


@given(durations, st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30, unique=True).map(sorted).map(tuple))
def test_bounds_are_met_within_the_error(values: list[float], bounds: tuple[float, ...]) -> None:
    """How many were at most so long is right, but for those within 1.1% of the bound."""
    *at_most, count = sketch(values).cumulative(bounds)
    assert count == len(values)
    for bound, found in zip(bounds, at_most, strict=True):
        surely = sum(value <= bound / (1 + 1.01 * ERROR) for value in values)
        perhaps = sum(value <= bound * (1 + 1.01 * ERROR) for value in values)
        assert surely <= found <= perhaps


@given(st.lists(st.floats(0, 1e300), max_size=50))
def test_it_is_the_same_when_it_was_written(values: list[float]) -> None:
    """A sketch survives a restart, and the way to another process."""
    counted = sketch(values)
    read = Sketch.from_bytes(counted.to_bytes())
    assert (read.total, read.zeros, read.count) == (counted.total, counted.zeros, counted.count)
    assert list(read.filled()) == list(counted.filled())


@given(st.binary(max_size=60))
def test_what_is_no_sketch_is_refused(data: bytes) -> None:
    """Bytes of another kind are an error, or a sketch of a bounded size."""
    try:
        read = Sketch.from_bytes(data)
    except ValueError:
        return
    assert len(read.counts) <= 2048
    assert read.count == read.zeros + sum(read.counts)


@pytest.mark.parametrize("end", [b"\x80", b"\x01", b"\x01" + b"\x80" * 20, b"\x01\x00", b"\xff\xff\x7f\x01"])
def test_a_sketch_that_is_cut_short_is_refused(end: bytes) -> None:
    """Half a number, an index without a count, and what is out of range are errors."""
    with pytest.raises(ValueError, match=r"a sketch"):
        Sketch.from_bytes(sketch([1.0, 2.0]).to_bytes() + end)


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


def test_merging_within_what_there_is_takes_no_memory() -> None:
    """All is counted, what is outside of the buckets in those at the ends."""
    sketch, other = Sketch(), Sketch()
    for seconds in (0.1, 0.2):
        sketch.add(seconds)
    buckets = len(sketch.counts)
    for seconds in (0.0, 0.001, 0.15, 50.0):
        other.add(seconds)
    sketch.merge_within(other)
    assert (sketch.count, sketch.zeros, len(sketch.counts)) == (6, 1, buckets)
    assert sketch.quantile(1.0) == pytest.approx(0.2, rel=0.02)
    assert sketch.total == pytest.approx(50.451)
