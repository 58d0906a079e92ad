"""Guardrails see a text wherever a model or a client reads it: in files, in names of members, in sealed reasoning."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gateway.demo_models import DemoModels, serving
from gateway.llm.inner_texts import of_file, of_url
from tests.support import scripted_backend

from .support import Answered, answering, chat, gateway
from .test_guardrails import CARD, MODELS, POLICIES, guarded

TRANSLATING = MODELS.replace("keys: [key-of-one]", "keys: [key-of-one], translate: [responses]")
SAID = f"a {CARD} b"


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def of_messages(*blocks: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    return "/v1/messages", "anthropic", chat(max_tokens=5, messages=[{"role": "user", "content": list(blocks)}])


def of_gemini(part: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    return "/v1beta/models/small:generateContent", "gemini", {"contents": [{"role": "user", "parts": [part]}]}


def of_chat(part: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    return "/v1/chat/completions", "openai", chat(messages=[{"role": "user", "content": [part]}])


IN_REQUESTS = [
    pytest.param(
        of_messages({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": SAID}}),
        "a [card] b",
        id="a document that is a text",
    ),
    pytest.param(
        of_messages({"type": "document", "source": {"type": "text", "data": CARD.replace(" ", "")}}),
        "[card]",
        id="one that could be base64, too",
    ),
    pytest.param(
        of_gemini({"inlineData": {"mimeType": "text/csv", "data": in_base64(SAID)}}),
        in_base64("a [card] b"),
        id="a file of text in base64",
    ),
    pytest.param(
        of_chat({"type": "file", "file": {"file_data": f"data:text/plain;base64,{in_base64(SAID)}"}}),
        f"data:text/plain;base64,{in_base64('a [card] b')}",
        id="one in a data URL",
    ),
    pytest.param(
        of_chat({"type": "image_url", "image_url": {"url": f"DATA:image/svg+xml,{quote(SAID)}"}}),
        f"DATA:image/svg+xml,{quote('a [card] b')}",
        id="a picture that is a text",
    ),
    pytest.param(
        of_messages({"type": "tool_use", "id": "a", "name": "b", "input": {CARD: {"logprobs": [CARD]}}}),
        {"[card]": {"logprobs": ["[card]"]}},
        id="names of members that a tool is called with",
    ),
    pytest.param(
        of_gemini({"functionResponse": {"name": "b", "response": {CARD: 1}}}),
        {"[card]": 1},
        id="those of what it answers",
    ),
]


def of_message(**message: Any) -> tuple[str, str, dict[str, Any]]:
    return "/v1/chat/completions", "openai", chat(messages=[{"role": "user", "content": "a", **message}])


def of_tool(parameters: dict[str, Any], **others: Any) -> tuple[str, str, dict[str, Any]]:
    function = {"name": "f", "description": "d", "parameters": parameters, **others}
    return "/v1/chat/completions", "openai", chat(tools=[{"type": "function", "function": function}])


def of_call(arguments: str) -> tuple[str, str, dict[str, Any]]:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return of_message(role="assistant", tool_calls=[call])


BESIDE_TEXTS = [
    pytest.param(of_message(role=f"user\n{CARD}"), "user\n[card]", id="a role"),
    pytest.param(of_message(role="tool", tool_call_id=SAID), "a [card] b", id="an id"),
    pytest.param(of_message(role="tool", tool_call_id=CARD.replace(" ", "")), "[card]", id="an id of digits"),
    pytest.param(of_message(signature=SAID), "a [card] b", id="a signature"),
    pytest.param(of_message(**{SAID: 1}), {"role": "user", "content": "a", "a [card] b": 1}, id="a name"),
    pytest.param(of_message(content=4111111111111111), "[card]", id="a number"),
    pytest.param(of_message(logprobs={"a": SAID}), "a [card] b", id="what is no probability"),
    pytest.param(of_chat({"type": SAID, "text": "a"}), "a [card] b", id="a type of a part"),
    pytest.param(of_tool({"properties": {SAID: {}}}), {"a [card] b": {}}, id="a name of an argument"),
    pytest.param(of_tool({"properties": {"a": {"type": SAID}}}), "a [card] b", id="a type in a schema"),
    pytest.param(of_tool({"properties": {"a": {"type": CARD.replace(" ", "")}}}), "[card]", id="one of a word"),
    pytest.param(of_tool({"properties": {"a": {"format": SAID}}}), "a [card] b", id="a format"),
    pytest.param(of_tool({"properties": {"a": {"enum": [4111111111111111]}}}), "[card]", id="a value of an enum"),
    pytest.param(of_tool({"properties": {"logprobs": {"title": SAID}}}), "a [card] b", id="what is called so"),
    pytest.param(of_tool({}, status=SAID), "a [card] b", id="a member of a tool"),
    pytest.param(of_call(json.dumps({"q": SAID})), json.dumps({"q": "a [card] b"}), id="arguments"),
    pytest.param(
        of_call('{"q": "4111 1111 \\u0031111 1111"}'), json.dumps({"q": "[card]"}), id="arguments behind escapes"
    ),
    pytest.param(
        of_chat({"type": "file", "file": {"file_data": f"data:image/png;base64,{in_base64(SAID)}"}}),
        f"data:image/png;base64,{in_base64('a [card] b')}",
        id="a text that is called a picture",
    ),
]


@pytest.mark.parametrize(("request_", "expected"), IN_REQUESTS + BESIDE_TEXTS)
async def test_a_request_is_redacted_wherever_a_model_reads(
    request_: tuple[str, str, dict[str, Any]], expected: object, tmp_path: Path
) -> None:
    """The text is another one, in what it is written in, and everything else is as it was."""
    path, protocol, body = request_
    async with guarded(tmp_path, "NoCards", protocol=protocol) as (made, provider):
        assert (await made.ask(path, body)).status == 200
        sent = json.loads(provider.received[-1].body)
    found = []

    def differing(before: Any, after: Any) -> None:
        if isinstance(before, dict) and before.keys() == after.keys():
            for name, value in before.items():
                differing(value, after[name])
        elif isinstance(before, list) and len(before) == len(after):
            for pair in zip(before, after, strict=True):
                differing(*pair)
        elif before != after:
            found.append(after)

    differing(body, sent)
    assert found == [expected]


async def test_what_belongs_to_a_protocol_is_no_text(tmp_path: Path) -> None:
    """A guardrail that takes everything out that it sees leaves what SDKs write for the provider, not for the model."""
    property_ = {"type": ["string", "null"], "format": "date-time", "minLength": 1}
    tool = {"type": "function", "function": {"parameters": {"type": "object", "properties": {"a": property_}}}}
    call = {"id": "call_a-1", "type": "function", "function": {}}
    body = {
        "model": "small",
        "messages": [{"role": "developer"}, {"role": "assistant", "tool_calls": [call]}, {"role": "tool"}],
        "tools": [tool, {"type": "web_search_20250305", "max_uses": 3, "cache_control": {"type": "ephemeral"}}],
        "service_tier": "auto",
        "prompt_cache_key": "any text",
        "logit_bias": {"50256": -100},
    }
    policy = """
