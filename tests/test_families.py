"""Values of several processes."""

from __future__ import annotations

import pytest

from gateway.algorithms.percentiles import Sketch
from gateway.algorithms.sizes import Sizes
from gateway.families import Exemplar, Family, Merge, Sample, counter, gauge, merged


@pytest.mark.parametrize(("merge", "value"), [("sum", 5.0), ("max", 3.0), ("min", 2.0), ("last", 2.0)])
def test_numbers_become_one(merge: Merge, value: float) -> None:
    """What is counted adds up; of other numbers the family says which one is right."""
    made = [gauge("lag", "", {("a",): each}, ("of",), merge) for each in (3.0, 2.0)]
    (family,) = merged([[made[0]], [made[1]]])
    assert list(family.samples) == [Sample(("a",), value)]


def test_each_label_is_by_itself() -> None:
    """What only one process has counted is there as it is."""
    first, second = counter("n_total", "", {("a",): 1}, ("of",)), counter("n_total", "", {("b",): 2}, ("of",))
    (family,) = merged([[first], [second]])
    assert {sample.labels: sample.value for sample in family.samples if sample} == {("a",): 1, ("b",): 2}


def test_distributions_become_one() -> None:
    """Durations and sizes add up, what each process has stays as it is, and the newest exemplars are kept."""
    durations, sizes = [Sketch(), Sketch()], [Sizes(), Sizes()]
    processes = []
    for number in (0, 1):
        durations[number].add(1.0 + number)
        sizes[number].add(100)
        exemplars = (Exemplar(f"{number}", "", 1.0, float(number)),)
        processes.append(
            [
                Family("t_seconds", "histogram", "", samples=[Sample((), durations[number], exemplars)]),
                Family("b_bytes", "histogram", "", samples=[Sample((), sizes[number])]),
            ]
        )
    times, bytes_ = (next(filter(None, family.samples)) for family in merged(processes))
    assert isinstance(times.value, Sketch)
    assert isinstance(bytes_.value, Sizes)
    assert (times.value.count, times.value.total, times.exemplars[0].trace_id) == (2, 3.0, "1")
    assert (bytes_.value.count, bytes_.value.total) == (2, 200)
    assert (durations[0].count, sizes[0].count) == (1, 1)


def test_a_unit_is_in_the_name() -> None:
    """OpenMetrics and OpenTelemetry want to know it."""
    assert Family("a_seconds_total", "counter", "").unit == "seconds"
    assert Family("a_bytes", "gauge", "").unit == "bytes"
    assert Family("a_total", "counter", "").unit == ""
