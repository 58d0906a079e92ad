"""Guardrails on whole answers, whatever a server calls them, and however it cuts them into documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .support import chat
from .test_guarded_places import answered
from .test_guardrails import CARD

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