from gateway.llm.guardrails import Cut, Redact

class Everything:
    def before_model(self, text):
        return Redact((Cut(0, len(text.text), "x"),))
"""
    provider = DemoModels()
    async with serving(provider) as port:
        models = MODELS % ("openai", port, "/v1", "Everything", ", on: input")
        async with gateway(models, base=tmp_path, sources={"guards.py": policy}) as made:
            await made.ask("/v1/chat/completions", body)
    sent = json.loads(provider.received[-1].body)
    properties = sent["tools"][0]["function"]["parameters"]["properties"]
    assert properties.keys() == {"x"}  # the only name that somebody has chosen
    sent["tools"][0]["function"]["parameters"]["properties"] = {"a": properties["x"]}
    assert sent == body


@pytest.mark.parametrize(
    "data",
    [
        base64.b64encode(b"%PDF-1.7\n4111 1111 1111 1111").decode(),
        base64.b64encode(b"\x89PNG\r\n\x1a\n4111 1111 1111 1111").decode(),
        base64.b64encode(b"4111 1111 1111 1111\0").decode(),
    ],
)
async def test_other_files_pass_as_they_are(data: str, tmp_path: Path) -> None:
    """A change of what is no text would break them."""
    path, protocol, body = of_chat({"type": "file", "file": {"filename": "a", "file_data": data}})
    async with guarded(tmp_path, "NoCards", protocol=protocol) as (made, provider):
        assert (await made.ask(path, body)).status == 200
        assert json.loads(provider.received[-1].body) == body


@pytest.mark.parametrize("line_ends", ["", "\r\n"])
@pytest.mark.parametrize("length", range(6))
def test_a_file_of_text_is_known_however_it_is_written(line_ends: str, length: int) -> None:
    """Long or short, in lines, with the letters of URLs, without its end, and not all of it in UTF-8."""
    content = "ä?>é".encode() * 3000 + b"\xff" + b"x" * length
    written = base64.b64encode(content).decode().rstrip("=")
    lines = line_ends.join(written[at : at + 76] for at in range(0, len(written), 76))
    found = of_file(lines.replace("+", "-").replace("/", "_"), {"mimeType": "text/plain"})
    assert found is not None
    assert found.text.encode("utf-8", "surrogateescape") == content
    assert found.written(found.text) == base64.b64encode(content).decode()
    unnamed = of_file(base64.b64encode("ä?>é".encode() * 3000 + b"x" * length).decode(), {})
    assert unnamed is not None
    assert unnamed.text.startswith("ä?>éä?>é")


def test_a_picture_is_not_read() -> None:
    """Nor is another URL taken for a file."""
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + SAID.encode()).decode()
    assert of_file(picture, {"media_type": "image/png"}) is None
    assert of_url(f"data:image/png;base64,{picture}") is None
    found = of_url("https://example.com/a")
    assert found is not None
    assert found.text == "https://example.com/a"


async def answered(
    directory: Path, request_: tuple[str, str, dict[str, Any]], body: bytes, kind: bytes, models: str = MODELS
) -> Answered:
    """What a client gets of a provider's answer."""
    path, protocol, asked = request_
    lines = b"Content-Type: " + kind + b"\r\n" if kind else b""
    async with scripted_backend(answering(body, lines)) as port:
        of = models % (protocol, port, "/v1" if protocol == "openai" else "", "NoCards", "")
        async with gateway(of, base=directory, sources={"guards.py": POLICIES}) as made:
            return await made.ask(path, asked)


