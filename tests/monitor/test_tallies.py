from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.percentiles import HIGHEST, LOWEST, Sketch
from gateway.monitor.tallies import NOTHING, QUANTILES, Tally, check, durations_of, pack, quantiles, requests_of

buckets = st.dictionaries(st.integers(NOTHING, HIGHEST), st.integers(1, 2**40), max_size=40)
tallies = st.builds(
    lambda more, errors, found: Tally(errors + more, errors, found),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
    buckets,
)


@given(tallies)
def test_what_is_packed_is_unpacked(tally: Tally) -> None:
    """A packed tally has the same requests, errors and durations, and passes the check of what comes from elsewhere."""
    packed, again = tally.pack(), Tally()
    check(packed)
    again.add(packed)
    assert (again.requests, again.errors, again.buckets) == (tally.requests, tally.errors, tally.buckets)
    assert requests_of(packed) == (tally.requests, tally.errors)


@given(tallies, tallies)
def test_packed_tallies_add_up(one: Tally, other: Tally) -> None:
    """Two packed tallies are, added, what both have counted, in whichever order."""
    forth, back = Tally(), Tally()
    for packed in (one.pack(), other.pack()):
        forth.add(packed)
    for packed in (other.pack(), one.pack()):
        back.add(packed)
    assert forth.requests == one.requests + other.requests
    assert forth.buckets == back.buckets
    assert sum(forth.buckets.values()) == sum(one.buckets.values()) + sum(other.buckets.values())


@given(st.binary(max_size=60))
def test_what_is_no_tally_is_refused_or_harmless(data: bytes) -> None:
    """Bytes from elsewhere are either refused by the check, or can be added up."""
    try:
        check(data)
    except ValueError:
        return
    Tally().add(data)


def recorded() -> list[float]:
    """Latencies as they come from a service with a cache, a data base, and now and then a time-out."""
    draw = random.Random(88210)
    hits = [draw.lognormvariate(math.log(0.002), 0.4) for _ in range(60_000)]
    reads = [draw.lognormvariate(math.log(0.035), 0.7) for _ in range(38_000)]
    timeouts = [1.0 + draw.random() * 29.0 for _ in range(2_000)]
    return hits + reads + timeouts


def test_percentiles_are_within_the_error_of_exact_ones() -> None:
    """p50 to p99.9 differ by at most 1.1% from those of the sorted list, also when they come from many slices."""
    values, together = recorded(), Tally()
    for begin in range(0, len(values), 997):
        sketch = Sketch()
        for value in values[begin : begin + 997]:
            sketch.add(value)
        together.add(pack(sketch.count, 0, durations_of(sketch)))
    figures, exact = together.figures(60.0), sorted(values)
    found = (figures.p50, figures.p90, figures.p95, figures.p99, figures.p999)
    for q, seconds in zip(QUANTILES, found, strict=True):
        assert seconds == pytest.approx(exact[math.floor(q * (len(exact) - 1))], rel=0.011)


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=100))
def test_percentiles_are_those_of_the_sketch(values: list[float]) -> None:
    """All percentiles of one pass are those that the sketch answers one by one."""
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    tally = Tally(0, 0, durations_of(sketch))
    assert quantiles(tally.buckets, QUANTILES) == [sketch.quantile(q) for q in QUANTILES]


def test_figures_of_nothing() -> None:
    """Without requests there is no throughput, no error rate, and no percentile that would look like a fast answer."""
    figures = Tally().figures(10.0)
    assert (figures.requests, figures.throughput, figures.error_rate, figures.p99) == (0, 0.0, 0.0, None)
    assert Tally(3, 1).figures(0.0).throughput == 0.0
    assert LOWEST > NOTHING
