"""The memory store, against a model that remembers every request."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.algorithms.gcra import NANOSECONDS, Window
from gateway.limits.memory import MemoryStore
from gateway.limits.windows import WindowSet
from tests.limits.support import windows


class Model:
    """A bucket for each window and key, filled to the brim, that fills up again: with fractions, to be exact."""

    def __init__(self, held: tuple[Window, ...]) -> None:
        self.held = held
        self.buckets: dict[str, list[Fraction]] = defaultdict(lambda: [Fraction(window.burst) for window in held])
        self.looked: dict[str, int] = defaultdict(int)

    def take(self, key: str, cost: int, now: int) -> bool:
        buckets = self.buckets[key]
        for index, window in enumerate(self.held):
            more = Fraction(now - self.looked[key], window.interval)
            buckets[index] = min(Fraction(window.burst), buckets[index] + more)
        self.looked[key] = now
        if any(bucket < cost for bucket in buckets):
            return False
        self.buckets[key] = [bucket - cost for bucket in buckets]
        return True


class Comparison(RuleBasedStateMachine):
    """Any sequence of requests: the store decides each as the model does."""

    @initialize(
        limit=st.integers(1, 50),
        burst=st.none() | st.integers(1, 50),
        more=st.booleans(),
        most=st.sampled_from([4, 100]),
    )
    def begin(self, limit: int, burst: int | None, more: bool, most: int) -> None:
        limits = [f"{limit}/s", f"{limit * 3}/m"] if more else [f"{limit}/s"]
        self.held = windows(*limits, burst=burst)
        self.store = MemoryStore(most)
        self.model = Model(self.held.windows)
        self.now = 10**15

    @rule(nanoseconds=st.integers(0, 3 * NANOSECONDS))
    def time_passes(self, nanoseconds: int) -> None:
        self.now += nanoseconds

    @rule(key=st.sampled_from("abcd"), cost=st.integers(0, 5), times=st.integers(1, 30))
    def requests_come(self, key: str, cost: int, times: int) -> None:
        for _ in range(times):
            assert self.store.take(key, self.held, cost, self.now).fits == self.model.take(key, cost, self.now)

    @invariant()
    def keys_are_bounded(self) -> None:
        assert not hasattr(self, "store") or len(self.store.table) <= 100


TestComparison = Comparison.TestCase
TestComparison.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def taken(store: MemoryStore, held: WindowSet, times: int, *, key: str = "a", now: int = 0) -> int:
    return sum(store.take(key, held, 1, now).fits for _ in range(times))


def test_a_request_that_one_window_refuses_is_counted_by_none() -> None:
    """While 2/s refuses, 1000/h does not count."""
    store, held = MemoryStore(), windows("2/s", "1000/h")
    assert taken(store, held, 50) == 2
    assert held.left(store.peek("a", held, 0)) == "0 of 2 in 1s, 998 of 1000 in 1h"


@given(st.integers(1, 20), st.integers(1, 20))
def test_what_is_given_back_can_be_spent_again(limit: int, times: int) -> None:
    """A request that goes no further leaves the budget as it was."""
    store, held = MemoryStore(), windows(f"{limit}/m")
    for _ in range(times):
        store.take("a", held, 1, 0)
        store.give_back("a", held, 1, 0)
    assert taken(store, held, limit + 5) == limit


def test_a_change_of_the_limit_keeps_what_is_owed() -> None:
    """Who has used up the old limit does not begin anew with the new one."""
    store = MemoryStore()
    assert taken(store, windows("10/m"), 10) == 10
    assert taken(store, windows("20/m"), 20) == 0
    assert taken(store, windows("20/m"), 20, now=30 * NANOSECONDS) == 10


def test_windows_of_other_lengths_keep_what_is_owed() -> None:
    """A limit that changes to windows of other lengths, and back, counts on in each where it was."""
    store = MemoryStore()
    assert taken(store, windows("10/m"), 10) == 10
    assert taken(store, windows("20/h"), 15) == 15
    assert taken(store, windows("10/m"), 10) == 0
    assert taken(store, windows("10/m", "20/h", "30/d"), 10) == 0
    assert taken(store, windows("20/h", "30/d"), 10) == 5
    assert taken(store, windows("30/d"), 50) == 25


def test_newcomers_begin_with_all_that_is_owed_in_common() -> None:
    """While others share what is left of a full table, and it has room again, a new client owes that in each window."""
    store, held = MemoryStore(1), windows("4/s", "3/m")
    taken(store, held, 1, key="a")
    assert taken(store, held, 5, key="b") == 3
    later = 20 * NANOSECONDS  # the first one owes nothing any more
    assert taken(store, held, 5, key="c", now=later) == 1


def test_newcomers_to_a_full_table_do_not_get_more() -> None:
    """A hundred new clients of a full table share one budget: a flood of addresses does not get around the limit."""
    store, held = MemoryStore(10), windows("5/m")
    for number in range(10):
        taken(store, held, 5, key=str(number))
    assert sum(taken(store, held, 5, key=f"new-{number}") for number in range(100)) == 5