@pytest.mark.parametrize("stream", [False, True])
async def test_reasoning_that_a_translation_seals_is_looked_at(stream: bool, tmp_path: Path) -> None:
    """A client can read it, and sends it back."""
    first, rest = CARD[:9], CARD[9:]
    deltas: list[dict[str, Any]] = [{"reasoning_content": first}, {"reasoning_content": rest}, {"content": "hi"}]
    if stream:
        choices = [{"index": 0, "delta": delta} for delta in deltas]
        choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
        events = [json.dumps({"id": "x", "model": "small", "choices": [choice]}) for choice in choices]
        body = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
    else:
        message = {"role": "assistant", "content": "hi", "reasoning_content": CARD}
        body = json.dumps({"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    asked = {"model": "small", "input": "a", "include": ["reasoning.encrypted_content"], "store": False}
    kind = b"text/event-stream" if stream else b"application/json"
    got = await answered(
        tmp_path, ("/v1/responses", "openai", {**asked, "stream": stream}), body.encode(), kind, TRANSLATING
    )
    said = [json.loads(line[6:]) for line in got.body.decode().split("\n") if line.startswith("data: {")]
    response = said[-1]["response"] if stream else got.json
    sealed = response["output"][0]["encrypted_content"]
    assert json.loads(base64.b64decode(sealed))["chat-reasoning:"][2] == "[card]"
    assert in_base64(f'"{CARD}"')[4:-4] not in got.body.decode()


async def test_reasoning_that_comes_back_is_looked_at(tmp_path: Path) -> None:
    """Whatever has been written into it meanwhile."""
    sealed = base64.b64encode(
        json.dumps({"chat-reasoning:": ["reasoning_content", "small", CARD]}, separators=(",", ":")).encode()
    ).decode()
    items = [{"type": "reasoning", "encrypted_content": sealed}, {"role": "user", "content": "a"}]
    provider = DemoModels()
    async with serving(provider) as port:
        models = TRANSLATING % ("openai", port, "/v1", "NoCards", "")
        async with gateway(models, base=tmp_path, sources={"guards.py": POLICIES}) as made:
            asked = {"model": "small", "store": False, "input": items}
            assert (await made.ask("/v1/responses", asked)).status == 200
    sent = json.loads(provider.received[-1].body)["messages"]
    assert sent[0]["reasoning_content"] == "[card]"


async def test_names_in_a_call_of_an_answer_are_looked_at(tmp_path: Path) -> None:
    """As its values are."""
    call = {"type": "tool_use", "id": "a", "name": "b", "input": {CARD: {"number": 4111111111111111}}}
    answer = {"id": "m", "type": "message", "role": "assistant", "content": [call], "stop_reason": "tool_use"}
    got = await answered(tmp_path, of_messages(), json.dumps(answer).encode(), b"application/json")
    assert got.json["content"][0]["input"] == {"[card]": {"number": "[card]"}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": "small", "prompt": [4111, 1111]}),
        ("/v1/completions", {"model": "small", "prompt": ["a", [4111]]}),
        ("/v1/embeddings", {"model": "small", "input": [[4111], [1111]]}),
    ],
)
async def test_a_text_as_numbers_of_tokens_is_refused(path: str, body: dict[str, Any], tmp_path: Path) -> None:
    """Nobody can look at it, and it passes only where that is allowed."""
    async with guarded(tmp_path, "NoCards") as (made, provider):
        refused = await made.ask(path, body)
        assert (refused.status, refused.json["error"]["code"]) == (400, "content_refused")
        assert "numbers of tokens" in refused.json["error"]["message"]
        assert not provider.received
    async with guarded(tmp_path, "NoCards", others=", on_failure: pass") as (made, _):
        assert (await made.ask(path, body)).status == 200


async def test_very_many_parts_take_no_longer_each(tmp_path: Path) -> None:
    """A number in every one of them, and one over every two: nobody else would be served for minutes otherwise."""
    first, rest = f"a {CARD} b {CARD[:9]}", f"{CARD[9:]} c"
    content = [{"type": "text", "text": text} for _ in range(10_000) for text in (first, "", rest)]
    body = chat(messages=[{"role": "user", "content": content}])
    async with guarded(tmp_path, "NoCards", others=", on: input") as (made, provider):
        assert (await made.ask("/v1/chat/completions", body)).status == 200
        sent = json.loads(provider.received[-1].body)["messages"][0]["content"]
    assert [each["text"] for each in sent] == ["a [card] b [card]", "", " c"] * 10_000
