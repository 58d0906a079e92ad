from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway.algorithms.maglev import SIZE, maglev
from tests.support import computes_within


def names(number: int) -> list[bytes]:
    return [b"10.0.%d.%d:8080" % divmod(index, 256) for index in range(number)]


@pytest.mark.parametrize("number", [1, 3, 100, 650])
def test_every_endpoint_gets_the_same_share(number: int) -> None:
    """With a table a hundred times as large as the number of endpoints, shares differ by one place at most."""
    counts = Counter(maglev(names(number), [1] * number))
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len(counts) == number
    assert counts.total() == SIZE


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_shares_follow_weights(weights: list[int]) -> None:
    """Each gets its weight's share of the table, within one per cent of the table."""
    counts = Counter(maglev(names(len(weights)), weights, 2039))
    for index, weight in enumerate(weights):
        assert counts[index] / 2039 == pytest.approx(weight / sum(weights), abs=0.01)


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 70_000), min_size=1, max_size=8))
def test_turns_are_taken_as_published(weights: list[int]) -> None:
    """In each round one after the other takes a place, but who has more than a share of the rounds so far sits out."""
    places: dict[int, int] = {}
    table = maglev(names(len(weights)), weights, 53)
    for index in range(len(weights)):
        places[index] = sum(owner == index for owner in table)
    taken, turn, left = [0] * len(weights), 0, 53
    while left:
        turn += 1
        for index, weight in enumerate(weights):
            if left and turn * weight >= taken[index] * max(weights):
                taken[index] += 1
                left -= 1
    assert list(places.values()) == taken


def test_one_that_outweighs_thousands() -> None:
    """The table is made about as fast as for equal weights, and the one has nearly all of it."""
    made = names(5000)
    table = maglev(made, [65_535] + [1] * 4999)
    assert computes_within(3, lambda: maglev(made, [65_535] + [1] * 4999))
    assert table.count(0) / SIZE == pytest.approx(65_535 / 70_534, abs=0.01)


@pytest.mark.parametrize(("number", "moved"), [(3, 0.005), (100, 0.01), (1000, 0.01)])
def test_few_keys_move_when_one_leaves(number: int, moved: float) -> None:
    """Of the keys of the others at most one per cent change hands."""
    before = maglev(names(number), [1] * number)
    after = maglev(names(number)[:-1], [1] * (number - 1))
    others = [(first, second) for first, second in zip(before, after, strict=True) if first != number - 1]
    assert sum(first != second for first, second in others) / len(others) < moved


def test_the_order_of_the_names_does_not_matter() -> None:
    """Two gateways that learnt of the same endpoints in another order agree on each key."""
    forward = [names(20)[index] for index in maglev(names(20), list(range(1, 21)), 2039)]
    backward = names(20)[::-1]
    assert forward == [backward[index] for index in maglev(backward, list(range(20, 0, -1)), 2039)]


def test_the_table_is_the_same_everywhere() -> None:
    """The table does not depend on the process or the machine."""
    assert list(maglev([b"a:1", b"b:1", b"c:1"], [1, 1, 1], 13)) == TABLE


TABLE = [1, 2, 1, 0, 2, 1, 2, 0, 0, 0, 1, 2, 0]
