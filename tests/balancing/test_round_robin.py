"""Which endpoint is next, as arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from hypothesis import given
from hypothesis import strategies as st

from gateway.balancing.round_robin import RoundRobin
from gateway.http.testing import make_exchange

weights = st.lists(st.integers(1, 20), min_size=1, max_size=6)


class Picks:
    """A balancer of names or numbers, asked again and again."""

    def __init__(self, weighted: Sequence[tuple[object, int]]) -> None:
        self.balancer: RoundRobin[object] = RoundRobin()
        self.balancer.replace(weighted)
        self._exchange = make_exchange()

    def __call__(self, excluded: Collection[object] = ()) -> object:
        return self.balancer.pick(self._exchange, 0.0, excluded)

    def many(self, number: int) -> str:
        return "".join(str(self()) for _ in range(number))


@given(weights, st.integers(0, 60))
def test_shares(weights: list[int], skipped: int) -> None:
    """In any run of as many requests as there is weight, every endpoint gets exactly its weight."""
    pick = Picks(list(enumerate(weights)))
    for _ in range(skipped):
        pick()
    assert Counter(pick() for _ in range(sum(weights))) == Counter(dict(enumerate(weights)))


def test_shares_are_spread() -> None:
    """A heavy endpoint does not get its share in one burst."""
    assert Picks([("a", 5), ("b", 1), ("c", 1)]).many(7) == "aabacaa"


@given(weights.filter(lambda many: len(many) > 1), st.data())
def test_excluded(weights: list[int], data: st.DataObject) -> None:
    """An endpoint that was tried is not picked again, and where all were, none is."""
    pick = Picks(list(enumerate(weights)))
    excluded = data.draw(st.sets(st.sampled_from(range(len(weights)))))
    picked = pick(excluded)
    assert (picked is None) if len(excluded) == len(weights) else (picked not in excluded)


@given(weights)
def test_outage_leaves_no_debt(weights: list[int]) -> None:
    """After a time in which none, or only one, could be picked, shares are what they were before."""
    pick = Picks(list(enumerate(weights)))
    everything = range(len(weights))
    for _ in range(50):
        pick(everything)
        pick(everything[1:])
    assert Counter(pick() for _ in range(sum(weights))) == Counter(dict(enumerate(weights)))


@given(weights, st.integers(0, 60))
def test_the_same_set_again_changes_nothing(weights: list[int], picks: int) -> None:
    """A registry that says again what it said before does not begin the round anew."""
    pick, other = Picks(list(enumerate(weights))), Picks(list(enumerate(weights)))
    assert pick.many(picks) == other.many(picks)
    pick.balancer.replace(list(enumerate(weights)))
    assert pick.many(20) == other.many(20)


def test_those_that_stay_keep_their_place() -> None:
    """Where one endpoint comes or goes, the others go on in turn: the one that was served last is not next."""
    pick = Picks([("a", 1), ("b", 1), ("c", 1)])
    assert pick.many(4) == "abca"
    pick.balancer.replace([("a", 1), ("b", 1)])
    assert pick.many(2) == "ba"
    pick.balancer.replace([("a", 1), ("b", 1), ("d", 1)])
    assert sorted(pick.many(3)) == ["a", "b", "d"]


@given(weights, weights, st.integers(0, 60))
def test_new_weights_leave_no_debt(before: list[int], after: list[int], picks: int) -> None:
    """However weights change, each endpoint soon gets its new share, whatever it had had of the old ones."""
    pick = Picks(list(enumerate(before)))
    pick.many(picks)
    pick.balancer.replace(list(enumerate(after)))
    rounds = 4
    counted = Counter(pick() for _ in range(rounds * sum(after)))
    for endpoint, weight in enumerate(after):
        assert abs(counted[endpoint] - rounds * weight) <= sum(after)
