"""Requests pass through to a provider that speaks their protocol, with its key, and are else as they were."""

from __future__ import annotations

from typing import Any

import pytest

from tests.llm.support import chat, two_providers


async def test_a_chat_request_reaches_the_provider_with_its_key() -> None:
    """The client's own is not sent on, wherever it was, and the body is the same to the byte."""
    body = b'{ "model":"small",\n "messages" : [{"role":"user","content":"Say \\u00fc hi"}] }'
    headers = [("Authorization", "Bearer mine"), ("x-api-key", "mine"), ("Cookie", "a=mine"), ("X-Own", "1")]
    async with two_providers() as (gateway, one, _):
        answered = await gateway.ask("/v1/chat/completions?key=mine&a=1", body, headers=headers)
        assert answered.status == 200, answered.body
        (received,) = one.received
    assert received.body == body
    assert received.headers["authorization"] == "Bearer key-of-one"
    assert received.headers["x-own"] == "1"
    assert "mine" not in str(received.headers) + received.query
    assert received.query == "a=1"
    assert "192.0.2.1" not in str(received.headers)  # nor where the client is
    assert answered.json["choices"][0]["message"]["role"] == "assistant"
    assert answered.headers["x-gateway-model-backend"] == "one/small"
    noted = answered.noted
    assert (noted.input_tokens, noted.output_tokens) == (one.completed.input, one.completed.output)
    assert (noted.backend, noted.estimated, noted.finished) == ("one/*", False, True)


@pytest.mark.parametrize("asked", [True, False])
async def test_a_stream_passes_and_its_usage_is_read(*, asked: bool) -> None:
    """The chunk with the usage is the client's only where it asked for it."""
    wanted: dict[str, Any] = {"stream_options": {"include_usage": True}} if asked else {}
    async with two_providers() as (gateway, one, _):
        answered = await gateway.ask("/v1/chat/completions", chat(stream=True, **wanted))
        assert b'"include_usage":true' in one.received[0].body.replace(b" ", b"")
    assert answered.status == 200
    assert answered.body.endswith(b"data: [DONE]\n\n")
    assert (b'"prompt_tokens"' in answered.body) is asked
    noted = answered.noted
    assert (noted.input_tokens, noted.output_tokens) == (one.completed.input, one.completed.output)
    assert noted.streamed
    assert noted.finished
    assert noted.first_token_seconds is not None


async def test_an_alias_is_replaced_by_the_name_at_the_provider() -> None:
    """Nothing else of the body changes."""
    models = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, keys: [k]}
  two: {protocol: anthropic, base_url: http://127.0.0.1:%d, keys: [k]}
aliases: {default-chat: {one: small-1, two: small-2}}
"""
    body = b'{"messages":[{"role":"user","content":"model"}], "model" : "default-chat"  ,"max_tokens":5}'
    async with two_providers(models) as (gateway, one, two):
        answered = await gateway.ask("/v1/chat/completions", body)
        assert answered.status == 200, answered.body
        assert one.received[0].body == body.replace(b'"default-chat"', b'"small-1"')
        answered = await gateway.ask("/v1/messages", body, headers=[("anthropic-version", "2023-06-01")])
        assert answered.status == 200, answered.body
        assert two.received[0].body == body.replace(b'"default-chat"', b'"small-2"')
        assert two.received[0].headers["x-api-key"] == "k"
        assert two.received[0].headers["anthropic-version"] == "2023-06-01"
