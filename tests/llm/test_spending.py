"""What requests through a gateway reserve and are charged, whatever becomes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.demo_models import DemoModels
from gateway.llm.claims import Limit
from gateway.llm.money import Money
from tests.llm.support import PROVIDERS, Gateway, answering, chat, gateway, two_providers
from tests.support import scripted_backend

BUDGETS = """
budgets:
  all: {key: [route], store: memory, output_reserve: requested, limits: [{tokens: %s, window: month}]}
"""


class Spending:
    """A gateway between a client and two providers, with one budget."""

    def __init__(self, gateway: Gateway, one: DemoModels, two: DemoModels) -> None:
        self.gateway, self.one, self.two = gateway, one, two

    @property
    def money(self) -> Money:
        assert self.gateway.snapshot.money is not None
        return self.gateway.snapshot.money

    @property
    def limit(self) -> Limit:
        return self.money.budgets.budgets[0].limits[0]

    @property
    def used(self) -> int:
        return self.limit.ledger.assume("=models")

    @property
    def served(self) -> int:
        """What the providers have counted themselves."""
        counts = [each for one in (self.one, self.two) for each in (one.completed, one.unfinished)]
        return sum(count.input + count.output for count in counts)

    def nothing_is_held(self) -> bool:
        return (self.money.budgets.tally.open, self.money.budgets.tally.tokens) == (0, 0)


@asynccontextmanager
async def spending(tokens: int = 100_000, more: str = "", budgets: str = BUDGETS) -> AsyncIterator[Spending]:
    text = PROVIDERS + (budgets % tokens if "%s" in budgets else budgets) + more
    async with two_providers(text) as (gateway, one, two):
        yield Spending(gateway, one, two)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ["", "cached-3", "usage-every", "usage-with-choices", "split-3", "think"])
async def test_what_a_provider_reports_is_charged(fault: str, *, stream: bool) -> None:
    """Whole and streamed, exactly as the provider counted, cached tokens once."""
    async with spending() as spent:
        spent.one.fault = fault
        for _ in range(3):
            answered = await spent.gateway.ask("/v1/chat/completions", chat(stream=stream, max_tokens=100))
            assert answered.status == 200
            assert not answered.noted.estimated
        assert spent.used == spent.served > 0
        assert spent.nothing_is_held()


@pytest.mark.parametrize("stream", [True, False])
async def test_without_a_report_it_is_estimated(*, stream: bool) -> None:
    """A server that says nothing of tokens is no free one."""
    async with spending() as spent:
        spent.one.fault = "no-usage"
        answered = await spent.gateway.ask("/v1/chat/completions", chat(stream=stream))
        assert answered.noted.estimated
        assert spent.used == answered.noted.committed_tokens > 10
        assert spent.nothing_is_held()


@pytest.mark.parametrize("after", [1, 5, 20])
async def test_a_client_that_goes_away_is_charged_what_it_got(after: int) -> None:
    """The text that was delivered, estimated; and nothing stays reserved."""
    async with spending() as spent:
        spent.one.fault = "slow-1+words-500"
        exchange, response = await spent.gateway.open("/v1/chat/completions", chat(stream=True))
        assert not isinstance(response.body, bytes)
        for _ in range(after):
            await response.body.read()
        assert not spent.nothing_is_held()
        response.body.close()
        exchange.close()
        assert exchange.model is not None
        assert exchange.model.estimated
        assert 0 < spent.used < 1000
        assert spent.nothing_is_held()


@pytest.mark.parametrize("fault", ["fail-429", "fail-400", "fail-401", "cut-at-once", "cut-before"])
async def test_failures_cost_nothing_that_was_not_used(fault: str) -> None:
    """Where no provider answers, the hold is released."""
    async with spending() as spent:
        spent.one.fault = spent.two.fault = fault
        answered = await spent.gateway.ask("/v1/chat/completions", chat(stream=True))
        assert answered.status >= 400
        assert spent.used < 100
        assert spent.nothing_is_held()


@pytest.mark.parametrize("fault", ["cut-after", "end-after"])
async def test_a_stream_that_is_cut_is_charged_what_was_delivered(fault: str) -> None:
    """Not the placeholder that came first, and not nothing."""
    async with spending() as spent:
        spent.one.fault = fault
        answered = await spent.gateway.ask("/v1/chat/completions", chat(stream=True))
        assert answered.noted.failure
        assert spent.used == answered.noted.committed_tokens > 5
        assert spent.nothing_is_held()


async def test_requests_at_once_stay_within_the_budget() -> None:
    """Of 200 at once on a budget for 20, as many pass as have room, and what goes over is stated."""
    async with spending(20 * 150) as spent:
        spent.one.fault = spent.two.fault = "slow-5"
        asked = [spent.gateway.ask("/v1/chat/completions", chat(max_tokens=120, stream=n % 2 == 0)) for n in range(200)]
        answers = await asyncio.gather(*asked)
        statuses = [answered.status for answered in answers]
        assert set(statuses) == {200, 429}
        assert 15 <= statuses.count(200) <= 25
        assert spent.used <= 20 * 150 + spent.money.budgets.tally.overshoot_tokens
        assert spent.used == spent.served
        assert spent.nothing_is_held()


async def test_who_is_refused_learns_why_in_its_own_format() -> None:
    """A 429 before anything is sent, with the hold that would have been needed, and with Retry-After where waiting
    helps."""
    async with spending(50) as spent:
        answered = await spent.gateway.ask("/v1/chat/completions", chat(max_tokens=100))
        assert answered.status == 429
        assert "retry-after" not in answered.headers
        assert "needs 1" in answered.json["error"]["message"]
        assert "50 tokens per month" in answered.json["error"]["message"]
        answered = await spent.gateway.ask("/v1/messages", {"model": "small", "max_tokens": 100, "messages": []})
        assert spent.served == 0
        asked = [await spent.gateway.ask("/v1/chat/completions", chat(max_tokens=20)) for _ in range(10)]
        answered = asked[-1]
        assert (asked[0].status, answered.status) == (200, 429)
        assert int(answered.headers["retry-after"]) > 0
        assert answered.json["error"]["code"] == "insufficient_quota"


async def test_no_limit_beside_a_low_one_reserves_as_much_as_no_limit() -> None:
    """Such a request is sent with the limit that was reserved, or refused."""
    async with spending(tokens=8000) as spent:
        answered = await spent.gateway.ask("/v1/chat/completions", chat(max_tokens=5, max_completion_tokens=-1))
        assert answered.status == 429
        assert (await spent.gateway.ask("/v1/chat/completions", chat(max_tokens=5))).status == 200
        assert len(spent.one.received) == 1


async def test_an_answer_without_a_limit_is_given_one() -> None:
    """With a budget only, and in the field of the API."""
    async with spending() as spent:
        await spent.gateway.ask("/v1/chat/completions", chat())
        await spent.gateway.ask("/v1/chat/completions", chat(max_tokens=7))
        await spent.gateway.ask("/v1/responses", {"model": "small", "input": "x"})
        bodies = [json.loads(received.body) for received in spent.one.received]
        limits = [
            {name: body[name] for name in ("max_tokens", "max_completion_tokens", "max_output_tokens") if name in body}
            for body in bodies
        ]
        assert limits == [{"max_completion_tokens": 8192}, {"max_tokens": 7}, {"max_output_tokens": 8192}]
    async with two_providers() as (gateway, one, _):
        await gateway.ask("/v1/chat/completions", chat())
        assert b"max_" not in one.received[0].body


async def test_each_provider_pays_its_own_attempts() -> None:
    """A tenant pays the answer that it got; a budget of a provider what that one did."""
    text = """
