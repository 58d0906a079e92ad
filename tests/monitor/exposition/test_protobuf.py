"""The page as protocol buffers, read by Google's library."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.percentiles import SMALLEST, Sketch
from gateway.families import Buckets, Family, Sample
from tests.monitor.exposition.messages import labels, native, read
from tests.monitor.exposition.samples import HARD, TRACE, durations, exposition, families, sizes


def test_every_kind() -> None:
    """Names, kinds, units, labels and values are what they are in text."""
    found = read(exposition().now("protobuf"))
    assert {each.name for each in families()} <= set(found)
    requests = found["a_requests_total"]
    assert (requests.type, requests.help) == (0, 'Help with "quotes",\nlines and \\.')
    written = [value.replace("\udcff", "\\udcff") for value in HARD]
    assert [labels(metric).get("of", "") for metric in requests.metric] == written
    assert {metric.counter.value for metric in requests.metric} == {3}
    assert math.isnan(found["b_seconds"].metric[0].gauge.value)
    assert found["c_bytes"].unit == "bytes"
    assert found["d_build_info"].metric[0].gauge.value == 1


def test_classic_buckets_are_there_too() -> None:
    """A scrape without native histograms gets the bounds, with their exemplars."""
    found = read(exposition().now("protobuf"))
    histogram = found["e_duration_seconds"].metric[0].histogram
    assert [bucket.upper_bound for bucket in histogram.bucket][-2:] == [300.0, math.inf]
    assert histogram.bucket[-1].cumulative_count == histogram.sample_count == 1001
    (exemplar,) = [bucket.exemplar for bucket in histogram.bucket if bucket.upper_bound == 0.5]
    assert {pair.name: pair.value for pair in exemplar.label}["trace_id"] == TRACE
    assert exemplar.timestamp.seconds == 1700000000
    assert len(histogram.exemplars) == 2


@given(st.lists(st.floats(0, 1e6), max_size=200))
def test_native_histograms_are_the_sketch(values: list[float]) -> None:
    """Each value is in the bucket whose borders are powers of 2 ** (1 / 32) around it, as schema 5 has it."""
    family = Family("t_seconds", "histogram", "", samples=[Sample((), durations(*values))])
    histogram = read(exposition(family).now("protobuf"))["t_seconds"].metric[0].histogram
    assert (histogram.schema, histogram.zero_threshold, histogram.sample_count) == (5, SMALLEST, len(values))
    found = native(histogram)
    assert histogram.zero_count == sum(value <= SMALLEST for value in values)
    assert sum(found.values()) + histogram.zero_count == len(values)
    for value in values:
        if value > SMALLEST:
            index = math.ceil(math.log2(value) * 32)
            assert found[index] > 0


def test_native_histograms_of_sizes() -> None:
    """Of schema 0: powers of two."""
    family = Family("b_bytes", "histogram", "", samples=[Sample((), sizes(0, 1, 2, 3, 4, 1000))])
    histogram = read(exposition(family).now("protobuf"))["b_bytes"].metric[0].histogram
    assert (histogram.schema, histogram.zero_count) == (0, 1)
    assert native(histogram) == {0: 1, 1: 1, 2: 2, 10: 1}


def test_one_without_values_is_a_native_one_too() -> None:
    """Prometheus takes a histogram for a native one by its zero threshold, also before the first request."""
    family = Family("t_seconds", "histogram", "", samples=[Sample((), Sketch())])
    histogram = read(exposition(family).now("protobuf"))["t_seconds"].metric[0].histogram
    assert histogram.zero_threshold > 0
    assert histogram.sample_count == 0


def test_those_of_others_have_their_own_bounds() -> None:
    """A histogram of a custom policy is as it was counted, and none is made up."""
    value = Buckets(3, 1.5, [(0.5, 1), (math.inf, 3)])
    family = Family("t_seconds", "histogram", "", samples=[Sample((), value)])
    histogram = read(exposition(family).now("protobuf"))["t_seconds"].metric[0].histogram
    assert [(bucket.upper_bound, bucket.cumulative_count) for bucket in histogram.bucket] == value.points
    assert (histogram.sample_count, histogram.sample_sum, histogram.zero_threshold) == (3, 1.5, 0)
