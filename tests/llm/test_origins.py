"""What goes back to the provider that made it, though it does not say so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.http.testing import make_exchange
from gateway.llm.affinity import Origin
from gateway.llm.origins import Origins
from tests.llm.support import PROVIDERS, two_providers
from tests.llm.test_affinity import SECRET

ANTHROPIC = """
providers:
  one: {protocol: anthropic, base_url: http://127.0.0.1:%d, keys: [key-of-one]}
  two: {protocol: anthropic, base_url: http://127.0.0.1:%d, keys: [key-of-two]}
modelRouting: {default: fast, profiles: {fast: {preferProviders: [one, two]}}}
"""
THINKING: dict[str, Any] = {
    "model": "small",
    "max_tokens": 2000,
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "messages": [{"role": "user", "content": "Say hi"}],
}


def signature_in(body: bytes) -> str:
    """The one of an answer, whole or streamed."""
    return body.rpartition(b'"signature":"')[2].partition(b'"')[0].decode()


def following(signature: str) -> dict[str, Any]:
    """The request after an answer with such thinking."""
    blocks = [{"type": "thinking", "thinking": "Hm", "signature": signature}, {"type": "text", "text": "Hi"}]
    messages = [*THINKING["messages"], {"role": "assistant", "content": blocks}, {"role": "user", "content": "More"}]
    return THINKING | {"messages": messages}


@pytest.mark.parametrize("stream", [False, True])
async def test_thinking_goes_back_to_who_signed_it(stream: bool) -> None:
    """Whichever provider is preferred, with not a byte changed; where that one fails, no other one is asked."""
    async with two_providers(ANTHROPIC) as (made, one, two):
        one.fault, two.fault = "fail-500", "think"
        first = await made.ask("/v1/messages", THINKING | {"stream": stream})
        assert (first.status, first.noted.provider) == (200, "two"), first.body
        signature = signature_in(first.body)
        assert signature.startswith("signed-")
        one.fault = ""
        one.received.clear()
        body = following(signature)
        assert (await made.ask("/v1/messages", body)).noted.provider == "two"
        assert json.loads(two.received[-1].body) == body
        assert not one.received
        assert (await made.ask("/v1/messages", following("of somebody else"))).noted.provider == "one"
        two.fault = "fail-500"
        one.received.clear()
        failed = await made.ask("/v1/messages", body)
        assert (failed.status, b"known to one provider only" in failed.body, list(one.received)) == (503, True, [])


@pytest.mark.parametrize("stream", [False, True])
async def test_an_item_is_asked_of_who_made_it(stream: bool) -> None:
    """One that is referred to by its id alone; no provider is guessed for an unknown one."""
    body = {"model": "small", "input": "Say hi", "stream": stream}
    async with two_providers(PROVIDERS + SECRET) as (made, one, _):
        one.fault = "fail-500"
        first = await made.ask("/v1/responses", body)
        assert first.noted.provider == "two", first.body
        id = first.body.partition(b'"id":"msg_')[2].partition(b'"')[0]
        id = id or first.body.partition(b'"id": "msg_')[2].partition(b'"')[0]
        one.fault = ""
        item = {"type": "item_reference", "id": f"msg_{id.decode()}"}
        answered = await made.ask("/v1/responses", {"model": "small", "input": [item]})
        assert (answered.status, answered.noted.provider) == (200, "two"), answered.body
        one.received.clear()
        for unknown, param in (
            ({"input": [item | {"id": "msg_unknown"}]}, "input"),
            ({"input": "Hi", "previous_response_id": "resp_unknown"}, "previous_response_id"),
        ):
            refused = await made.ask("/v1/responses", {"model": "small", **unknown})
            assert (refused.status, refused.json["error"]["param"]) == (400, param)
            assert refused.json["error"]["code"] == "previous_response_not_found"
        assert not one.received


def test_what_is_remembered_is_bounded_and_of_its_caller() -> None:
    """The longest unused goes first."""
    origins, exchange = Origins(most=2), make_exchange()
    one, two = Origin("one", "k"), Origin("two", "k")
    origins.note([b"a", b"b"], one, exchange)
    assert origins.of([b"a"], exchange) == one
    origins.note([b"c"], two, exchange)
    assert [origins.of([each], exchange) for each in (b"a", b"b", b"c")] == [one, None, two]
    assert origins.of([b"b", b"c"], exchange) == two
