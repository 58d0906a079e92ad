from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.windowed_sum import WindowedSum

steps = st.lists(st.tuples(st.integers(0, 5) | st.integers(0, 100), st.integers(-5, 5)), max_size=60)


def within(added: list[tuple[int, int]], now: int, seconds: int) -> int:
    return sum(amount for second, amount in added if second > now - seconds)


@given(steps, st.integers(1, 30))
def test_what_is_older_than_the_window_is_forgotten(steps: list[tuple[int, int]], seconds: int) -> None:
    """The total is the sum of what was added in the running second and in those of the window before it."""
    windowed, now, added = WindowedSum(seconds), 1000, list[tuple[int, int]]()
    for pause, amount in steps:
        now += pause
        windowed.add(amount, now + 0.5)
        added.append((now, amount))
        assert windowed.total(now + 0.9) == within(added, now, seconds)


@given(steps, st.integers(1, 30), st.integers(1, 30), st.integers(0, 40))
def test_another_length_keeps_what_is_known(steps: list[tuple[int, int]], first: int, second: int, later: int) -> None:
    """A window that becomes longer or shorter holds what both lengths know of."""
    windowed, now, added = WindowedSum(first), 1000, list[tuple[int, int]]()
    for pause, amount in steps:
        now += pause
        windowed.add(amount, now)
        added.append((now, amount))
    windowed.resize(second)
    known = [(time, amount) for time, amount in added if time > now - min(first, second)]
    assert windowed.total(now + later) == within(known, now + later, second)


def test_a_clock_that_goes_back_loses_nothing() -> None:
    """What is added at an earlier time than the latest counts as of the latest."""
    windowed = WindowedSum(10)
    windowed.add(1, 100)
    windowed.add(1, 95)
    assert windowed.total(109.9) == 2
    assert windowed.total(110) == 0


def test_a_correction_leaves_the_window_with_what_it_corrects() -> None:
    """What is taken back of an earlier second is forgotten with that second, and not later."""
    windowed = WindowedSum(10)
    windowed.add(5, 100)
    windowed.correct(-2, 100, 108)
    assert windowed.total(109) == 3
    assert windowed.total(110) == 0
    windowed.correct(-2, 100, 110)
    assert windowed.total(110) == 0
