"""What goes back to the provider that made it, though it does not say so."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.http import Identity
from gateway.http.testing import make_exchange
from gateway.llm.affinity import Origin
from gateway.llm.origins import Origins
from tests.llm.support import PROVIDERS, answering, gateway, two_providers
from tests.llm.test_affinity import SECRET
from tests.support import Script, read_head, scripted_backend

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


GEMINI = ANTHROPIC.replace("anthropic", "gemini")
REDACTED = {"type": "redacted_thinking", "data": "encrypted-thinking"}
OF_MESSAGES = {"type": "message", "role": "assistant", "model": "small", "content": [REDACTED], "stop_reason": "end"}
SIGNED = {"text": "Hi", "thoughtSignature": "a-signature-of-a-thought"}
OF_GEMINI = {"candidates": [{"content": {"role": "model", "parts": [SIGNED]}, "finishReason": "STOP", "index": 0}]}
STARTS = {"type": "content_block_start", "index": 0, "content_block": REDACTED}


def saying(document: dict[str, Any], *, stream: bool = False) -> tuple[list[bytes], Script]:
    """The bodies that a provider gets which says this to everything, and it."""
    received: list[bytes] = []
    text = json.dumps(document).encode()
    answer = b'event: x\ndata: %b\n\nevent: message_stop\ndata: {"type": "message_stop"}\n\n' % text if stream else text
    kind = b"text/event-stream" if stream else b"application/json"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        received.append(
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
        )
        lines = b"Connection: close\r\nContent-Type: %b\r\nContent-Length: %d" % (kind, len(answer))
        writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (lines, answer))
        await writer.drain()
        writer.close()

    return received, script


@pytest.mark.parametrize(
    ("models", "path", "said", "stream", "back"),
    [
        (ANTHROPIC, "/v1/messages", OF_MESSAGES, False, {"role": "assistant", "content": [REDACTED]}),
        (ANTHROPIC, "/v1/messages", STARTS, True, {"role": "assistant", "content": [dict(reversed(REDACTED.items()))]}),
        (GEMINI, "/v1beta/models/small:generateContent", OF_GEMINI, False, {"role": "model", "parts": [SIGNED]}),
        (
            GEMINI,
            "/v1beta/models/small:streamGenerateContent?alt=sse",
            OF_GEMINI,
            True,
            {"role": "model", "parts": [{"thought_signature": SIGNED["thoughtSignature"]}]},
        ),
    ],
)
async def test_what_is_encrypted_goes_back_to_who_made_it(
    models: str, path: str, said: dict[str, Any], stream: bool, back: dict[str, Any]
) -> None:
    """Encrypted thinking of Anthropic and signatures of Gemini's thoughts, whole or streamed, and not a byte of them
    is changed."""
    member = "contents" if "beta" in path else "messages"
    first = {"max_tokens": 9, "stream": stream} if member == "messages" else {}
    body = {"model": "small", **first, member: [{"role": "user", "content": "Hi"}]}
    refusing, two = (
        answering(b'{"error": {"type": "api_error", "message": "No"}}', status=b"500 No"),
        saying(said, stream=stream),
    )
    preferred, one = saying(said, stream=stream)
    ones = [refusing]

    async def changing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ones[-1](reader, writer)

    async with (
        scripted_backend(changing) as first_port,
        scripted_backend(two[1]) as second_port,
        gateway(models % (first_port, second_port)) as made,
    ):
        answered = await made.ask(path, body)
        assert (answered.status, answered.noted.provider) == (200, "two"), answered.body
        ones.append(one)
        following = body | {member: [back]}
        assert (await made.ask(path, following)).noted.provider == "two"
        assert json.loads(two[0][-1]) == following
        assert (await made.ask(path, body)).noted.provider == "one"
        assert len(preferred) == 1


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
            assert "or send the " in refused.json["error"]["message"]
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


def test_what_its_caller_uses_is_for_no_other_one_however_much_comes_between() -> None:
    """An id that is used again and again is not forgotten to be somebody's before it is forgotten."""
    origins, owner, other = Origins(most=4), make_exchange(), make_exchange()
    owner.identity, other.identity = Identity("ann", "keys", "acme"), Identity("eve", "keys", "evil")
    one = Origin("one", "k")
    origins.note_issued(b"file", one, owner)
    for number in range(20):
        assert origins.of([b"file"], owner) == one
        assert origins.is_of_others(b"file", other)
        origins.note([b"%d" % number, b"also %d" % number], one, other)
