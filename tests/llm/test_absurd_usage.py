"""What is charged where a provider reports what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.llm.usage import MOST_TOKENS
from tests.llm.support import Gateway, answering, chat, gateway
from tests.support import scripted_backend

EVENTS = b"Content-Type: text/event-stream\r\n"
TEXT = "hello " * 50
MODELS = "providers: {one: {protocol: %s, base_url: 'http://127.0.0.1:%d%s', keys: [key-of-one], models: [small]}}\n"
ABSURD = ["1e30", str(10**30), str(MOST_TOKENS + 1), "-1", "-1e30", "7.5", "true", '"7"', "[7]", "{}", "1e-9"]


@dataclass(frozen=True)
class Protocol:
    """How an API reports usage. `usage`: of a count of input and one of output, as they are written."""

    name: str
    base: str
    path: str
    streamed: str  # the path of a stream
    body: dict[str, Any]
    usage: Callable[[str, str], str]
    whole: Callable[[str], str]
    events: Callable[[str], Sequence[str]]  # up to the end, without what marks it
    end: str = ""

    def answer(self, given: str, written: str, *, stream: bool) -> bytes:
        """An answer with this usage."""
        usage = self.usage(given, written)
        if not stream:
            return self.whole(usage).encode()
        return b"".join(b"data: %b\n\n" % event.encode() for event in [*self.events(usage), self.end] if event)


QUOTED = json.dumps(TEXT)
CHAT = Protocol(
    "openai",
    "/v1",
    "/v1/chat/completions",
    "/v1/chat/completions",
    chat(),
    lambda given, written: f'{{"prompt_tokens":{given},"completion_tokens":{written}}}',
    lambda usage: (
        f'{{"choices":[{{"index":0,"message":{{"content":{QUOTED}}},"finish_reason":"stop"}}],"usage":{usage}}}'
    ),
    lambda usage: [
        f'{{"choices":[{{"index":0,"delta":{{"content":{QUOTED}}},"finish_reason":"stop"}}]}}',
        f'{{"choices":[],"usage":{usage}}}',
    ],
    "[DONE]",
)
RESPONSES = Protocol(
    "openai",
    "/v1",
    "/v1/responses",
    "/v1/responses",
    {"model": "small", "input": "hi", "store": False},
    lambda given, written: f'{{"input_tokens":{given},"output_tokens":{written}}}',
    lambda usage: (
        '{"id":"r","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":'
        f'{QUOTED}}}]}}],"usage":{usage}}}'
    ),
    lambda usage: [
        f'{{"type":"response.output_text.delta","delta":{QUOTED}}}',
        f'{{"type":"response.completed","response":{{"id":"r","status":"completed","usage":{usage}}}}}',
    ],
)
MESSAGES = Protocol(
    "anthropic",
    "",
    "/v1/messages",
    "/v1/messages",
    chat(max_tokens=999),
    lambda given, written: f'{{"input_tokens":{given},"output_tokens":{written}}}',
    lambda usage: (
        f'{{"type":"message","content":[{{"type":"text","text":{QUOTED}}}],"stop_reason":"end_turn","usage":{usage}}}'
    ),
    lambda usage: [
        '{"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}',
        f'{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":{QUOTED}}}}}',
        f'{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{usage}}}',
    ],
    '{"type":"message_stop"}',
)
GEMINI = Protocol(
    "gemini",
    "",
    "/v1beta/models/small:generateContent",
    "/v1beta/models/small:streamGenerateContent?alt=sse",
    {"contents": [{"parts": [{"text": "hi there"}]}]},
    lambda given, written: f'{{"promptTokenCount":{given},"candidatesTokenCount":{written}}}',
    lambda usage: (
        f'{{"candidates":[{{"content":{{"parts":[{{"text":{QUOTED}}}]}},"finishReason":"STOP"}}],'
        f'"usageMetadata":{usage}}}'
    ),
    lambda usage: [
        f'{{"candidates":[{{"content":{{"parts":[{{"text":{QUOTED}}}]}},"finishReason":"STOP"}}],'
        f'"usageMetadata":{usage}}}'
    ],
)
PROTOCOLS = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES, "gemini": GEMINI}


async def ask(made: Gateway, protocol: Protocol, *, stream: bool) -> tuple[int, int, bool]:
    """Tokens of input and output that a request is charged, and whether they are estimated."""
    body = protocol.body | ({"stream": True} if stream and protocol is not GEMINI else {})
    answered = await made.ask(protocol.streamed if stream else protocol.path, body)
    assert answered.status == 200
    noted = answered.noted
    return noted.input_tokens, noted.output_tokens, noted.estimated


async def charged(protocol: Protocol, answer: bytes, *, stream: bool) -> tuple[int, int, bool]:
    """The same of one request that is answered so."""
    script = answering(answer, EVENTS if stream else b"Content-Type: application/json\r\n")
    async with (
        scripted_backend(script) as port,
        gateway(MODELS % (protocol.name, port, protocol.base)) as made,
    ):
        return await ask(made, protocol, stream=stream)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", PROTOCOLS)
async def test_what_can_be_is_charged_as_it_is_reported(name: str, *, stream: bool) -> None:
    """Up to a bound; a whole number may be written as a fraction."""
    protocol = PROTOCOLS[name]
    for given, written in (("5", "9"), ("5.0", "9.0"), (str(MOST_TOKENS), str(MOST_TOKENS))):
        answer = protocol.answer(given, written, stream=stream)
        assert await charged(protocol, answer, stream=stream) == (int(float(given)), int(float(written)), False)


@pytest.mark.parametrize("absurd", ABSURD)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", PROTOCOLS)
async def test_what_cannot_be_is_estimated(name: str, absurd: str, *, stream: bool) -> None:
    """The count that cannot be, and no other one: input by its size, output by the text that was delivered."""
    protocol = PROTOCOLS[name]
    given, written, estimated = await charged(protocol, protocol.answer(absurd, "9", stream=stream), stream=stream)
    assert (1 < given < 30, written, estimated) == (True, 9, True)
    given, written, estimated = await charged(protocol, protocol.answer("5", absurd, stream=stream), stream=stream)
    assert (given, 40 < written < 160, estimated) == (5, True, True)
    given, written, estimated = await charged(protocol, protocol.answer(absurd, absurd, stream=stream), stream=stream)
    assert (1 < given < 30, 40 < written < 160, estimated) == (True, True, True)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_absurd_count_of_what_was_cached_makes_the_input_unknown(*, stream: bool) -> None:
    """Of Messages, where it is a part of the input, and is not contained in another count."""
    for name in ("cache_read_input_tokens", "cache_creation_input_tokens"):
        answer = MESSAGES.answer(f'5,"{name}":1e30', "9", stream=stream)
        given, written, estimated = await charged(MESSAGES, answer, stream=stream)
        assert (1 < given < 30, written, estimated) == (True, 9, True)


async def test_that_is_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the name of the backend, whatever else it reports; and is counted."""
    answer = CHAT.answer("5", "-1", stream=False)
    async with scripted_backend(answering(answer)) as port, gateway(MODELS % ("openai", port, "/v1")) as made:
        for _ in range(3):
            assert (await ask(made, CHAT, stream=False))[2]
    (line,) = [each for each in caplog.messages if "cannot be" in each]
    assert "one/small" in line