budgets:
  all: {key: [route], store: memory, limits: [{tokens: 100000, window: month}]}
  each: {key: [provider], store: memory, limits: [{requests: 1, window: month}]}
"""
    async with spending(budgets=text) as spent:
        first = await spent.gateway.ask("/v1/chat/completions", chat())
        second = await spent.gateway.ask("/v1/chat/completions", chat())
        third = await spent.gateway.ask("/v1/chat/completions", chat())
        assert [answered.status for answered in (first, second, third)] == [200, 200, 429]
        assert [answered.noted.provider for answered in (first, second)] == ["one", "two"]
        assert spent.used == spent.served


async def test_tools_have_quotas() -> None:
    """Calls in answers count, and requests that offer what is used up are refused."""
    text = "tool_quotas: {searches: {key: [route], tools: [look_*], store: memory, limit: 1, window: day}}"
    async with spending(budgets=text) as spent:
        tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
        offered: dict[str, Any] = {"tools": tools, "tool_choice": "required"}
        first = await spent.gateway.ask("/v1/chat/completions", chat(**offered))
        assert first.noted.tool_calls == ("look_up",)
        again = await spent.gateway.ask("/v1/chat/completions", chat(**offered))
        assert (again.status, "1 call of tools per day" in again.json["error"]["message"]) == (429, True)
        assert (await spent.gateway.ask("/v1/chat/completions", chat())).status == 200


async def test_unknown_model_names_are_not_kept() -> None:
    """A client may make up as many as it likes where a provider takes any."""
    async with spending() as spent:
        spent.one.fault = spent.two.fault = "fail-404"
        for number in range(5):
            await spent.gateway.ask("/v1/chat/completions", chat(f"made-up-{number}"))
        assert list(spent.money.usage.by(["model"])) == [("one/*",)]


async def test_usage_is_summed_by_backend() -> None:
    """What /models/usage shows is what the providers counted."""
    async with spending() as spent:
        for stream in (True, False):
            await spent.gateway.ask("/v1/chat/completions", chat(stream=stream))
        ((name,), used) = next(iter(spent.money.usage.by(["model"]).items()))
        assert name == "one/small"
        assert (used.requests, used.input_tokens + used.output_tokens) == (2, spent.served)


@pytest.mark.parametrize("unit", ["tokens", "usd"])
async def test_what_goes_on_in_the_background_is_charged_as_reserved(unit: str, tmp_path: Path) -> None:
    """Its result is fetched later by its id, which is not counted: all that it may have, whatever is learned."""
    said = b'{"id":"resp_1","object":"response","status":"queued","output":[],"usage":null}'
    asked = {"model": "a", "input": "hi", "max_output_tokens": 700}
    (tmp_path / "prices.yaml").write_text("prices: {one/*: {input: 1, output: 2}}")
    text = (
        "providers: {one: {protocol: openai, base_url: 'http://127.0.0.1:%d/v1'}}\nprices: {file: prices.yaml}\n"
        "budgets: {all: {key: [route], limits: [{%s: 5000, window: day}]}}"
    )
    async with scripted_backend(answering(said)) as port, gateway(text % (port, unit), base=tmp_path) as made:
        noted = (await made.ask("/v1/responses", asked | {"background": True})).noted
        assert (noted.committed_micros, noted.estimated) == (noted.reserved_micros, True) or unit == "tokens"
        assert noted.committed_tokens == noted.reserved_tokens > 700 or unit == "usd"
        assert (await made.ask("/v1/responses", asked)).noted.committed_tokens < 700


async def test_a_fast_answer_costs_as_much_whatever_tier_is_said_beside_it() -> None:
    """A service tier that changes nothing does not hide the speed."""
    models = """
