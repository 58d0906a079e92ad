"""What is charged where a provider reports the tokens of its answer, and not those of the request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.llm.support import answering, chat, gateway
from tests.support import scripted_backend

MODELS = "providers: {one: {protocol: %s, base_url: 'http://127.0.0.1:%d%s', keys: [key-of-one]}}\n"
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
CHUNKS: list[dict[str, Any]] = [
    {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"completion_tokens": 7}},
]
MESSAGE = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
}
EVENTS = b"Content-Type: text/event-stream\r\n"


@pytest.mark.parametrize("tokens", [{}, {"prompt_tokens": 0}, {"prompt_tokens": None}, {"prompt_tokens": "5"}])
async def test_a_request_is_not_free_because_its_tokens_are_not_reported(tokens: dict[str, Any]) -> None:
    """They are estimated, and the record says so; what is reported of the answer counts."""
    body = json.dumps({"choices": [CHOICE], "usage": {"completion_tokens": 7} | tokens}).encode()
    async with scripted_backend(answering(body)) as port, gateway(MODELS % ("openai", port, "/v1")) as made:
        noted = (await made.ask("/v1/chat/completions", chat())).noted
    assert (noted.output_tokens, noted.estimated) == (7, True)
    assert noted.input_tokens > 5


async def test_the_same_of_a_stream_and_of_messages() -> None:
    """Whatever the API, and however it comes."""
    events = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in CHUNKS) + b"data: [DONE]\n\n"
    async with scripted_backend(answering(events, EVENTS)) as port, gateway(MODELS % ("openai", port, "/v1")) as made:
        noted = (await made.ask("/v1/chat/completions", chat(stream=True))).noted
    assert (noted.input_tokens > 5, noted.output_tokens, noted.estimated) == (True, 7, True)
    message = json.dumps(MESSAGE | {"usage": {"output_tokens": 7}}).encode()
    async with scripted_backend(answering(message)) as port, gateway(MODELS % ("anthropic", port, "")) as made:
        noted = (await made.ask("/v1/messages", chat(max_tokens=9))).noted
    assert (noted.input_tokens > 5, noted.output_tokens, noted.estimated) == (True, 7, True)


async def test_what_is_reported_in_full_is_charged_as_it_is() -> None:
    """Also where there is no answer to count, as of embeddings."""
    body = b'{"data": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}}'
    async with scripted_backend(answering(body)) as port, gateway(MODELS % ("openai", port, "/v1")) as made:
        noted = (await made.ask("/v1/embeddings", {"model": "small", "input": "a"})).noted
    assert (noted.input_tokens, noted.output_tokens, noted.estimated) == (3, 0, False)
