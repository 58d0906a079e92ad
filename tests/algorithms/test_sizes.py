"""Histograms of sizes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.sizes import HIGHEST, Sizes

sizes = st.lists(st.integers(0, 2**45), max_size=100)
BOUNDS = tuple(2.0**power for power in range(0, 40, 3))


def counted(values: list[int]) -> Sizes:
    made = Sizes()
    for value in values:
        made.add(value)
    return made


@given(sizes)
def test_bounds_are_exact(values: list[int]) -> None:
    """For each power of two it is known how many were at most so large."""
    exact = [sum(value <= bound for value in values) for bound in BOUNDS]
    assert counted(values).cumulative(BOUNDS) == [*exact, len(values)]
    assert counted(values).total == sum(values)
    assert len(counted(values).counts) <= HIGHEST + 1


@given(sizes, sizes)
def test_those_of_several_processes_add_up(first: list[int], second: list[int]) -> None:
    """Merged, they are the sizes of all together; a copy stays as it was."""
    made, together = counted(first), counted(first + second)
    former = made.copy()
    made.merge(counted(second))
    assert (made.zeros, made.count, made.total) == (together.zeros, together.count, together.total)
    assert list(made.filled()) == list(together.filled())
    assert former.count == len(first)
