from __future__ import annotations

from collections import Counter

import pytest

from gateway.algorithms.hash_ring import HashRing
from gateway.algorithms.stable_hash import stable_hash

KEYS = [stable_hash(b"client %d" % number) for number in range(20_000)]


def names(number: int) -> list[bytes]:
    return [b"10.0.0.%d:8080" % index for index in range(number)]


@pytest.mark.parametrize(
    ("weights", "smallest", "largest", "points"),
    [
        ([1], 1024, 8_388_608, 1024),
        ([1, 1], 1024, 8_388_608, 1024),
        ([1, 1, 1], 1024, 8_388_608, 1026),  # 342 each
        ([1, 99], 1024, 8_388_608, 1100),  # 11 for the lightest
        ([1, 1, 1], 10, 12, 12),
        ([1, 1, 1], 10, 11, 11),
    ],
)
def test_the_published_size(weights: list[int], smallest: int, largest: int, points: int) -> None:
    """At least 1,024 points, so many that the lightest endpoint has a whole number, and at most 8,388,608."""
    assert len(HashRing(names(len(weights)), weights, smallest, largest)) == points


def test_shares_follow_weights() -> None:
    """With 10,000 points each endpoint serves its share of the keys, within a tenth."""
    weights = [1, 2, 3, 4]
    ring = HashRing(names(4), weights, 10_000)
    counts = Counter(ring.owner(key) for key in KEYS)
    for index, weight in enumerate(weights):
        assert counts[index] / len(KEYS) == pytest.approx(weight / 10, rel=0.1)


def test_only_the_keys_of_one_that_leaves_move() -> None:
    """Of ten endpoints one leaves: its keys, about a tenth, move, and no other."""
    before, after = HashRing(names(10), [1] * 10, 10_000), HashRing(names(9), [1] * 9, 9_000)
    moved = [key for key in KEYS if before.owner(key) != after.owner(key)]
    assert all(before.owner(key) == 9 for key in moved)
    assert len(moved) / len(KEYS) == pytest.approx(0.1, abs=0.02)


def test_the_order_of_the_names_does_not_matter() -> None:
    """Two gateways that learnt of the same endpoints in another order agree on each key."""
    forward, backward = HashRing(names(9), list(range(1, 10))), HashRing(names(9)[::-1], list(range(9, 0, -1)))
    assert all(forward.owner(key) == 8 - backward.owner(key) for key in KEYS[:1000])


def test_keys_behind_the_last_point_belong_to_the_first() -> None:
    """It is a ring."""
    ring = HashRing(names(3), [1, 1, 1])
    assert ring.owner(2**64 - 1) == ring.owner(0)
