"""Which endpoint is next, as arithmetic."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.balancing.round_robin import RoundRobin

weights = st.lists(st.integers(1, 20), min_size=1, max_size=6)


@given(weights, st.integers(0, 60))
def test_shares(weights: list[int], skipped: int) -> None:
    """In any run of as many requests as there is weight, every endpoint gets exactly its weight."""
    balancer = RoundRobin(list(enumerate(weights)))
    for _ in range(skipped):
        balancer.pick()
    assert Counter(balancer.pick() for _ in range(sum(weights))) == Counter(dict(enumerate(weights)))


def test_shares_are_spread() -> None:
    """A heavy endpoint does not get its share in one burst."""
    balancer = RoundRobin([("a", 5), ("b", 1), ("c", 1)])
    assert "".join(str(balancer.pick()) for _ in range(7)) == "aabacaa"


@given(weights.filter(lambda many: len(many) > 1), st.data())
def test_excluded(weights: list[int], data: st.DataObject) -> None:
    """An endpoint that was tried is not picked again, and where all were, none is."""
    balancer = RoundRobin(list(enumerate(weights)))
    excluded = data.draw(st.sets(st.sampled_from(range(len(weights)))))
    picked = balancer.pick(excluded)
    assert (picked is None) if len(excluded) == len(weights) else (picked not in excluded)


@given(weights)
def test_outage_leaves_no_debt(weights: list[int]) -> None:
    """After a time in which none, or only one, could be picked, shares are what they were before."""
    balancer = RoundRobin(list(enumerate(weights)))
    everything = range(len(weights))
    for _ in range(50):
        balancer.pick(everything)
        balancer.pick(everything[1:])
    assert Counter(balancer.pick() for _ in range(sum(weights))) == Counter(dict(enumerate(weights)))