@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
@pytest.mark.parametrize("late", [True, False])
async def test_nothing_counts_behind_the_end_of_a_stream(name: str, *, late: bool) -> None:
    """Neither another usage, nor a text, nor a call; the client gets what it is."""
    protocol = PROTOCOLS[name]
    answer = protocol.answer("5", "9", stream=True)
    if late:
        answer += protocol.answer("500", "900", stream=True)
    script = answering(answer, EVENTS)
    async with scripted_backend(script) as port, gateway(MODELS % (protocol.name, port, protocol.base)) as made:
        body = protocol.body | {"stream": True}
        if protocol is CHAT:
            body |= {"stream_options": {"include_usage": True}}
        answered = await made.ask(protocol.path, body)
    noted = answered.noted
    assert answered.body == answer
    assert (noted.input_tokens, noted.output_tokens, noted.estimated, noted.finished) == (5, 9, False, True)
    assert not noted.failure


async def test_of_counts_that_shrink_the_last_one_counts() -> None:
    """It is the provider's last word, also in its bill; none of a text is not."""
    events = CHAT.events(CHAT.usage("50", "90"))
    for last, expected in (("9", (5, 9, False)), ("0", (5, None, True)), ("-9", (5, None, True))):
        all_events = [*events, f'{{"choices":[],"usage":{CHAT.usage("5", last)}}}', "[DONE]"]
        answer = b"".join(b"data: %b\n\n" % event.encode() for event in all_events)
        given, written, estimated = await charged(CHAT, answer, stream=True)
        assert (given, estimated) == (expected[0], expected[2])
        assert written == expected[1] if expected[1] else 40 < written < 160


@pytest.mark.parametrize("status", [b"400 Bad", b"404 Not", b"429 Many", b"500 Bad"])
async def test_an_error_costs_nothing_whatever_usage_it_has(status: bytes) -> None:
    """Nothing was answered."""
    said = b'{"error":{"message":"no"},"usage":{"prompt_tokens":500,"completion_tokens":900}}'
    script = answering(said, status=status)
    async with scripted_backend(script) as port, gateway(MODELS % ("openai", port, "/v1")) as made:
        answered = await made.ask("/v1/chat/completions", chat())
    assert answered.status == int(status[:3])
    assert (answered.noted.input_tokens, answered.noted.output_tokens, answered.noted.estimated) == (0, 0, False)
