"""No key of a provider reaches anybody by what the provider says, however that writes it."""

from __future__ import annotations

import asyncio
import html
import json
from urllib.parse import quote

import orjson
import pytest

from gateway.llm.failures import MOST_ERROR
from tests.llm.support import PROVIDERS, answering, chat, gateway
from tests.support import read_head, scripted_backend

KEY = "sk-one/Ab+12=="
ONE = "providers: {one: {protocol: openai, base_url: 'http://127.0.0.1:%d/v1', keys: ['" + KEY + "']}}\n"
WRITTEN = {
    "as it is": KEY,
    "JSON": KEY.replace("/", "\\/").replace("+", "\\u002b"),
    "JSON of numbers": "".join(f"\\u{ord(each):04X}" for each in KEY),
    "JSON twice": KEY.replace("/", "\\\\\\/").replace("=", "\\\\u003d"),
    "percent signs": quote(KEY, safe=""),
    "percent signs in small letters": quote(KEY, safe="").lower().replace("sk-one%2fab", "sk-one%2fAb"),
    "percent signs in part": quote(KEY, safe="="),
    "HTML": html.escape(KEY).replace("=", "&#x3D;").replace("/", "&#47;"),
}
EVENTS = b"Content-Type: text/event-stream\r\n"
CONTENT = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("status", [b"500 Bad", b"429 Bad", b"400 Bad", b"200 OK"])
async def test_no_key_is_in_an_error(written: str, status: bytes) -> None:
    """Neither in its sentence, nor in its code, nor in its header lines, nor in what is recorded."""
    said = b'{"error":{"message":"no such key: %b.","code":"bad_%b"}}' % (written.encode(), written.encode())
    lines = b"Content-Type: application/json\r\nX-Echo: <%b>\r\n" % written.encode()
    async with scripted_backend(answering(said, lines, status)) as port, gateway(ONE % port) as made:
        answered = await made.ask("/v1/chat/completions", chat())
    assert answered.status >= 400
    assert answered.json["error"]["message"] == "no such key: [key]."
    assert answered.json["error"]["code"] == "bad_[key]"
    assert answered.headers.get("x-echo") in (None, "<[key]>")
    assert written not in f"{answered.noted}{answered.exchange.error}"


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("content", [b"", CONTENT], ids=["before content", "after content"])
@pytest.mark.parametrize("cut", [0, 30, 45, 60])
async def test_no_key_is_in_an_error_within_a_stream(written: str, content: bytes, cut: int) -> None:
    """Also where it comes in two pieces, or as an event that is no JSON."""
    error = b'{"error":{"message":"no such key: %b.","code":"bad_%b"}}' % (written.encode(), written.encode())
    event, other = b"data: " + error + b"\n\n", b"event: error\ndata: what is %b?\n\n" % written.encode()

    async def provider(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n%b\r\n" % EVENTS + content + other + event[:cut])
        await writer.drain()
        if held := [*pieces]:
            await held[0].wait()
        writer.write(event[cut:])
        await writer.drain()
        writer.close()

    pieces: list[asyncio.Event] = []
    async with scripted_backend(provider) as port, gateway(ONE % port) as made:
        if content:  # the rest comes when the client has read the first piece
            pieces.append(asyncio.Event())
            exchange, response = await made.open("/v1/chat/completions", chat(stream=True))
            assert not isinstance(response.body, bytes)
            body = await response.body.read()
            pieces[0].set()
            while piece := await response.body.read():
                body += piece
            exchange.close()
            assert b"hello" in body
            assert b"what is [key]?" in body
            assert b"no such key: [key]." in body
        else:
            body = (await made.ask("/v1/chat/completions", chat(stream=True))).body
            assert b"no such key: [key]." in body
    assert written.encode() not in body


async def test_no_key_is_in_what_comes_behind_an_error_within_a_response() -> None:
    """The last event of an incomplete response may have one."""
    created = {"type": "response.created", "response": {"id": "r", "model": "small"}}
    ended = {"type": "response.incomplete", "response": {"id": "r", "error": {"code": "server_error", "message": KEY}}}
    events = b"".join(b"data: %b\n\n" % orjson.dumps(each) for each in (created, ended))
    async with scripted_backend(answering(events, EVENTS)) as port, gateway(ONE % port) as made:
        answered = await made.ask("/v1/responses", {"model": "small", "input": "hi", "stream": True, "store": False})
    assert b"[key]" in answered.body
    assert KEY.encode() not in answered.body


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("stream", [False, True])
async def test_no_key_is_in_an_error_that_is_translated(written: str, *, stream: bool) -> None:
    """Claude Code at a provider of OpenAI's protocol gets its sentence without the key."""
    error = b'{"error":{"message":"no such key: %b."}}' % written.encode()
    models = ONE.replace("openai,", "openai, translate: [messages],")
    said = answering(b"data: %b\n\n" % error, EVENTS) if stream else answering(error, status=b"400 Bad")
    async with scripted_backend(said) as port, gateway(models % port) as made:
        asked = {"model": "small", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        answered = await made.ask("/v1/messages", asked, headers=[("anthropic-version", "2023-06-01")])
    assert answered.json["type"] == "error"
    assert answered.json["error"]["message"] == "no such key: [key]."


async def test_no_part_of_a_key_is_at_the_end_of_a_long_error() -> None:
    """What is too long to be passed on is not cut within a key."""
    for short in (1, 13):  # bytes of it within what is passed on
        said = b"x" * (MOST_ERROR - short) + KEY.encode() + b"y" * 100_000
        async with scripted_backend(answering(said, status=b"400 Bad")) as port, gateway(ONE % port) as made:
            answered = await made.ask("/v1/chat/completions", chat())
        assert len(answered.body) == MOST_ERROR
        assert answered.body.lstrip(b"x") == (b"[key]" + b"y" * 8)[:short]


async def test_a_key_that_is_no_secret_leaves_errors_as_they_are() -> None:
    """Servers of one's own are given any letter: what they say stays readable, also for the gateway."""
    said = orjson.dumps({"error": {"message": "maximum context length exceeded", "code": "context_length_exceeded"}})
    models = PROVIDERS.replace("key-of-one", "e").replace(
        "{fast: {preferProviders: [one, two]}}",
        "{fast: {providers: [one], overflow: long}, long: {providers: [two], max_context_tokens: 100000}}",
    )
    answer = json.dumps({"choices": [{"index": 0, "message": {"content": "hello"}, "finish_reason": "stop"}]}).encode()
    async with (
        scripted_backend(answering(said, status=b"400 Bad")) as one,
        scripted_backend(answering(answer)) as two,
        gateway(models % (one, two)) as made,
    ):
        answered = await made.ask("/v1/chat/completions", chat())
    assert answered.status == 200
    assert b"hello" in answered.body
