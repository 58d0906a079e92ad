"""What is charged of answers that go on without a connection, and which of them a budget refuses."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.llm.apis import find
from gateway.llm.background import unbounded
from gateway.llm.request import BadBody, read
from tests.llm.support import answering, gateway
from tests.support import free_port, scripted_backend

QUEUED = b'{"id":"resp_1","object":"response","status":"queued","output":[],"usage":null}'
ASKED = {"model": "a", "input": "hi", "max_output_tokens": 700, "background": True}
ONE = "providers: {one: {protocol: openai, base_url: 'http://127.0.0.1:%d/v1'}}\nprices: {unknown: free}\n"
BUDGET = "budgets: {all: {key: [route], store: memory, limits: [{%s: 5000, window: day}]}}"


async def test_a_budget_gives_no_more_to_what_is_fetched_later() -> None:
    """However little usual answers have."""
    closing = b"Content-Type: application/json\r\nConnection: close\r\n"
    async with scripted_backend(answering(QUEUED, closing)) as port, gateway(ONE % port + BUDGET % "tokens") as made:
        asked = [await made.ask("/v1/responses", ASKED) for _ in range(10)]
        charged = [answered.noted.committed_tokens for answered in asked if answered.status == 200]
        assert len(charged) == 6
        assert min(charged) >= 700


async def test_the_input_is_no_cheaper_than_any_tokenizer_makes_it() -> None:
    """Text of rare words has nearly as many tokens as bytes, which nobody would learn of."""
    long = "".join(chr(0x4E00 + number) for number in range(500))
    async with scripted_backend(answering(QUEUED)) as port, gateway(ONE % port + BUDGET % "tokens") as made:
        noted = (await made.ask("/v1/responses", {**ASKED, "input": long})).noted
        assert noted.committed_tokens >= 1500 + 700
        refused = await made.ask("/v1/responses", {**ASKED, "input": long * 2})
        assert (refused.status, "more than it ever has" in refused.json["error"]["message"]) == (429, True)


@pytest.mark.parametrize(
    ("more", "member"),
    [
        ({"previous_response_id": "resp_0"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "function", "name": "f"}, {"type": "mcp"}]}, "tools"),
        ({"tools": [{"type": "function", "Type": "web_search"}]}, "tools"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://a"}]}]}, "input"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
        ({"input": [{"id": "msg_1"}]}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file"}]}]}, "input"),
        ({"instructions": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "instructions"),
    ],
)
@pytest.mark.parametrize("unit", ["tokens", "usd", "requests"])
async def test_what_has_no_bound_is_refused_within_a_budget(more: dict[str, Any], member: str, unit: str) -> None:
    """As batches are; in a budget of requests it counts as one. Nothing is sent."""
    async with scripted_backend(answering(QUEUED)) as port, gateway(ONE % port + BUDGET % unit) as made:
        answered = await made.ask("/v1/responses", {**ASKED, **more})
        if unit == "requests":
            assert answered.status == 200
        else:
            assert answered.status == 403
            error = answered.json["error"]
            assert (error["code"], error["param"]) == ("background_not_allowed", member)
            assert "the budget all" in error["message"]
            assert (await made.ask("/v1/responses", {**ASKED, **more, "background": False})).status == 200


async def test_a_budget_in_shadow_mode_says_that_it_would_have_refused_it() -> None:
    """And lets it pass."""
    shadow = BUDGET.replace("key:", "mode: shadow, key:") % "tokens"
    async with scripted_backend(answering(QUEUED)) as port, gateway(ONE % port + shadow) as made:
        answered = await made.ask("/v1/responses", {**ASKED, "previous_response_id": "resp_0"})
        assert answered.status == 200
        assert [each.verdict for each in answered.exchange.decisions if each.rule == "budget:all"] == ["shadow-deny"]


def test_what_says_how_much_it_may_take_is_bounded() -> None:
    """Texts, and functions that the client runs."""
    call = find("POST", "/v1/responses")
    assert call is not None
    said = [
        {"role": "user", "content": "hi"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "b"}]},
    ]
    more = {"tools": [{"type": "function", "name": "f"}], "previous_response_id": None, "reasoning": {"effort": "low"}}
    for document in (ASKED, {**ASKED, **more, "input": said, "instructions": "be brief"}):
        assert unbounded(read(call, json.dumps(document).encode())) == ""


async def test_a_deferred_chat_is_refused_within_a_budget() -> None:
    """Its answer is fetched from a path that the gateway does not have."""
    asked = {"model": "a", "messages": [], "deferred": True}
    said = answering(b'{"request_id":"f15c114e"}')
    async with scripted_backend(said) as port, gateway(ONE % port + BUDGET % "tokens") as made:
        answered = await made.ask("/v1/chat/completions", asked)
        assert (answered.status, answered.json["error"]["code"]) == (403, "background_not_allowed")
    async with scripted_backend(said) as port, gateway(ONE % port) as made:
        assert (await made.ask("/v1/chat/completions", asked)).status == 200


@pytest.mark.parametrize("body", [b'{"model":"a","background":"true"}', b'{"model":"a","background":1}'])
def test_what_some_servers_take_for_true_is_refused(body: bytes) -> None:
    """It would go on there, and be charged as what does not."""
    call = find("POST", "/v1/responses")
    assert call is not None
    with pytest.raises(BadBody, match="`background` must be true or false"):
        read(call, body)


def test_a_member_that_is_there_twice_is_sent_as_it_was_read() -> None:
    """Servers differ in which of them they take."""
    call = find("POST", "/v1/responses")
    assert call is not None
    request = read(call, b'{"background":true,"model":"a","background":false}')
    assert (request.background, b"true" in request.body) == (False, False)


async def test_an_answer_that_came_at_once_is_charged_as_it_reports() -> None:
    """Some servers do not know the member; where they report nothing, all that it may have is charged."""
    said = {"object": "response", "status": "completed", "output": [], "usage": {"input_tokens": 9, "output_tokens": 8}}
    for usage, charged in (({"input_tokens": 9, "output_tokens": 8}, range(17, 18)), (None, range(700, 900))):
        body = json.dumps({**said, "usage": usage}).encode()
        async with scripted_backend(answering(body)) as port, gateway(ONE % port + BUDGET % "tokens") as made:
            assert (await made.ask("/v1/responses", ASKED)).noted.committed_tokens in charged


TWO = """
providers:
  cheap: {protocol: openai, base_url: 'http://127.0.0.1:%d/v1', models: [a]}
  dear: {protocol: openai, base_url: 'http://127.0.0.1:%d/v1', models: [a]}
