"""What responses say of who answered, and that streams which are read on without their client are counted once."""

from __future__ import annotations

import pytest

from gateway.monitor.model_traffic import ModelTraffic
from tests.llm.support import PROVIDERS, Gateway, chat, two_providers
from tests.support import eventually

HEADERS = {"x-gateway-profile", "x-gateway-model-backend", "x-gateway-switched"}


def counted(gateway: Gateway) -> ModelTraffic:
    assert gateway.snapshot.money is not None
    return gateway.snapshot.money.traffic


@pytest.mark.parametrize("stream", [False, True])
async def test_headers_say_who_answered_and_why_not_another_one(stream: bool) -> None:
    """Profile, backend and, where one failed before, that one with the reason."""
    async with two_providers() as (gateway, one, _):
        first = await gateway.ask("/v1/chat/completions", chat(stream=stream))
        one.fault = "fail-529"
        second = await gateway.ask("/v1/chat/completions", chat(stream=stream))
    said = [{name: value for name, value in each.headers.items() if name in HEADERS} for each in (first, second)]
    assert said == [
        {"x-gateway-profile": "fast", "x-gateway-model-backend": "one/small"},
        {
            "x-gateway-profile": "fast",
            "x-gateway-model-backend": "two/small",
            "x-gateway-switched": "one/*; reason=overloaded",
        },
    ]


async def test_headers_can_be_left_out() -> None:
    """With `response_headers: false` responses say nothing of providers."""
    async with two_providers(PROVIDERS + "response_headers: false\n") as (gateway, one, _):
        one.fault = "fail-529"
        answered = await gateway.ask("/v1/chat/completions", chat())
    assert answered.status == 200
    assert HEADERS.isdisjoint(answered.headers)


@pytest.mark.parametrize(("mode", "tokens"), [("cancel", None), ("drain", 30)])
async def test_a_stream_whose_client_left_is_counted_once(mode: str, tokens: int | None) -> None:
    """Cancelled, what had come counts; drained, all of it, when it is whole; in metrics as in the table of usage."""
    async with two_providers(PROVIDERS + f"on_disconnect: {mode}\n") as (gateway, _, _):
        exchange, response = await gateway.open("/v1/chat/completions", chat("small+words-30+slow-5", stream=True))
        assert not isinstance(response.body, bytes)
        await response.body.read()
        response.body.close()
        exchange.close()
        traffic = counted(gateway)
        await eventually(lambda: bool(traffic.rows))
        ((place, sums),) = traffic.rows.items()
        assert place == ("models", "", "one/*")
        assert 0 < sums.output_tokens < 30 if tokens is None else sums.output_tokens == tokens
        assert sums.estimated == (tokens is None)
        money = gateway.snapshot.money
        assert money is not None
        (used,) = money.usage.by(["model"]).values()
        assert (used.requests, used.output_tokens) == (1, sums.output_tokens)
