from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.retry_budget import BudgetSettings, RetryBudget


def drain(budget: RetryBudget, now: float) -> int:
    """Retries until it refuses one."""
    drawn = 0
    while budget.withdraw(now):
        drawn += 1
    return drawn


def test_a_service_with_few_requests_may_retry_too() -> None:
    """Without any requests there are ten retries a second, for each of the ten seconds."""
    assert drain(RetryBudget(BudgetSettings()), 0) == 100


def test_a_fifth_of_the_requests_may_be_retried() -> None:
    """A thousand requests allow two hundred retries, and the minimum none beside them."""
    budget = RetryBudget(BudgetSettings())
    for _ in range(1000):
        budget.requests.add(1, 5.5)
    assert budget.available(5.5) == 200
    assert drain(budget, 5.5) == 200
    assert budget.exhausted == 1


def test_what_was_deposited_and_withdrawn_expires() -> None:
    """After ten seconds neither the requests nor the retries of then count."""
    budget = RetryBudget(BudgetSettings())
    for _ in range(1000):
        budget.requests.add(1, 0)
    assert budget.available(9.9) == 200
    drain(budget, 9.9)
    assert budget.available(10) == 0  # the deposits are gone, the retries are not
    assert budget.available(20) == 100


def test_a_dead_service_gets_at_most_a_fifth_more() -> None:
    """Where every request fails, 1,000 a second for a minute, retries add the ratio, no more."""
    budget, retries = RetryBudget(BudgetSettings()), 0
    for millisecond in range(60_000):
        now = millisecond / 1000
        budget.requests.add(1, now)
        retries += budget.withdraw(now) + budget.withdraw(now)
    assert 60_000 * 0.19 <= retries <= 60_000 * 0.2


def test_a_retry_that_is_not_sent_is_given_back() -> None:
    """It can be used again, and expires with the second in which it was drawn."""
    budget = RetryBudget(BudgetSettings(minimum_per_second=1))
    assert drain(budget, 0) == 10
    for _ in range(10):
        budget.give_back(0, 9)
    assert budget.available(9) == 10
    assert budget.available(10) == 10


def test_without_a_ratio_there_is_the_minimum_only() -> None:
    """A ratio of zero leaves the minimum, however many requests there are."""
    budget = RetryBudget(BudgetSettings(ratio=0, minimum_per_second=2))
    for _ in range(1000):
        budget.requests.add(1, 0)
    assert drain(budget, 0) == 20


def test_new_limits_keep_what_was_spent() -> None:
    """A reload does not fill the budget up."""
    budget = RetryBudget(BudgetSettings())
    drain(budget, 0)
    budget.configure(BudgetSettings(minimum_per_second=11))
    assert budget.available(0) == 10


happenings = st.lists(st.tuples(st.sampled_from(["requests", "retry", "back"]), st.integers(0, 4)), max_size=200)
settings = st.builds(
    BudgetSettings, st.integers(0, 100).map(lambda percent: percent / 100), st.integers(0, 5), st.integers(1, 10)
)


@given(settings, happenings)
def test_no_stretch_of_time_sees_more_retries(settings: BudgetSettings, happenings: list[tuple[str, int]]) -> None:
    """A retry leaves at most max(ratio * requests, minimum * ttl) of them in `ttl` seconds, whatever is given back."""
    budget, now = RetryBudget(settings), 0
    requests, retries = list[int](), list[int]()
    for what, pause in happenings:
        now += pause
        granted = False
        if what == "requests":
            requests += [now] * 7
            for _ in range(7):
                budget.requests.add(1, now)
        elif what == "retry":
            granted = budget.withdraw(now)
            retries += [now] * granted
        elif retries:
            budget.give_back(retries.pop(), now)
        since = now - settings.ttl
        deposited = sum(time > since for time in requests)
        bound = max(settings.ratio * deposited, settings.minimum_per_second * settings.ttl)
        if granted:
            assert sum(time > since for time in retries) <= bound + 1e-9
