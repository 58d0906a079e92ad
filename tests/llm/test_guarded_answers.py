"""Guardrails on whole answers, whatever a server calls them, and however it cuts them into documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.demo_models import DemoModels, serving

from .support import chat, gateway
from .test_guarded_places import answered
from .test_guardrails import CARD, MODELS

HANGING = """
import asyncio

class Hanging:
    def on_text(self, text):
        text.exchange.deadline = asyncio.get_running_loop().time()  # as if the request had taken all of its time
        return self.ask()

    async def ask(self):
        await asyncio.Event().wait()
"""
ESCAPED = CARD.replace("4", "\\u0034")


@pytest.mark.parametrize("kind", [b"", b"text/plain", b"application/octet-stream", b"image/png", b"application/json"])
async def test_an_answer_is_read_as_what_it_is(kind: bytes, tmp_path: Path) -> None:
    """Servers leave out that it is JSON, or say something else: it is redacted as JSON, and stays JSON."""
    message = {"role": "assistant", "content": f"a {ESCAPED} b"}
    answer = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    body = json.dumps(answer).replace("\\\\u", "\\u").encode()
    got = await answered(tmp_path, ("/v1/chat/completions", "openai", chat()), body, kind)
    assert got.json["choices"][0]["message"]["content"] == "a [card] b"


async def test_a_stream_of_gemini_that_is_an_array_is_joined(tmp_path: Path) -> None:
    """Without `alt=sse` all of it comes as one document: a text that is cut is found, in each of two answers."""

    def part(text: str, index: int) -> dict[str, Any]:
        return {"candidates": [{"content": {"parts": [{"text": text}]}, "index": index}]}

    first, rest = CARD[:9], CARD[9:]
    body = [part(f"a {first}", 0), part("c 4111 ", 1), part(f"{rest} b", 0), part("d", 1)]
    asked = "/v1beta/models/small:streamGenerateContent", "gemini", {"contents": [{"parts": [{"text": "a"}]}]}
    got = await answered(tmp_path, asked, json.dumps(body).encode(), b"application/json")
    texts = [each["candidates"][0]["content"]["parts"][0]["text"] for each in got.json]
    assert texts == ["a [card]", "c 4111 ", " b", "d"]


@pytest.mark.parametrize("on", ["input", "output"])
async def test_one_that_does_not_answer_fails_when_the_request_has_to_end(
    on: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What it asks may be down: the request ends as after any failure of it, and the log says where it waited."""
    provider = DemoModels()
    async with serving(provider) as port:
        models = MODELS % ("openai", port, "/v1", "Hanging", f", on: {on}")
        async with gateway(models, base=tmp_path, sources={"guards.py": HANGING}) as made:
            failed = await made.ask("/v1/chat/completions", chat())
    assert (failed.status, failed.json["error"]["code"]) == (500, "guardrail_failed")
    assert len(provider.received) == (on == "output")
    line = next(record.getMessage() for record in caplog.records if "guardrail guard failed" in record.getMessage())
    assert f"TimeoutError at {tmp_path}/guards.py:" in line
