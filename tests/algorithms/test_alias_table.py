from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.alias_table import AliasTable


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=50))
def test_the_shares_are_exact(weights: list[int]) -> None:
    """The parts of all columns that belong to a number add up to its share of the weight, to the last digit."""
    shares, total = Counter[int](), sum(weights)
    for index, alias, own in AliasTable(weights).parts():
        assert 0 <= own <= total or index == alias
        shares[index] += min(own, total)
        shares[alias] += total - min(own, total)
    assert [Fraction(shares[index], total * len(weights)) for index in range(len(weights))] == [
        Fraction(weight, total) for weight in weights
    ]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_evenly_spread_draws_meet_the_shares(weights: list[int]) -> None:
    """Of draws that are spread evenly over [0, 1), each number gets its weight."""
    table, total = AliasTable(weights), sum(weights)
    draws = total * len(weights) * 4
    drawn = Counter(table.draw((draw + 0.5) / draws) for draw in range(draws))
    assert drawn == {index: weight * draws // total for index, weight in enumerate(weights)}


def test_random_draws() -> None:
    """Of 100,000 random draws each number gets its share within one per cent of all."""
    chance = random.Random(5)
    table = AliasTable([1, 2, 7, 90])
    drawn = Counter(table.draw(chance.random()) for _ in range(100_000))
    for index, share in enumerate([0.01, 0.02, 0.07, 0.9]):
        assert abs(drawn[index] / 100_000 - share) < 0.01
