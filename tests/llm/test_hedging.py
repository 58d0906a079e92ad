"""A second provider is asked where the first takes long."""

from __future__ import annotations

import asyncio

import pytest

from gateway.llm.handler import Models
from tests.llm.support import PROVIDERS, chat, two_providers
from tests.support import eventually

HEDGED = PROVIDERS.replace("preferProviders: [one, two]", "preferProviders: [one, two], hedge: 50ms")
BUDGET = """
budgets: {all: {key: [route], limits: [{requests: 100, window: day}], store: memory}}
"""


async def test_a_slow_provider_is_overtaken() -> None:
    """Its attempt is given up, and what is counted is the answer that the client gets."""
    async with two_providers(HEDGED + BUDGET) as (made, one, two):
        one.fault = "slow-5000"
        answered = await made.ask("/v1/chat/completions", chat())
        assert (answered.status, answered.headers["x-gateway-model-backend"]) == (200, "two/small")
        noted = answered.noted
        assert noted.switches == (("one/*", "two/*", "hedged"),)
        assert (noted.provider, noted.tries, noted.estimated) == ("two", 2, False)
        assert noted.output_tokens == two.completed.output
        assert [attempt.status for attempt in answered.exchange.attempts] == [0, 200]
        assert made.loads == {}


async def test_a_first_answer_that_comes_later_but_before_the_second_is_taken() -> None:
    """The second attempt is given up then."""
    async with two_providers(HEDGED) as (made, one, two):
        one.fault, two.fault = "slow-2000", "slow-30000"
        answered = await made.ask("/v1/chat/completions", chat())
        assert (answered.noted.provider, answered.noted.switches) == ("one", ())
        assert len(two.received) == 1
        await eventually(lambda: made.loads == {})


async def test_a_second_attempt_that_fails_leaves_the_first_one_alone() -> None:
    """And the other way around."""
    async with two_providers(HEDGED) as (made, one, two):
        one.fault, two.fault = "slow-300", "fail-400"
        assert (await made.ask("/v1/chat/completions", chat())).noted.provider == "one"


async def test_what_is_fast_or_streams_is_asked_once() -> None:
    """However slow a stream is."""
    async with two_providers(HEDGED.replace("50ms", "30s")) as (made, one, two):
        assert (await made.ask("/v1/chat/completions", chat())).status == 200
        assert not two.received
    async with two_providers(HEDGED.replace("50ms", "1ms")) as (made, one, two):
        one.fault = "slow-30"
        assert (await made.ask("/v1/chat/completions", chat(stream=True))).status == 200
        assert not two.received


@pytest.mark.parametrize("asked", [1, 2])
async def test_a_client_that_goes_away_leaves_nothing_behind(asked: int) -> None:
    """However many are asked then: nothing stays reserved, and the request is charged once, as one without hedging."""
    hedge = "50ms" if asked == 2 else "9s"
    async with two_providers(HEDGED.replace("50ms", hedge) + BUDGET.replace("requests: 100", "tokens: 9000")) as made:
        gateway, one, two = made
        one.fault = two.fault = "slow-5000"
        task = asyncio.ensure_future(gateway.ask("/v1/chat/completions", chat()))
        await eventually(lambda: len(one.received) + len(two.received) == asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        target = gateway.snapshot.handlers[0].target
        assert isinstance(target, Models)
        budgets = target.money.budgets
        ledger, noted = budgets.budgets[0].limits[0].ledger, gateway.last.model
        assert noted is not None
        assert (noted.estimated, ledger.assume("=models")) == (True, noted.input_tokens)
        assert noted.input_tokens > 0
        assert (budgets.tally.open, budgets.tally.tokens) == (0, 0)
        assert budgets.budgets[0].store.holding(ledger) == {}
        assert gateway.loads == {}