prices: {file: prices.yaml}
model_routing: {default: both, profiles: {both: {preferProviders: [cheap, dear]%s}}}
budgets: {each: {key: [provider], store: memory, limits: [{usd: "1", window: day}]}}
"""


async def test_a_dearer_provider_is_charged_by_its_own_price(tmp_path: Path) -> None:
    """Also where the request comes to it after another one failed."""
    (tmp_path / "prices.yaml").write_text("prices: {cheap/*: {input: 1, output: 2}, dear/*: {input: 10, output: 20}}")
    async with (
        scripted_backend(answering(QUEUED)) as port,
        gateway(TWO % (free_port(), port, ""), base=tmp_path) as made,
    ):
        noted = (await made.ask("/v1/responses", ASKED)).noted
        assert noted.provider == "dear"
        assert noted.committed_micros >= 700 * 20


async def test_a_hedge_that_wins_is_charged_as_the_first_attempt_is(tmp_path: Path) -> None:
    """It goes on in the background, too."""
    (tmp_path / "prices.yaml").write_text("prices: {'*/*': {input: 1, output: 2}}")

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with (
        scripted_backend(silent) as slow,
        scripted_backend(answering(QUEUED)) as port,
        gateway(TWO % (slow, port, ", hedge: 50ms"), base=tmp_path) as made,
    ):
        noted = (await made.ask("/v1/responses", ASKED)).noted
        assert noted.provider == "dear"
        assert noted.committed_micros >= 700 * 2