providers: {one: {protocol: anthropic, base_url: "http://127.0.0.1:%d", models: [claude-opus-4-8]}}
budgets: {all: {key: [route], store: memory, limits: [{usd: "1000", window: month}]}}
"""
    said = {"type": "message", "model": "claude-opus-4-8", "content": [], "stop_reason": "end_turn"}
    body = json.dumps({**said, "usage": {"input_tokens": 1000, "output_tokens": 1000}}).encode()
    asked = {"model": "claude-opus-4-8", "max_tokens": 2000, "messages": [{"role": "user", "content": "hi"}]}
    fast: dict[str, Any] = {"speed": "fast"}
    async with scripted_backend(answering(body)) as port, gateway(models % port) as made:
        costs = [
            (await made.ask("/v1/messages", asked | more)).noted.cost_micros
            for more in ({}, fast, fast | {"service_tier": "auto"}, fast | {"service_tier": None})
        ]
    assert costs[0] > 0
    assert costs[1:] == [2 * costs[0]] * 3


async def test_what_one_caller_sends_refuses_nobody_else() -> None:
    """An honest request passes as before, whatever was reported of those of others that the budget counts apart."""
    users = """
budgets:
  a: {key: ["header:x-user"], store: memory, output_reserve: requested, limits: [{tokens: 20000, window: day}]}
"""
    usage = {"prompt_tokens": 19_000, "completion_tokens": 1, "total_tokens": 19_001}
    message = {"role": "assistant", "content": "hi"}
    answer = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    honest = chat(messages=[{"role": "user", "content": "word " * 3000}], max_tokens=10)
    async with scripted_backend(answering(json.dumps(answer).encode())) as port:
        provider = f"providers: {{one: {{protocol: openai, base_url: http://127.0.0.1:{port}/v1, models: [small]}}}}\n"
        async with gateway(provider + users) as made:

            async def reserved(user: str) -> int:
                answered = await made.ask("/v1/chat/completions", honest, headers=[("x-user", user)])
                assert answered.status == 200
                return answered.noted.reserved_tokens

            first = await reserved("first")
            for number in range(5):
                await reserved(f"evil-{number}")
            assert await reserved("last") == first
