from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.peers import Peer, Peers, Standing


def standing(one: Peer, others: list[Peer]) -> Standing:
    return Peers([*others, one]).standing(one, among=True)


peers = st.builds(
    lambda requests, share, latency: Peer(requests, int(requests * share), latency),
    st.integers(50, 10_000),
    st.floats(0, 1),
    st.floats(1e-4, 100),
)


def test_one_of_four_that_fails_stands_out() -> None:
    """One that fails 42% of its requests does, beside three that fail next to none; and none of the others does."""
    well, failing = Peer(200, 1, 0.02), Peer(200, 84, 0.02)
    assert standing(failing, [well, well, well]).by_errors > 1
    assert standing(failing, [well, well, well]).by_latency < 1
    assert standing(well, [well, well, failing]).worst < 1


def test_one_of_four_that_is_slow_stands_out() -> None:
    """One that takes 2 s does, beside three that take some milliseconds; one that takes half as long again does not."""
    others = [Peer(200, 0, 0.020), Peer(200, 0, 0.022), Peer(200, 0, 0.024)]
    assert Peers(others).standing(Peer(200, 0, 2.0), among=False).by_latency > 1
    assert standing(Peer(200, 0, 2.0), others).by_latency > 1
    assert standing(Peer(200, 0, 0.033), others).by_latency < 1
    assert standing(Peer(200, 0, 0.001), others).by_latency < 0


def test_with_fewer_than_three_peers_none_stands_out() -> None:
    """Of three, it cannot be known who is wrong."""
    assert standing(Peer(200, 200, 9.0), [Peer(200, 0, 0.01)] * 2) == Standing()
    assert standing(Peer(0, 0, None), [Peer(200, 0, 0.01)] * 3) == Standing()


def test_where_all_fail_none_stands_out() -> None:
    """What fails behind all of them is no fault of one."""
    rates = [130, 150, 140, 120]
    every = [Peer(200, errors, 0.5) for errors in rates]
    assert all(standing(one, [other for other in every if other is not one]).worst < 1 for one in every)


def test_chance_makes_none_stand_out() -> None:
    """Endpoints that fail 2% of their requests by chance, 50 in a window, are singled out once in thousands of
    times."""
    draw, found = random.Random(7), 0
    for _ in range(2000):
        every = [Peer(50, sum(draw.random() < 0.02 for _ in range(50)), draw.uniform(0.01, 0.015)) for _ in range(4)]
        found += sum(standing(one, [other for other in every if other is not one]).worst > 1 for one in every)
    assert found <= 4


@given(st.lists(peers, min_size=4, max_size=8))
def test_it_is_compared_with_the_mean_and_deviation_of_the_others(every: list[Peer]) -> None:
    """To be one of them, or beside them, comes to the same, as far as errors are concerned."""
    among = Peers(every).standing(every[0], among=True)
    beside = Peers(every[1:]).standing(every[0], among=False)
    assert among.by_errors == pytest.approx(beside.by_errors, abs=1e-6)


@given(peers, st.integers(3, 8))
def test_one_like_all_others_does_not_stand_out(peer: Peer, others: int) -> None:
    """Whatever they do, as long as they do the same."""
    assert standing(peer, [peer] * others).worst < 1e-9
