"""Prompts and answers in the log, only as far as they are asked for."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.http import Identity
from gateway.http.model_record import Content
from gateway.http.testing import make_exchange
from gateway.llm.content import contents_of
from gateway.monitor.model_summary import content, summary
from gateway.monitor.telemetry.genai import GENAI
from tests.llm.support import PROVIDERS, Answered, answering, chat, gateway, two_providers
from tests.support import scripted_backend

FAILING = """
from pydantic import BaseModel

class Failing:
    class Config(BaseModel):
        on: str = ""

    def __init__(self, config: Config) -> None:
        self.on = config.on

    def on_text(self, text):
        if text.stage == self.on:
            raise ValueError
"""
BODY = json.dumps(chat()).encode()


def hashed(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


async def asked(config: str, body: bytes = BODY, path: str = "/v1/chat/completions") -> Answered:
    async with two_providers(f"{PROVIDERS}{config}\n") as (made, _, _):
        return await made.ask(path, body)


async def test_nothing_is_kept_unless_it_is_asked_for() -> None:
    """Without `content` there is no prompt and no answer in what is logged and sent."""
    noted = (await asked("")).noted
    assert noted.content is None
    assert content(noted) == {}
    assert "Say hi" not in str(summary(noted)) + str({name: get(noted) for name, get in GENAI.items()})


@pytest.mark.parametrize("stream", [False, True])
async def test_full_is_what_was_sent_and_answered(stream: bool) -> None:
    """Both bodies as they are, whole and streamed, in the log and in spans, and not in what the admin port shows."""
    body = json.dumps(chat(stream=stream)).encode()
    answered = await asked("content: full", body)
    expected: dict[str, Any] = {"prompt": body.decode(), "answer": answered.body.decode()}
    assert content(answered.noted) == expected
    assert (GENAI["gateway.prompt"](answered.noted), GENAI["gateway.answer"](answered.noted)) == (*expected.values(),)
    assert "Say hi" not in str(summary(answered.noted))


@pytest.mark.parametrize("mode", ["hash", "redacted"])
async def test_hashes_are_of_all_of_it(mode: str) -> None:
    """`hash`, and `redacted` where no guardrail has looked, have the SHA-256 of the bodies, however long."""
    answered = await asked(f"content: {{mode: {mode}, max_size: 1KiB}}", json.dumps(chat("small+words-900")).encode())
    assert answered.noted.content == Content(
        hashed(json.dumps(chat("small+words-900")).encode()), hashed(answered.body)
    )
    assert len(answered.body) > 1024


@pytest.mark.parametrize("failing", ["input", "output", "stream"])
async def test_what_a_guardrail_has_not_seen_is_hashed(failing: str, tmp_path: Path) -> None:
    """One that fails, and lets pass what it could not look at, leaves nothing redacted."""
    models = PROVIDERS.replace("[one, two]}", "[one, two], guardrails: [failing]}")
    models += f'guardrails: {{failing: {{policy: "guards.py:Failing", config: {{on: {failing}}}, on_failure: pass}}}}\n'
    stream = failing == "stream"
    async with two_providers(f"{models}content: redacted\n", base=tmp_path, sources={"guards.py": FAILING}) as (
        made,
        *_,
    ):
        answered = await made.ask("/v1/chat/completions", chat(stream=stream))
    kept = answered.noted.content
    assert kept is not None
    prompt, answer = json.dumps(chat(stream=stream)), answered.body.decode()
    assert kept.prompt == (hashed(prompt.encode()) if failing == "input" else prompt)
    assert kept.answer == (hashed(answered.body) if failing != "input" else answer)


async def test_a_whole_answer_to_a_request_for_a_stream_is_no_stream(tmp_path: Path) -> None:
    """Guardrails of streams do not look at it, so that it is hashed."""
    answer = {"id": "x", "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}
    body = json.dumps(answer).encode()
    async with scripted_backend(answering(body)) as port:
        models = PROVIDERS.replace("[one, two]}", "[one], guardrails: [none]}") % (port, port)
        models += 'guardrails: {none: {policy: "guards.py:Failing", on: [input, stream]}}\ncontent: redacted\n'
        async with gateway(models, base=tmp_path, sources={"guards.py": FAILING}) as made:
            answered = await made.ask("/v1/chat/completions", chat(stream=True))
    assert answered.body == body
    assert answered.noted.content == Content(json.dumps(chat(stream=True)), hashed(body))


async def test_texts_are_cut() -> None:
    """Of a long answer as much as `max_size` says is kept, and how long it was."""
    answered = await asked("content: {mode: full, max_size: 100B}", json.dumps(chat("small+words-900")).encode())
    assert answered.noted.content is not None
    size = len(answered.body)
    assert answered.noted.content.answer == f"{answered.body[:100].decode()} ... ({size} bytes)"


async def test_a_refusal_has_its_prompt_only() -> None:
    """What is refused before a provider is asked has a prompt; what cannot be read has none."""
    body = json.dumps(chat("no-such-model\n")).encode()
    assert (await asked("content: full", body)).noted.content == Content(body.decode(), None)
    assert (await asked("content: full", b"{")).record is None


async def test_routes_and_tenants_decide() -> None:
    """A route may have another mode than the rest, and of some tenants nothing is ever kept."""
    config = "content: {mode: full, routes: {models: hash}, never_of: [bank]}"
    answered = await asked(config)
    assert answered.noted.content is not None
    assert answered.noted.content.prompt == hashed(BODY)
    async with two_providers(f"{PROVIDERS}{config}\n") as (made, _, _):
        models = made.snapshot.configuration.models
        assert models is not None
        contents = contents_of(models)
    assert contents is not None

    class Going:
        exchange = make_exchange(route="models")

    Going.exchange.identity = Identity("app", "keys", "bank")
    assert contents.begin(Going) is None  # type: ignore[arg-type]
