"""Histograms of durations."""

from __future__ import annotations

from gateway.algorithms.histogram import Histogram


def test_each_bound_counts_what_took_at_most_so_long() -> None:
    """As Prometheus has it: a duration that equals a bound is within it, and the last bucket has all."""
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 5.0):
        histogram.observe(seconds)
    assert histogram.cumulative() == [("0.1", 2.0), ("1.0", 3.0), ("+Inf", 4.0)]
    assert histogram.total == 5.65
