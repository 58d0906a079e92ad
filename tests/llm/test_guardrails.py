"""Guardrails: what is sent and what comes, whole and in streams, is redacted, refused, or only counted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.config.problems import ConfigError
from gateway.demo_models import DemoModels, serving

from .support import PROVIDERS, Answered, Gateway, chat, gateway, two_providers

CARD = "4111 1111 1111 1111"
POLICIES = """
import re
from pydantic import BaseModel
from gateway.llm.guardrails import Redact, Refuse, Text, Verdict

CARD = re.compile(r"\\d(?:[ -]?\\d){12,15}")

class NoCards:
    window = 40

    def on_text(self, text: Text) -> Verdict:
        return Redact.matches(CARD.finditer(text.text), "[card]")

class Refusing:
    class Config(BaseModel):
        word: str = "secret"

    def __init__(self, config: Config) -> None:
        self.config = config

    def on_text(self, text: Text) -> Verdict:
        return Refuse("not that word") if self.config.word in text.text else None

class Tools:
    def on_text(self, text: Text) -> Verdict:
        return Refuse("no such tool") if text.kind == "tool" and text.tool == "delete" else None

class Input:
    async def before_model(self, text: Text) -> Verdict:
        return Redact(((0, len(text.text), f"<{text.role}>"),))

class Broken:
    def on_text(self, text: Text) -> Verdict:
        raise ValueError(text.text)

class Wrong:
    def before_model(self, text):
        return f"Hidden: {text.text}"
    after_model = on_text = before_model

class Waiting:
    async def on_text(self, text: Text) -> Verdict:
        return None

class Nothing:
    pass

class Wide:
    def on_text(self, text: Text, stage: str) -> Verdict:
        return None
