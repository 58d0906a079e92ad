"""Budgets: what requests to models reserve, what they are charged, and who is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest

from gateway.errors import ErrorKind
from gateway.http.testing import make_exchange
from gateway.limits.holds import Line, LocalHolds
from gateway.llm.budget import Budgets
from gateway.llm.claims import Limit, Refused
from gateway.llm.estimate import OUTPUT_LIMIT
from gateway.llm.reservation import Hold
from tests.llm.budgets import MODEL, OTHER, Used, World, wanted


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.stop()


async def test_a_request_reserves_and_is_charged_what_it_used(world: World) -> None:
    """Input and what may be answered is held at first; at the end only what was used counts."""
    tokens = await world.limit("tokens", 1000)
    budgets = world.budgets(tokens)
    hold = await budgets.reserve(make_exchange(), wanted())
    assert (hold.tokens, budgets.tally.tokens, world.used(tokens)) == (200, 200, 0)
    assert hold.commit(Used(90, 10), None)
    assert (budgets.tally.tokens, world.used(tokens)) == (0, 100)


async def test_requests_at_once_cannot_share_what_is_left(world: World) -> None:
    """Of 200 requests at once, a budget for 20 lets 20 pass, and what they used beyond their holds is stated."""
    tokens = await world.limit("tokens", 20 * 200)
    budgets = world.budgets(tokens)

    async def one() -> Hold | Refused:
        try:
            return await budgets.reserve(make_exchange(), wanted())
        except Refused as refused:
            return refused

    outcomes = await asyncio.gather(*(one() for _ in range(200)))
    passed = [outcome for outcome in outcomes if isinstance(outcome, Hold)]
    assert len(passed) == 20
    for hold in passed:
        hold.commit(Used(100, 130), 0)
    assert world.used(tokens) == 20 * 230
    assert world.used(tokens) - 20 * 200 == budgets.tally.overshoot_tokens == 20 * 30
    assert budgets.tally.refused == 180


async def test_who_is_refused_learns_what_was_missing_and_until_when(world: World) -> None:
    """The refusal has the hold that would have been needed, what is left, and the end of the window."""
    world.clock.set("2036-03-15 23:00")
    budgets = world.budgets(await world.limit("tokens", 300))
    hold = await budgets.reserve(make_exchange(), wanted())
    hold.commit(Used(100, 50), 0)
    exchange = make_exchange()
    with pytest.raises(Refused) as refused:
        await budgets.reserve(exchange, wanted())
    error = refused.value
    assert (error.kind, error.unit, error.needed, error.left) == (ErrorKind.QUOTA_EXCEEDED, "tokens", 200, 150)
    assert error.retry_after == 3601
    assert error.detail.endswith("; again in 3601 s, or at once with a shorter request or a lower output limit")
    assert (b"retry-after", b"3601") in error.headers
    assert [decision.rule for decision in exchange.decisions] == ["budget:per-tenant"]


async def test_a_request_over_the_whole_budget_gets_no_retry_after(world: World) -> None:
    """There is no time after which the same request would pass, whatever another limit says."""
    budgets = world.budgets(await world.limit("tokens", 199), await world.limit("requests", 1))
    with pytest.raises(Refused) as refused:
        await budgets.reserve(make_exchange(), wanted())
    assert "more than it ever has" in refused.value.detail
    assert refused.value.retry_after == 0
    assert b"retry-after" not in dict(refused.value.headers)


async def test_holds_of_others_are_waited_for_less_long(world: World) -> None:
    """Where it is only reserved what is missing, a client may come back soon."""
    budgets = world.budgets(await world.limit("tokens", 300))
    await budgets.reserve(make_exchange(), wanted())
    with pytest.raises(Refused, match="has 100 tokens left, and this request needs 200 tokens; again in 5 s"):
        await budgets.reserve(make_exchange(), wanted())


async def test_a_hold_is_settled_once(world: World) -> None:
    """What comes after the first settlement does nothing, in any order."""
    tokens = await world.limit("tokens", 1000)
    budgets = world.budgets(tokens)
    hold = await budgets.reserve(make_exchange(), wanted())
    assert hold.commit(Used(10, 10), 0)
    assert not hold.commit(Used(10, 10), 0)
    assert not hold.release()
    assert world.used(tokens) == 20
    released = await budgets.reserve(make_exchange(), wanted())
    assert released.release()
    assert not released.commit(Used(10, 10), 0)
    assert (world.used(tokens), budgets.tally.tokens, budgets.tally.open) == (20, 0, 0)


async def test_all_windows_are_taken_from_or_none(world: World) -> None:
    """A request that one window refuses leaves nothing behind in the others."""
    day, minute = await world.limit("tokens", 10_000), await world.limit("requests", 1, "minute")
    budgets = world.budgets(day, minute)
    hold = await budgets.reserve(make_exchange(), wanted())
    with pytest.raises(Refused, match=r"1 request per minute.*; again in [0-9]+ s$"):
        await budgets.reserve(make_exchange(), wanted())
    hold.commit(Used(100, 0), 0)
    assert world.used(day) == 100
    world.clock.set("2036-03-15 12:01")
    await budgets.reserve(make_exchange(), wanted())


async def test_a_request_counts_in_the_window_that_let_it_in(world: World) -> None:
    """What ends after midnight belongs to the day on which it began."""
    world.clock.set("2036-03-15 23:59")
    tokens = await world.limit("tokens", 1000)
    budgets = world.budgets(tokens)
    hold = await budgets.reserve(make_exchange(), wanted())
    world.clock.set("2036-03-16 00:00")
    hold.commit(Used(100, 100), 0)
    assert world.used(tokens) == 0
    assert (await budgets.reserve(make_exchange(), wanted(given=900))).tokens == 1000


async def test_money_is_reserved_at_what_it_may_cost(world: World) -> None:
    """Micro-dollars of input and of all that may be answered; charged is what it cost."""
    money = await world.limit("micros", 1000)
    budgets = world.budgets(money)
    hold = await budgets.reserve(make_exchange(), wanted())
    assert hold.micros == 300
    hold.commit(Used(100, 10), world.prices.cost(*MODEL, Used(100, 10)))
    assert world.used(money) == 120
    with pytest.raises(Refused, match=r"\$0.00088\d* left, and this request needs \$0.002"):
        await budgets.reserve(make_exchange(), wanted(given=2000, limit=0))


async def test_what_has_no_price_is_refused_under_a_budget_in_money(world: World) -> None:
    """The cost of a model without a price is unknown: it is left out, and refused where there is no other one."""
    budgets = world.budgets(await world.limit("micros", 10**9))
    with pytest.raises(Refused, match="the price of a model of other is not known") as refused:
        await budgets.reserve(make_exchange(), wanted(OTHER))
    assert refused.value.kind is ErrorKind.FORBIDDEN
    assert refused.value.public_detail == "the price of large is not known here, so it cannot be used within a budget"
    hold = await budgets.reserve(make_exchange(), wanted(OTHER, MODEL))
    assert hold.unpriced == {OTHER}
    assert hold.micros == 300
    tokens_only = world.budgets(await world.limit("tokens", 1000))
    assert not (await tokens_only.reserve(make_exchange(), wanted(OTHER))).unpriced


async def test_a_switch_to_what_has_no_price_is_refused(world: World) -> None:
    """Also where another profile brings up a backend that the reservation knew nothing of."""
    budgets = world.budgets(await world.limit("micros", 10**9))
    hold = await budgets.reserve(make_exchange(), wanted())
    with pytest.raises(Refused, match="the price of a model of other is not known"):
        await hold.switch(OTHER)
    assert hold.commit(Used(10, 10), 30)


async def test_an_unknown_cost_is_taken_for_what_was_reserved(world: World) -> None:
    """An answer of a model without a price is not free."""
    money = await world.limit("micros", 1000)
    budgets = world.budgets(money)
    hold = await budgets.reserve(make_exchange(), wanted())
    hold.commit(Used(10, 10), None)
    assert world.used(money) == 300


async def test_attempts_count_only_where_it_says_so(world: World) -> None:
    """A tenant pays what it got, unless the budget counts attempts; that of a provider pays its own."""
    delivered, attempts, provider = [await world.limit("tokens", 10_000) for _ in range(3)]
    budgets = Budgets(
        [
            world.budget(delivered, name="delivered"),
            world.budget(attempts, name="attempts", charge="attempts"),
            world.budget(provider, name="provider", by_backend=True),
        ],
        world.estimator,
        world.prices,
    )
    hold = await budgets.reserve(make_exchange(), wanted(MODEL, OTHER))
    hold.attempt(Used(100, 7), 0)
    await hold.switch(OTHER)
    hold.commit(Used(100, 20), 0)
    assert world.used(delivered) == 120
    assert world.used(attempts) == 227
    assert world.used(provider, "192.0.2.1/stub") == 107
    assert world.used(provider, "192.0.2.1/other") == 120
    assert budgets.tally.tokens == 0


async def test_a_provider_without_budget_refuses_the_switch(world: World) -> None:
    """Where the next provider has too little left, the request does not go there, and is settled as usual."""
    provider = await world.limit("tokens", 250)
    budgets = world.budgets(provider, by_backend=True)
    other = await budgets.reserve(make_exchange(), wanted(OTHER))
    hold = await budgets.reserve(make_exchange(), wanted(MODEL, OTHER))
    with pytest.raises(Refused):
        await hold.switch(OTHER)
    assert hold.release()
    other.commit(Used(1, 1), 0)
    assert (world.used(provider, "192.0.2.1/stub"), world.used(provider, "192.0.2.1/other")) == (0, 2)


async def test_a_provider_with_room_is_reserved_at(world: World) -> None:
    """Where the first provider has too little left, the request may go to the next one, and is not refused."""
    tokens, requests = await world.limit("tokens", 250), await world.limit("requests", 5)
    world.store = LocalHolds()
    budgets = world.budgets(tokens, requests, by_backend=True)
    await budgets.reserve(make_exchange(), wanted(MODEL))
    exchange = make_exchange()
    hold = await budgets.reserve(exchange, wanted(MODEL, OTHER))
    assert [decision.rule for decision in exchange.decisions] == []
    with pytest.raises(Refused):
        await hold.switch(MODEL)
    await hold.switch(OTHER)
    hold.commit(Used(1, 1), 0)
    assert (world.used(requests, "192.0.2.1/stub"), world.used(requests, "192.0.2.1/other")) == (0, 1)
    assert world.used(tokens, "192.0.2.1/other") == 2
    with pytest.raises(Refused):
        await budgets.reserve(exchange, wanted(MODEL))
    assert [decision.verdict for decision in exchange.decisions] == ["deny"]


async def test_shadow_mode_says_what_it_would_refuse(world: World) -> None:
    """Nothing is refused, everything counts, and the decision is there."""
    tokens = await world.limit("tokens", 100)
    budgets = world.budgets(tokens, mode="shadow")
    exchange = make_exchange()
    hold = await budgets.reserve(exchange, wanted())
    hold.commit(Used(100, 50), 0)
    assert world.used(tokens) == 150
    assert [(decision.rule, decision.verdict) for decision in exchange.decisions] == [
        ("budget:per-tenant", "shadow-deny")
    ]


@pytest.mark.parametrize("huge", [2**63, 10**40, -5])
async def test_absurd_reports_do_no_harm(world: World, huge: int) -> None:
    """A count that cannot be is bounded: it neither overflows a store, nor gives anything back."""
    tokens, money = await world.limit("tokens", 10**15), await world.limit("micros", 10**15)
    budgets = world.budgets(tokens, money)
    for _ in range(3):
        hold = await budgets.reserve(make_exchange(), wanted(given=huge))
        hold.commit(Used(huge, huge, huge, huge, huge), huge)
        assert 0 <= world.used(tokens) <= 6 * 10**9
    assert budgets.tally.tokens == 0


async def test_a_request_without_a_limit_gets_one(world: World) -> None:
    """With a budget, an answer cannot be endless; without one, the request stays as it is."""
    budgets = world.budgets(await world.limit("tokens", 10**6))
    assert (await budgets.reserve(make_exchange(), wanted(limit=None))).output_limit == OUTPUT_LIMIT
    assert (await budgets.reserve(make_exchange(), wanted(limit=5))).output_limit is None
    assert (await budgets.reserve(make_exchange(), wanted(limit=None, generates=False))).output_limit is None
    without = Budgets([], world.estimator, world.prices)
    assert (await without.reserve(make_exchange(), wanted(limit=None))).output_limit is None


async def test_each_answer_is_reserved_for(world: World) -> None:
    """A request for several answers may have as many times its limit as output."""
    tokens = await world.limit("tokens", 10**12)
    budgets = world.budgets(tokens)
    assert (await budgets.reserve(make_exchange(), wanted(choices=4))).tokens == 100 + 4 * 100
    assert (await budgets.reserve(make_exchange(), wanted(choices=10**30))).tokens <= 10**9
    requests = world.budgets(await world.limit("requests", 10))
    assert (await requests.reserve(make_exchange(), wanted(limit=None))).output_limit is None


async def test_learned_reserves_are_what_answers_were_long(world: World) -> None:
    """Agents ask for far more output than they get: what is held is what 95 of 100 answers stayed within."""
    tokens = await world.limit("tokens", 10**6)
    budgets = world.budgets(tokens, output="learned")
    assert (await budgets.reserve(make_exchange(), wanted(limit=64_000))).tokens == 100 + 256
    for length in range(1000):
        world.estimator.learn(400, "small", "models", input_tokens=100, output_tokens=length)
    assert 950 < (await budgets.reserve(make_exchange(), wanted(limit=64_000))).tokens - 100 < 1000


@pytest.mark.parametrize("unit", ["tokens", "micros"])
async def test_what_was_learned_refuses_nothing_for_good(world: World, unit: Literal["tokens", "micros"]) -> None:
    """A request that would fit before anything was learned may have all of a budget: only its answer can say that the
    estimate was wrong."""
    budgets = world.budgets(await world.limit(unit, 6000), output="learned")
    for _ in range(200):
        world.estimator.learn(10_000, "small", "models", input_tokens=5000, output_tokens=9000)
    asked = wanted(given=5000, input_bytes=10_000, limit=None)
    hold = await budgets.reserve(make_exchange(), asked)
    assert (hold.tokens or hold.micros) == 6000
    with pytest.raises(Refused, match="again in 5 s"):
        await budgets.reserve(make_exchange(), asked)
    with pytest.raises(Refused, match="more than it ever has"):
        await budgets.reserve(make_exchange(), wanted(given=15_000, input_bytes=30_000, limit=None))


async def test_what_a_budget_would_say_is_explained(world: World) -> None:
    """Without holding anything for it."""
    tokens = await world.limit("tokens", 300)
    budgets = world.budgets(tokens)
    (decision,) = budgets.explain(make_exchange(), wanted())
    assert (decision.rule, decision.verdict) == ("budget:per-tenant", "allow")
    assert decision.reason == "200 tokens would be reserved, of 300 tokens that are left per day"
    await budgets.reserve(make_exchange(), wanted())
    (decision,) = budgets.explain(make_exchange(), wanted())
    assert (decision.verdict, "has 100 tokens left" in decision.reason) == ("deny", True)
    assert budgets.tally.open == 1


async def test_a_client_that_goes_away_while_it_waits_leaves_nothing_behind(world: World) -> None:
    """A request that is cancelled before its reservation is answered holds nothing."""

    class Slow(LocalHolds):
        async def reserve(self, hold: str, lines: Any, seconds: float) -> Any:
            answer = await super().reserve(hold, lines, seconds)
            await asyncio.sleep(10)
            return answer

    world.store = Slow()
    tokens = await world.limit("tokens", 1000)
    budgets = world.budgets(tokens)
    task = asyncio.create_task(budgets.reserve(make_exchange(), wanted()))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert budgets.budgets[0].store.room(_line(tokens)).held == 0


def _line(limit: Limit) -> Line:
    return Line(limit.ledger, "192.0.2.1", limit.ledger.span(), limit.amount, 0, True)


async def test_holds_expire(world: World) -> None:
    """An unsettled reservation is free again a minute after the deadline of its request."""
    now = 0.0
    world.store = LocalHolds(lambda: now)
    budgets = world.budgets(await world.limit("tokens", 300))
    lost = await budgets.reserve(make_exchange(), wanted(seconds=30))
    now = 89.0
    with pytest.raises(Refused):
        await budgets.reserve(make_exchange(), wanted())
    now = 90.0
    hold = await budgets.reserve(make_exchange(), wanted())
    hold.release()
    assert lost.commit(Used(10, 10), 0)  # it was late, and counts once
    assert (await budgets.reserve(make_exchange(), wanted(given=180))).tokens == 280
