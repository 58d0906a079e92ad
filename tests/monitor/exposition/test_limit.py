"""How many series a family may have."""

from __future__ import annotations

from gateway.algorithms.percentiles import Sketch
from gateway.families import Family, Sample, counter, gauge
from gateway.monitor.exposition.limit import SeriesLimit
from tests.monitor.exposition.samples import durations


def shown(limit: SeriesLimit, family: Family) -> dict[str, object]:
    return {sample.labels[0]: sample.value for sample in limit.samples(family) if sample is not None}


def test_the_rest_is_one_more() -> None:
    """Those that came first have series, the others are added up, and how many there are of them is known."""
    limit = SeriesLimit(2)
    counts = {(str(number),): 10**number for number in range(4)}
    assert shown(limit, counter("n_total", "", counts, ("of",))) == {"0": 1, "1": 10, "_other": 1100}
    assert limit.together() == {("n_total",): 2}


def test_what_is_in_the_rest_stays_there() -> None:
    """When a series ends, its place is for new ones: the rest never falls as long as all in it live."""
    limit = SeriesLimit(2)
    shown(limit, counter("n_total", "", {("a",): 1, ("b",): 1, ("c",): 5}, ("of",)))
    later = counter("n_total", "", {("b",): 2, ("c",): 6, ("d",): 1}, ("of",))
    assert shown(limit, later) == {"b": 2, "d": 1, "_other": 6}
    assert shown(limit, counter("n_total", "", {("b",): 2}, ("of",))) == {"b": 2}
    assert limit.together() == {}


def test_the_rest_of_before_is_in_it() -> None:
    """What was counted as `_other` already is part of the same series, not another one."""
    limit = SeriesLimit(2)
    counts = {("_other",): 1, ("a",): 1, ("b",): 1, ("c",): 1}
    assert shown(limit, counter("n_total", "", counts, ("of",))) == {"a": 1, "b": 1, "_other": 2}


def test_histograms_and_gauges() -> None:
    """Durations are added up, gauges as their family says; histograms have a bound of their own."""
    limit = SeriesLimit(2, most_histograms=1)
    samples = [Sample((name,), durations(1.0, 2.0)) for name in "abc"]
    rest = shown(limit, Family("t_seconds", "histogram", "", ("of",), samples))["_other"]
    assert isinstance(rest, Sketch)
    assert (rest.count, rest.total) == (4, 6.0)
    assert samples[1].value.count == 2  # type: ignore[union-attr]
    values = {(name,): number for number, name in enumerate("abcd")}
    assert shown(limit, gauge("age", "", values, ("of",), "max"))["_other"] == 3


def test_a_family_without_labels() -> None:
    """It has one value, which is no rest of anything."""
    limit = SeriesLimit()
    assert [sample.value for sample in limit.samples(gauge("n", "", {(): 1})) if sample] == [1]
