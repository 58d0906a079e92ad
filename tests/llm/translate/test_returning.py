"""Conversations that a translation took part in, at a provider that has the client's API."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.demo_models import DemoModels, serving
from gateway.llm.translate.returning import without_translated
from gateway.llm.translate.table import translation
from tests.llm.support import gateway

REASONED = {"reasoning_content": "2+2", "content": "4"}
CALLED = {**REASONED, "tool_calls": [{"id": "functions.f:0", "function": {"name": "f", "arguments": "{}"}}]}


def answered(source: str, message: dict[str, Any], **request: Any) -> Any:
    """What a client got of an answer of chat/completions."""
    found = translation(source, "openai")
    assert found is not None
    return orjson.loads(found.request(request, "small").answer(orjson.dumps({"choices": [{"message": message}]})))


def conversation(message: dict[str, Any], **more: Any) -> bytes:
    """The next request of Messages, which has that answer; written as no serialiser of ours would."""
    content = answered("anthropic.messages", message, messages=[], thinking={"type": "adaptive"})["content"]
    real = {"type": "thinking", "thinking": "hm", "signature": "EqQB"}
    turns = [
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": [real]},
        {"role": "assistant", "content": content},
    ]
    return b'{ "model":"claude" , "messages" : %b, "x":[1 ,2]%b}' % (
        orjson.dumps(turns),
        b"".join(b',"%b":%b' % (name.encode(), orjson.dumps(value)) for name, value in more.items()),
    )


def test_reasoning_of_a_translation_is_taken_out_and_real_thinking_kept() -> None:
    """The provider would refuse a signature that is none of its own; all but the messages is as it was."""
    body = without_translated("anthropic.messages", conversation(REASONED))
    assert body.startswith(b'{ "model":"claude" , "messages" : [')
    assert body.endswith(b', "x":[1 ,2]}')
    assert orjson.loads(body)["messages"][1:] == [
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "EqQB"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "4"}]},
    ]


def test_thinking_is_off_where_the_last_turn_can_no_longer_begin_with_it() -> None:
    """Anthropic refuses a final turn with calls that does not begin with its thinking, where thinking is enabled."""
    enabled = {"type": "enabled", "budget_tokens": 1024}
    edits = [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]
    body = conversation(CALLED, thinking=enabled, context_management={"edits": edits})
    document = orjson.loads(without_translated("anthropic.messages", body))
    assert document["thinking"] == {"type": "disabled"}
    assert document["context_management"] == {"edits": edits[1:]}
    adaptive = conversation(CALLED, thinking={"type": "adaptive"})
    assert orjson.loads(without_translated("anthropic.messages", adaptive))["thinking"] == {"type": "adaptive"}


def test_ids_of_calls_are_such_as_anthropic_takes() -> None:
    """The conversation may go on there."""
    content = answered("anthropic.messages", CALLED, messages=[])["content"]
    assert [block["id"] for block in content if block["type"] == "tool_use"] == ["functions_f_0"]


def test_sealed_reasoning_is_taken_out_of_responses() -> None:
    """OpenAI cannot read what it has not encrypted."""
    output = answered("openai.responses", REASONED, input="x", include=["reasoning.encrypted_content"])["output"]
    own = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "gAAA"}
    body = orjson.dumps({"input": [own, *output]})
    assert [item["type"] for item in orjson.loads(without_translated("openai.responses", body))["input"]] == [
        "reasoning",
        "message",
    ]


@pytest.mark.parametrize("api", ["anthropic.messages", "openai.responses", "openai.chat"])
def test_other_bodies_pass_byte_for_byte(api: str) -> None:
    """Also those that only quote a mark."""
    plain = b'{"messages":[{"role":"user","content":"hi"}]}'
    assert without_translated(api, plain) is plain
    quoting = conversation(REASONED).replace(b'"messages"', b'"other"').replace(b'"signature"', b'"quoted"')
    assert without_translated(api, quoting) == quoting


@pytest.mark.parametrize("odd", [None, 0, "x", [], {}, [[]], [{"type": []}, {"type": "tool_use"}]])
def test_odd_values_are_left_to_the_provider(odd: Any) -> None:
    """It is the provider that says what is wrong with a request in its own API."""
    document = orjson.loads(conversation(CALLED, thinking={"type": "enabled"}, context_management={"edits": [odd]}))
    document["messages"].append({"role": "assistant", "content": odd})
    document["messages"].append(odd)
    assert orjson.loads(without_translated("anthropic.messages", orjson.dumps(document)))["messages"][-1] == odd


async def test_a_conversation_goes_on_at_the_provider_of_the_clients_api() -> None:
    """After a time at another one, whose reasoning it has."""
    models = 'providers: {one: {protocol: anthropic, base_url: "http://127.0.0.1:%d", keys: [k]}}'
    async with serving(provider := DemoModels()) as port, gateway(models % port) as made:
        body = orjson.dumps({**orjson.loads(conversation(REASONED)), "max_tokens": 9})
        result = await made.ask("/v1/messages", body, headers=[("anthropic-version", "2023-06-01")])
    assert result.status == 200
    assert b"Y2hhdC1yZWFzb25pbmc6" not in provider.received[0].body
