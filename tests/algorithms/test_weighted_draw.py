from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.weighted_draw import WeightedDraw

draws = st.floats(0, 1, exclude_max=True)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_evenly_spread_draws_meet_the_shares(weights: list[int]) -> None:
    """Of draws that are spread evenly over [0, 1), each number gets exactly its weight."""
    draw, total = WeightedDraw(weights), sum(weights)
    drawn = Counter(draw.draw((point + 0.5) / (total * 4)) for point in range(total * 4))
    assert drawn == {index: weight * 4 for index, weight in enumerate(weights)}


@given(st.lists(st.integers(1, 20), min_size=2, max_size=8), st.data())
def test_the_second_is_drawn_from_the_rest(weights: list[int], data: st.DataObject) -> None:
    """The other one is never the first, and each of the rest gets exactly its weight."""
    first = data.draw(st.integers(0, len(weights) - 1))
    draw, rest = WeightedDraw(weights), sum(weights) - weights[first]
    drawn = Counter(draw.draw_other(first, (point + 0.5) / (rest * 4)) for point in range(rest * 4))
    assert drawn == {index: weight * 4 for index, weight in enumerate(weights) if index != first}


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=20), draws, draws)
def test_whatever_the_weights_two_are_drawn(weights: list[float], one: float, two: float) -> None:
    """With weights of any size, rounding leads neither out of range nor to the same one twice."""
    draw = WeightedDraw(weights)
    first = draw.draw(one)
    second = draw.draw_other(first, two)
    assert {first, second} <= set(range(len(weights)))
    assert first != second


def test_random_draws() -> None:
    """Of 100,000 random draws each number gets its share within one per cent of all."""
    chance, draw = random.Random(5), WeightedDraw([1, 2, 7, 90])
    drawn = Counter(draw.draw(chance.random()) for _ in range(100_000))
    for index, share in enumerate([0.01, 0.02, 0.07, 0.9]):
        assert drawn[index] / 100_000 == pytest.approx(share, abs=0.01)