"""
MODELS = """
providers: {one: {protocol: %s, base_url: "http://127.0.0.1:%d%s", keys: [key-of-one]}}
modelRouting: {default: fast, profiles: {fast: {guardrails: [guard]}}}
guardrails: {guard: {policy: "guards.py:%s"%s}}
"""


@asynccontextmanager
async def guarded(
    directory: Path, name: str, *, protocol: str = "openai", others: str = ""
) -> AsyncIterator[tuple[Gateway, DemoModels]]:
    provider = DemoModels()
    async with serving(provider) as port:
        models = MODELS % (protocol, port, "/v1" if protocol == "openai" else "", name, others)
        async with gateway(models, base=directory, sources={"guards.py": POLICIES}) as made:
            yield made, provider


def decisions(answered: Answered) -> list[tuple[str, str, str]]:
    return [
        (each.rule, each.verdict, each.reason)
        for each in answered.exchange.decisions
        if each.rule.startswith("guardrail:")
    ]


def said(text: str, **others: Any) -> dict[str, Any]:
    return chat(messages=[{"role": "user", "content": text}], **others)


def streamed(answered: Answered) -> str:
    """The text of a stream of chat."""
    found = ""
    for line in answered.body.decode().split("\n"):
        if line.startswith("data: {"):
            for choice in json.loads(line[6:]).get("choices", ()):
                found += choice["delta"].get("content") or ""
    return found


async def test_a_request_is_sent_without_what_is_redacted(tmp_path: Path) -> None:
    """Only the text is another one: every other byte of the body is as it was sent."""
    body = b'{"messages": [{"role":"user","content":"pay with \\u0034111 1111 1111 1111!"}],  "model":"small"}'
    async with guarded(tmp_path, "NoCards") as (made, provider):
        answered = await made.ask("/v1/chat/completions", body)
        assert answered.status == 200
        assert answered.json["choices"][0]["message"]["content"] == "You said: pay with [card]!"
        sent = provider.received[-1].body
        assert sent == b'{"messages": [{"role":"user","content":"pay with [card]!"}],  "model":"small"}'
        assert decisions(answered) == [("guardrail:guard", "allow", "redacts input")]


async def test_a_refused_request_is_not_sent(tmp_path: Path) -> None:
    """The client gets an error in its format, and nothing is charged."""
    async with guarded(tmp_path, "Refusing") as (made, provider):
        answered = await made.ask("/v1/chat/completions", said("the secret word"))
        assert (answered.status, answered.json["error"]["code"]) == (400, "content_refused")
        assert answered.json["error"]["message"] == "not that word"
        assert not provider.received
        assert answered.noted.failure == "policy"
        assert answered.noted.committed_tokens == 0
        assert decisions(answered) == [("guardrail:guard", "deny", "refuses input")]


@pytest.mark.parametrize(
    ("path", "protocol", "body", "of"),
    [
        ("/v1/chat/completions", "openai", chat(), lambda body, parts: body["messages"][0].update(content=parts)),
        ("/v1/responses", "openai", {"model": "small"}, lambda body, parts: body.update(input=[{"content": parts}])),
        ("/v1/messages", "anthropic", chat(max_tokens=5), lambda body, parts: body.update(system=parts)),
        (
            "/v1beta/models/a:generateContent",
            "gemini",
            {},
            lambda body, parts: body.update(contents=[{"parts": parts}]),
        ),
    ],
)
async def test_a_text_in_parts_of_one_message_is_found(
    path: str, protocol: str, body: dict[str, Any], of: Any, tmp_path: Path
) -> None:
    """A number that begins in one part and ends in another is taken out of both; a picture between them hides none."""
    body = json.loads(json.dumps(body))
    picture = {"type": "image", "source": {"data": "AAAA"}}
    of(body, [{"type": "text", "text": "a 4111 1111 "}, picture, {"type": "text", "text": "1111 1111 b"}])
    async with guarded(tmp_path, "NoCards", protocol=protocol) as (made, provider):
        await made.ask(path, body)
        sent = provider.received[-1].body
    assert json.loads(sent) == json.loads(json.dumps(body).replace("4111 1111 ", "[card]").replace("1111 1111", ""))


async def test_parts_of_other_messages_are_not_joined(tmp_path: Path) -> None:
    """Each message is checked by itself, and parts are refused for what they say together."""
    split = [{"type": "text", "text": "the sec"}, {"type": "text", "text": "ret word"}]
    async with guarded(tmp_path, "Refusing") as (made, provider):
        refused = await made.ask("/v1/chat/completions", chat(messages=[{"role": "user", "content": split}]))
        assert (refused.status, refused.json["error"]["message"]) == (400, "not that word")
        messages = [{"role": "user", "content": [part]} for part in split]
        assert (await made.ask("/v1/chat/completions", chat(messages=messages))).status == 200
        assert len(provider.received) == 1


async def test_the_role_of_a_text_is_known(tmp_path: Path) -> None:
    """Also where the method waits."""
    async with guarded(tmp_path, "Input", others=", on: input") as (made, provider):
        messages = [{"role": "system", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]}]
        await made.ask("/v1/chat/completions", chat(messages=messages))
        sent = json.loads(provider.received[-1].body)["messages"]
        assert sent[0]["content"] == "<system>"
        assert sent[1]["content"][0] == {"type": "text", "text": "<user>"}


@pytest.mark.parametrize(
    ("path", "protocol", "request_", "of"),
    [
        ("/v1/chat/completions", "openai", said(CARD), lambda body: body["choices"][0]["message"]["content"]),
        (
            "/v1/responses",
            "openai",
            {"model": "small", "input": CARD},
            lambda body: body["output"][0]["content"][0]["text"],
        ),
        (
            "/v1/messages",
            "anthropic",
            {"model": "small", "max_tokens": 99, "messages": [{"role": "user", "content": CARD}]},
            lambda body: body["content"][0]["text"],
        ),
        (
            "/v1beta/models/small:generateContent",
            "gemini",
            {"contents": [{"role": "user", "parts": [{"text": CARD}]}]},
            lambda body: body["candidates"][0]["content"]["parts"][0]["text"],
        ),
    ],
)
async def test_a_whole_answer_is_redacted_in_every_format(
    tmp_path: Path, path: str, protocol: str, request_: dict[str, Any], of: Any
) -> None:
    """The length of the answer is right, and its usage is charged."""
    async with guarded(tmp_path, "NoCards", protocol=protocol, others=", on: output") as (made, _):
        answered = await made.ask(path, request_)
        assert of(answered.json) == "You said: [card]"
        assert int(answered.headers["content-length"]) == len(answered.body)
        assert answered.noted.output_tokens > 0
        assert decisions(answered) == [("guardrail:guard", "allow", "redacts output")]


async def test_a_refused_answer_is_charged_and_not_delivered(tmp_path: Path) -> None:
    """The provider did its work."""
    async with guarded(tmp_path, "Refusing", others=", on: output") as (made, _):
        answered = await made.ask("/v1/chat/completions", said("the secret word"))
        assert (answered.status, answered.json["error"]["code"]) == (400, "content_refused")
        assert answered.noted.output_tokens > 0
        assert answered.noted.failure == "policy"


@pytest.mark.parametrize("split", [1, 7, 1000])
@pytest.mark.parametrize(
    ("path", "protocol", "request_"),
    [
        ("/v1/chat/completions", "openai", said(CARD, stream=True)),
        ("/v1/chat/completions", "openai", said(CARD, stream=True, n=2)),
        ("/v1/completions", "openai", {"model": "small", "prompt": CARD, "stream": True}),
        ("/v1/responses", "openai", {"model": "small", "input": CARD, "stream": True}),
        (
            "/v1/messages",
            "anthropic",
            {"model": "small", "max_tokens": 99, "stream": True, "messages": [{"role": "user", "content": CARD}]},
        ),
        (
            "/v1beta/models/small:streamGenerateContent?alt=sse",
            "gemini",
            {"contents": [{"role": "user", "parts": [{"text": CARD}]}]},
        ),
    ],
)
async def test_a_text_that_is_split_over_events_is_found(
    tmp_path: Path, path: str, protocol: str, request_: dict[str, Any], split: int
) -> None:
    """No event has a part of the number, and the stream is whole."""
    async with guarded(tmp_path, "NoCards", protocol=protocol, others=", on: stream") as (made, provider):
        provider.fault = f"split-{split}"
        answered = await made.ask(path, request_)
        assert answered.status == 200
        assert b"1111" not in answered.body
        assert answered.body.count(b"[card]") >= 1
        assert answered.noted.finished
        assert decisions(answered) == [("guardrail:guard", "allow", "redacts stream")]


async def test_the_rest_of_a_stream_is_as_it_came(tmp_path: Path) -> None:
    """Events keep their number and order, also behind what was taken out."""
    async with guarded(tmp_path, "NoCards", others=", on: stream") as (made, _):
        text = f"first {CARD} then more words than the window has, so that some go on before others come"
        guarded_answer = await made.ask("/v1/chat/completions", said(text, stream=True))
        assert streamed(guarded_answer) == "You said: " + text.replace(CARD, "[card]")
        assert guarded_answer.body.endswith(b"data: [DONE]\n\n")
        plain = await made.ask("/v1/chat/completions", said(text.replace(CARD, "a b c d"), stream=True))
        assert guarded_answer.body.count(b"data:") == plain.body.count(b"data:")


async def test_a_stream_is_refused_before_its_content_with_a_status(tmp_path: Path) -> None:
    """The client has nothing yet."""
    async with guarded(tmp_path, "Refusing", others=", on: stream") as (made, _):
        answered = await made.ask("/v1/chat/completions", said("secret", stream=True))
        assert (answered.status, answered.json["error"]["code"]) == (400, "content_refused")
        assert answered.noted.failure == "policy"
        assert answered.noted.output_tokens > 0


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
async def test_a_stream_is_refused_after_content_with_an_error_event(tmp_path: Path, protocol: str) -> None:
    """What waited is not delivered, and the end is no end of a whole answer."""
    text = "word " * 100 + "secret " + "word " * 5
    async with guarded(tmp_path, "Refusing", protocol=protocol, others=", on: stream") as (made, provider):
        provider.fault = "slow-1"  # not all in one piece
        path = "/v1/chat/completions" if protocol == "openai" else "/v1/messages"
        answered = await made.ask(path, said(text, stream=True, max_tokens=9999))
        assert answered.status == 200
        assert b"secret" not in answered.body
        assert b"not that word" in answered.body
        assert b"[DONE]" not in answered.body
        assert b"message_stop" not in answered.body
        assert not answered.noted.finished
        assert answered.noted.failure == "policy"


@pytest.mark.parametrize("stream", [False, True])
async def test_calls_of_tools_are_looked_at(tmp_path: Path, stream: bool) -> None:
    """By the name of the tool, before the client has it."""
    tools = [{"type": "function", "function": {"name": "delete", "parameters": {"type": "object"}}}]
    async with guarded(tmp_path, "Tools", others=", on: [output, stream]") as (made, _):
        answered = await made.ask("/v1/chat/completions", said("please delete it", tools=tools, stream=stream))
        assert answered.status == 400
        assert answered.json["error"]["message"] == "no such tool"


@pytest.mark.parametrize("stream", [False, True])
async def test_shadow_mode_changes_nothing(tmp_path: Path, stream: bool) -> None:
    """It is said what would have been."""
    async with guarded(tmp_path, "NoCards", others=", mode: shadow") as (made, provider):
        answered = await made.ask("/v1/chat/completions", said(CARD, stream=stream))
        assert CARD.encode() in provider.received[-1].body
        text = streamed(answered) if stream else answered.json["choices"][0]["message"]["content"]
        assert text == f"You said: {CARD}"
        stage = "stream" if stream else "output"
        reasons = ["redacts input", f"redacts {stage}"]
        assert decisions(answered) == [("guardrail:guard", "shadow-deny", reason) for reason in reasons]


async def test_one_that_fails_refuses_and_says_no_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its error may repeat what was said."""
    async with guarded(tmp_path, "Broken") as (made, provider):
        answered = await made.ask("/v1/chat/completions", said("the hidden text"))
        assert (answered.status, answered.json["error"]["code"]) == (500, "guardrail_failed")
        assert not provider.received
        assert "guards.py" in caplog.text
        assert "hidden" not in caplog.text + answered.body.decode()


