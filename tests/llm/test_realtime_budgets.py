"""Budgets let in the opening of a session in real time as they do a request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.demo_models import DemoModels, serving
from tests.llm.support import HANDSHAKE, Gateway, chat, gateway

MODELS = """
providers: {one: {protocol: openai, base_url: "http://127.0.0.1:%d/v1", keys: [key-of-one], models: [small, talk]}}
budgets: {all: {key: [route], store: memory, output_reserve: requested, limits: [{%s, window: day}]}}
"""


@asynccontextmanager
async def limited(limit: str) -> AsyncIterator[Gateway]:
    async with serving(DemoModels()) as port, gateway(MODELS % (port, limit)) as made:
        yield made


async def opening(gateway: Gateway) -> tuple[int, str]:
    """The status of a handshake, whose session is closed at once, and the refusal."""
    exchange, response = await gateway.open("/v1/realtime?model=talk", headers=HANDSHAKE, websocket=True)
    exchange.close()
    if response.session is not None:
        return 101, ""
    assert isinstance(response.body, bytes)
    return response.status, json.loads(response.body)["error"]["message"]


async def test_a_session_counts_as_one_request() -> None:
    """In a budget of requests, which refuses the next session when it is used up, and the next request."""
    async with limited("requests: 2") as gateway:
        assert [(await opening(gateway))[0] for _ in range(3)] == [101, 101, 429]
        assert (await gateway.ask("/v1/chat/completions", chat())).status == 429


async def test_a_used_up_budget_of_tokens_refuses_a_session() -> None:
    """With the budget's name, as it refuses a request; up to then a session is let in, and charged nothing."""
    async with limited("tokens: 300") as gateway:
        assert gateway.snapshot.money is not None
        ledger = gateway.snapshot.money.budgets.budgets[0].limits[0].ledger
        ledger.add("=models", 299)
        assert [(await opening(gateway))[0] for _ in range(2)] == [101, 101]
        ledger.add("=models", 1)
        status, said = await opening(gateway)
        assert (status, "the budget all" in said, ledger.assume("=models")) == (429, True, 300)


async def test_an_unpriced_model_opens_no_session_within_a_budget_in_money() -> None:
    """As it is asked nothing else there."""
    async with limited("usd: 5") as gateway:
        status, said = await opening(gateway)
        assert (status, "the price of talk is not known" in said) == (403, True)


async def test_an_open_session_holds_nothing() -> None:
    """However long it is open: it was counted when it was opened."""
    async with limited("tokens: 300") as gateway:
        exchange, response = await gateway.open("/v1/realtime?model=talk", headers=HANDSHAKE, websocket=True)
        assert response.session is not None
        assert gateway.snapshot.money is not None
        assert gateway.snapshot.money.budgets.tally.open == 0
        exchange.close()
        assert gateway.snapshot.money.budgets.tally.open == 0
