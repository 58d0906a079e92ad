from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.bounded_load import choose, slots


@pytest.mark.parametrize(
    ("active", "weight", "total", "expected"),
    [(0, 1, 1, 2), (0, 1, 4, 1), (99, 1, 4, 32), (99, 3, 4, 94), (7, 1, 10, 1), (39, 1, 10, 5)],
)
def test_the_published_slots(active: int, weight: int, total: int, expected: int) -> None:
    """1.25 times all requests with the one in question, rounded up, shared out by weight, at least one each."""
    assert slots(active, weight, total) == expected


requests = st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=200)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), requests)
def test_no_endpoint_has_more_than_its_share_by_the_factor(
    weights: list[int], requests: list[tuple[int, bool]]
) -> None:
    """However uneven the keys, when it gets a request an endpoint has at most ceil(1.25 x its share of all), or two."""
    active, total = [0] * len(weights), sum(weights)
    for key, ends in requests:
        if ends and any(active):
            active[max(range(len(active)), key=active.__getitem__)] -= 1
            continue
        chosen = choose(key % len(weights), key, active, weights)
        active[chosen] += 1
        assert active[chosen] <= max(2, math.ceil(math.ceil(1.25 * sum(active)) * weights[chosen] / total))


def test_two_requests_of_one_client_stay_together() -> None:
    """Where nothing else is going on a second request of the same key is not sent away, and a third is."""
    assert choose(3, 7, [0, 0, 0, 1, 0, 0], [1] * 6) == 3
    assert choose(3, 7, [0, 0, 0, 2, 0, 0], [1] * 6) != 3


def test_one_hot_key_spills_in_an_order_of_its_own() -> None:
    """What does not fit goes to others, in an order that is the same for the same key only."""

    def spill(key: int) -> list[int]:
        active, order = [0] * 8, list[int]()
        for _ in range(40):
            chosen = choose(0, key, active, [1] * 8)
            active[chosen] += 1
            order += [chosen] if chosen not in order else []
        return order

    assert spill(12345) == spill(12345)
    assert len({tuple(spill(key)) for key in (12345, 54321, 99, 7)}) > 1
    assert spill(12345)[0] == 0


def test_the_neighbours_of_a_hot_endpoint_share_what_spills() -> None:
    """Many keys of one hot endpoint spill over all others, none of which gets more than half of it."""
    chance = random.Random(3)
    active = [50, 0, 0, 0, 0, 0, 0, 0]
    spilt = [choose(0, chance.getrandbits(64), active, [1] * 8) for _ in range(1000)]
    assert 0 not in spilt
    assert max(spilt.count(index) for index in range(1, 8)) < 250


def test_one_alone_takes_all() -> None:
    """With a single endpoint there is no share to keep."""
    assert choose(0, 1, [1000], [1]) == 0