async def test_a_verdict_that_is_none_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By its type, with the class and the method that returned it, and their place; never with what it says."""
    async with guarded(tmp_path, "Wrong") as (made, _):
        assert (await made.ask("/v1/chat/completions", said("the hidden text"))).status == 500
    assert "Wrong.before_model returned str, and not None, Pass(), Redact or Refuse; at " in caplog.text
    assert "guards.py:" in caplog.text
    assert "idden" not in caplog.text


async def test_one_that_fails_may_let_pass(tmp_path: Path) -> None:
    """With `on_failure: pass`."""
    async with guarded(tmp_path, "Broken", others=", on_failure: pass") as (made, _):
        answered = await made.ask("/v1/chat/completions", said("hello"))
        assert answered.status == 200
        assert ("guardrail:guard", "allow", "failed on input") in decisions(answered)


@pytest.mark.parametrize(
    ("name", "others", "expected"),
    [
        ("Missing", "", "there is no class Missing"),
        ("Nothing", "", "has no before_model and no on_text"),
        ("Input", "", "has no after_model and no on_text, which `on: output` needs"),
        ("Waiting", "", "must be no `async def`"),
        ("NoCards", ", config: {a: 1}", "takes no config"),
        ("Refusing", ", config: {wrod: x}", 'did you mean "word"'),
    ],
)
async def test_one_that_cannot_be_used_is_an_error(tmp_path: Path, name: str, others: str, expected: str) -> None:
    """At its place in models.yaml."""
    with pytest.raises(ConfigError) as raised:
        async with guarded(tmp_path, name, others=others):
            pass
    assert expected in str(raised.value)
    assert "models.yaml:4" in str(raised.value)


async def test_one_with_other_parameters_is_an_error(tmp_path: Path) -> None:
    """A method that cannot take a text would fail at the first one: it is named, with its line."""
    with pytest.raises(ConfigError) as raised:
        async with guarded(tmp_path, "Wide"):
            pass
    said = str(raised.value)
    assert "guardrail guard: on_text of Wide must take one argument: on_text(self, text)" in said
    assert f"guards.py:{POLICIES[: POLICIES.index('text: Text, stage')].count(chr(10)) + 1}:1: " in said


async def test_a_form_is_refused_where_it_must_be_looked_at(tmp_path: Path) -> None:
    """It is no JSON."""
    form = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nsmall\r\n--x--\r\n'
    headers = [("content-type", "multipart/form-data; boundary=x")]
    async with guarded(tmp_path, "NoCards") as (made, provider):
        answered = await made.ask("/v1/audio/transcriptions", form, headers=headers)
        assert (answered.status, answered.json["error"]["code"]) == (400, "content_refused")
        assert not provider.received


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_translated_is_redacted(tmp_path: Path, stream: bool) -> None:
    """The client's protocol is looked at, whatever the provider speaks."""
    models = MODELS.replace("keys: [key-of-one]", "keys: [key-of-one], translate: [messages]")
    provider = DemoModels()
    async with serving(provider) as port:
        text = models % ("openai", port, "/v1", "NoCards", ", on: [output, stream]")
        async with gateway(text, base=tmp_path, sources={"guards.py": POLICIES}) as made:
            body = {"model": "small", "max_tokens": 99, "messages": [{"role": "user", "content": CARD}]}
            answered = await made.ask("/v1/messages", {**body, "stream": stream})
            assert answered.status == 200
            assert b"1111" not in answered.body
            assert b"[card]" in answered.body
            assert answered.noted.finished


def of_two(name: str, on: str, others: str = "") -> str:
    profile = f"preferProviders: [one, two], guardrails: [guard]{others}"
    models = PROVIDERS.replace("preferProviders: [one, two]", profile)
    return f'{models}guardrails: {{guard: {{policy: "guards.py:{name}", on: {on}}}}}\n'


async def test_answers_with_sealed_ids_are_looked_at(tmp_path: Path) -> None:
    """Also one that is asked for by its id, whichever profile has made it."""
    models = of_two("NoCards", "[output, stream]")
    async with two_providers(models, base=tmp_path, sources={"guards.py": POLICIES}) as (made, _, _):
        streamed_answer = await made.ask("/v1/responses", {"model": "small", "input": CARD, "stream": True})
        answered = await made.ask("/v1/responses", {"model": "small", "input": CARD})
        looked_up = await made.ask(f"/v1/responses/{answered.json['id']}")
        assert looked_up.status == 200
        for each in (streamed_answer, answered, looked_up):
            assert b"1111" not in each.body
            assert b"resp_gw1_" in each.body


async def test_a_refused_stream_of_a_response_fails(tmp_path: Path) -> None:
    """By the last event of that protocol."""
    models = of_two("Refusing", "[output, stream]")
    async with two_providers(models, base=tmp_path, sources={"guards.py": POLICIES}) as (made, one, _):
        one.fault = "slow-1"
        body = {"model": "small", "input": "word " * 100 + "secret x", "stream": True}
        answered = await made.ask("/v1/responses", body)
        assert b"event: response.failed" in answered.body
        assert b"not that word" in answered.body
        assert b"response.completed" not in answered.body
        assert not any(made.loads.values())


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"small","messages":[{"role":"user","content":"\\ud83d 4111 1111 1111 1111"}]}',
        b'{"model":"small","messages":[{"role":"user","content":"4111 1111 1111 1111"}],"messages":[{"role":"user",'
        b'"content":"a"}]}',
        b'{"model":"small","messages":[{"role":"user","c\\u006fntent":"4111 1111 1111 1111"}],"z":[[],{}]}',
        b'{"model":"small","messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":'
        b'{"name":"f","arguments":"{\\"n\\": 4111111111111111}"}}]},{"role":"tool","tool_call_id":"a","content":"b"}]}',
    ],
)
async def test_no_way_to_write_a_body_hides_a_text(tmp_path: Path, body: bytes) -> None:
    """Halves of characters, names that are there twice or are escaped, arguments of tools."""
    async with guarded(tmp_path, "NoCards", others=", on: input") as (made, provider):
        assert (await made.ask("/v1/chat/completions", body)).status == 200
        assert b"1111" not in provider.received[-1].body
        assert b"[card]" in provider.received[-1].body


async def test_the_answer_of_a_second_attempt_is_looked_at(tmp_path: Path) -> None:
    """And what was decided of it is known."""
    models = of_two("NoCards", "[output]", ", hedge: 20ms")
    async with two_providers(models, base=tmp_path, sources={"guards.py": POLICIES}) as (made, one, _):
        one.fault = "slow-2000"
        answered = await made.ask("/v1/chat/completions", said(CARD))
        assert b"1111" not in answered.body
        assert decisions(answered) == [("guardrail:guard", "allow", "redacts output")]
