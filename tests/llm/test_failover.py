"""What becomes of a request when a provider fails."""

from __future__ import annotations

import asyncio
import gzip
import socket

import orjson
import pytest

from gateway.demo_models import DemoModels, serving
from tests.llm.support import PROVIDERS, answering, chat, gateway, two_providers
from tests.support import Script, eventually, read_head, scripted_backend


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("fail-429", "rate_limited"),
        ("fail-429-after-7", "rate_limited"),
        ("fail-529", "overloaded"),
        ("fail-503", "overloaded"),
        ("fail-500", "error"),
        ("fail-408", "timeout"),
        ("fail-401", "key"),
        ("fail-403", "key"),
        ("cut-at-once", "error"),
        ("error-200", "error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_another_provider_answers_for_one_that_fails(fault: str, reason: str, *, stream: bool) -> None:
    """The client sees an answer like any other."""
    async with two_providers() as (made, one, two):
        one.fault = fault
        answered = await made.ask("/v1/chat/completions", chat(stream=stream))
        assert answered.status == 200, answered.body
        assert (len(one.received), len(two.received)) == (1, 1)
    noted = answered.noted
    assert noted.switches == (("one/*", "two/*", reason),)
    assert (noted.backend, noted.finished, noted.estimated) == ("two/*", True, False)
    assert (noted.input_tokens, noted.output_tokens) == (two.completed.input, two.completed.output)
    assert answered.headers["x-gateway-switched"] == f"one/*; reason={reason}"
    assert [attempt.summary()["why_next"] for attempt in answered.exchange.attempts] == [reason, None]
    assert b"rror" not in answered.body


@pytest.mark.parametrize("fault", ["cut-before", "end-before", "error-before"])
async def test_a_stream_that_fails_before_its_content_is_replaced_unseen(fault: str) -> None:
    """What came of the first provider's stream never reaches the client."""
    async with two_providers() as (made, one, two):
        plain = await made.ask("/v1/chat/completions", chat(stream=True))
        one.fault = fault
        answered = await made.ask("/v1/chat/completions", chat(stream=True))
        assert (len(one.received), len(two.received)) == (2, 1)
    assert answered.status == 200
    assert answered.body.count(b'"role":"assistant"') == plain.body.count(b'"role":"assistant"') == 1
    assert answered.body.endswith(b"data: [DONE]\n\n")
    assert len(answered.noted.switches) == 1


@pytest.mark.parametrize(
    ("pieces", "end", "reason"),
    [
        ([b'{"error":{"message":"over', b'loaded","code":529}}'], b"0\r\n\r\n", "overloaded"),
        ([b'{"id":'], b"", "truncated"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_document_that_fails_is_replaced_unseen(
    pieces: list[bytes], end: bytes, reason: str, *, stream: bool
) -> None:
    """Also where a stream was asked for, and however it comes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(end)
        await writer.drain()
        writer.close()

    async with scripted_backend(script) as one, serving(DemoModels()) as two, gateway(PROVIDERS % (one, two)) as made:
        answered = await made.ask("/v1/chat/completions", chat(stream=stream))
    assert (answered.status, answered.noted.switches) == (200, (("one/*", "two/*", reason),))
    assert b"rror" not in answered.body


@pytest.mark.parametrize("fault", ["cut-after", "end-after"])
async def test_a_stream_that_is_cut_behind_content_ends_with_an_error(fault: str) -> None:
    """The client gets an error event, and nothing of another answer follows."""
    async with two_providers() as (made, one, two):
        one.fault = fault
        answered = await made.ask("/v1/chat/completions", chat(stream=True))
        assert not two.received
    assert b"[DONE]" not in answered.body
    assert answered.body.endswith(b"\n\n")
    last = answered.body.rstrip().rpartition(b"\n\n")[2]
    assert last.startswith(b'data: {"error":'), answered.body
    noted = answered.noted
    assert (noted.failure, noted.finished, noted.estimated) == ("truncated", False, True)
    assert noted.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_that_comes_with_200_is_one(*, stream: bool) -> None:
    """Where no other provider answers, the client's SDK sees an error, and no answer without content."""
    async with two_providers() as (made, one, two):
        one.fault = two.fault = "error-before" if stream else "error-200"
        answered = await made.ask("/v1/chat/completions", chat(stream=stream))
        assert answered.status >= 400
        assert answered.json["error"]["message"]
        assert answered.noted.failure == "error"


async def test_an_error_of_the_provider_behind_content_is_passed_on() -> None:
    """Once, and noted."""
    async with two_providers() as (made, one, _):
        one.fault = "error-after"
        answered = await made.ask("/v1/chat/completions", chat(stream=True))
        assert answered.body.count(b'"error"') == 1
        assert (answered.noted.failure, answered.noted.finished) == ("error", False)


async def test_a_stream_that_stalls_is_replaced_or_ends_with_an_error() -> None:
    """Before its content by another one's, behind it with an error."""
    async with two_providers(PROVIDERS_WITH_TIMEOUT) as (made, one, _):
        one.fault = "stall-before"
        answered = await made.ask("/v1/chat/completions", chat(stream=True))
        assert answered.body.endswith(b"data: [DONE]\n\n")
        assert answered.noted.switches == (("one/*", "two/*", "timeout"),)
        one.fault = "stall-after"
        answered = await made.ask("/v1/chat/completions", chat(stream=True))
        assert b'data: {"error":' in answered.body
        assert answered.noted.failure == "timeout"


PROVIDERS_WITH_TIMEOUT = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, timeout: {idle: 1s, response_header: 1s}}
  two: {protocol: openai, base_url: http://127.0.0.1:%d/v1}
modelRouting: {default: fast, profiles: {fast: {preferProviders: [one, two]}}}
"""


LIFECYCLE = b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'


@pytest.mark.parametrize(("setting", "count"), [("hold_time: 300ms", 1), ("hold_size: 1KiB", 20)])
async def test_what_is_held_no_longer_reaches_the_client_and_a_cut_behind_it_is_an_error(
    setting: str, count: int
) -> None:
    """A model that takes longer to begin than the beginning may be held keeps no client waiting for that; and where its
    stream is cut before any content, the client is told."""
    passed = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        writer.write(LIFECYCLE * count)
        await passed.wait()
        writer.close()

    async with scripted_backend(script) as port, gateway(setting + PROVIDERS % (port, port)) as made:
        async with asyncio.timeout(30):
            exchange, response = await made.open("/v1/chat/completions", chat(stream=True))
        assert not isinstance(response.body, bytes)
        body = await response.body.read()
        passed.set()
        while piece := await response.body.read():
            body += piece
        exchange.close()
    assert body.startswith(LIFECYCLE)
    assert b'"error"' in body
    assert b"[DONE]" not in body


async def test_a_provider_that_cannot_be_reached_is_passed_over() -> None:
    """A request without an answer is an error in the client's format, which its SDK must not try again."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        models = f"providers: {{one: {{protocol: openai, base_url: 'http://127.0.0.1:{port}/v1'}}}}"
        async with gateway(models) as made:
            answered = await made.ask("/v1/chat/completions", chat())
    assert answered.status == 502
    assert answered.json["error"]["type"]
    assert answered.headers["x-should-retry"] == "false"
    assert answered.noted.tries == 3


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_what_the_client_did_wrong_is_passed_on_as_the_provider_says_it(status: int) -> None:
    """No other provider is asked."""
    async with two_providers() as (made, one, two):
        one.fault = f"fail-{status}"
        answered = await made.ask("/v1/chat/completions", chat())
        assert (answered.status, len(one.received), len(two.received)) == (status, 1, 0)
    assert answered.json["error"]
    assert answered.noted.from_provider


async def test_what_is_at_its_limit_is_left_alone_for_as_long_as_it_says() -> None:
    """Requests go to the other one at once, until a single one tries it again."""
    async with two_providers() as (made, one, two):
        one.fault = "fail-429-after-60"
        for _ in range(3):
            assert (await made.ask("/v1/chat/completions", chat())).status == 200
        assert (len(one.received), len(two.received)) == (1, 3)
        answered = await made.ask("/v1/chat/completions", chat())
        assert ("one", "cooldown") in answered.noted.left_out
        other = await made.ask("/v1/chat/completions", chat("another"))  # another model of the same provider
        assert other.noted.switches


async def test_where_all_are_at_their_limits_the_client_learns_when_to_come_again() -> None:
    """At once, without asking any of them."""
    async with two_providers() as (made, one, two):
        one.fault = two.fault = "fail-429-after-60"
        first = await made.ask("/v1/chat/completions", chat())
        assert first.status == 429
        assert first.json["error"]["message"]
        second = await made.ask("/v1/chat/completions", chat())
        assert (len(one.received), len(two.received)) == (1, 1)
    assert second.status == 429
    assert 55 < int(second.headers["retry-after"]) < 80
    assert second.headers["x-should-retry"] == "false"
    assert second.json["error"]["type"] == "rate_limit_error"


async def test_a_provider_without_tls_is_mended_where_its_address_stands() -> None:
    """The remedy names `base_url`, which it has, and no `protocol` of a service, which would be another thing here."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with scripted_backend(plain) as port:
        models = f"providers: {{one: {{protocol: openai, base_url: 'https://127.0.0.1:{port}/v1', keys: [key]}}}}"
        async with gateway(models) as made:
            answered = await made.ask("/v1/chat/completions", chat())
    assert answered.status == 502
    assert "; write `http://` in `base_url`, or name the port" in str(answered.exchange.error)


async def test_a_key_that_is_refused_is_not_the_clients_fault() -> None:
    """It gets that as an error, without the key."""
    models = "providers: {one: {protocol: openai, base_url: 'http://127.0.0.1:%d/v1', keys: [secret-key-1]}}\n#%d"
    async with two_providers(models) as (made, one, _):
        one.keys = ("another",)
        answered = await made.ask("/v1/chat/completions", chat())
        again = await made.ask("/v1/chat/completions", chat())
        assert len(one.received) == 1
        (trouble,) = made.owner.troubles()
        assert "the provider one refuses its key" in trouble
        assert "secret" not in trouble
    assert (answered.status, again.status) == (502, 503)
    assert b"secret-key-1" not in answered.body + again.body


@pytest.mark.parametrize("status", [b"500 Bad", b"429 Bad", b"400 Bad"])
async def test_no_key_of_ours_is_in_an_error(status: bytes) -> None:
    """Neither in what a provider says, nor in its headers."""
    lines = b"Content-Type: application/json\r\nX-Echo: Bearer key-of-one, key-of-two\r\nRetry-After: 1\r\n"
    provider = answering(b'{"error":{"message":"no such key: key-of-one"}}', lines, status)
    async with scripted_backend(provider) as one, gateway(PROVIDERS % (one, one)) as made:
        answered = await made.ask("/v1/chat/completions", chat())
    assert answered.status == int(status[:3])
    assert (answered.headers["x-echo"], answered.headers["retry-after"]) == ("Bearer [key], [key]", "1")
    assert b"key-of" not in answered.body


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"application/json", b'{"choices":[{"index":0,"message":{"role":"assistant","content":"hello"}}]}'),
        (b"text/event-stream", b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\ndata: [DONE]\n\n'),
    ],
)
async def test_no_key_of_ours_is_in_a_header_of_an_answer(kind: bytes, body: bytes) -> None:
    """Also where the provider answers what was asked."""
    lines = b"Content-Type: " + kind + b"\r\nX-Echo: Bearer key-of-one\r\n"
    async with scripted_backend(answering(body, lines)) as one, gateway(PROVIDERS % (one, one)) as made:
        answered = await made.ask("/v1/chat/completions", chat(stream=kind.startswith(b"text")))
    assert answered.status == 200
    assert b"hello" in answered.body
    assert answered.headers["x-echo"] == "Bearer [key]"


async def test_a_key_that_is_no_secret_stays_in_headers() -> None:
    """Servers of one's own are given any letter, which headers are full of: what they say is read as it is."""
    body = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\ndata: [DONE]\n\n'
    models = "providers: {one: {protocol: openai, base_url: 'http://127.0.0.1:%d/v1', keys: [e]}}"
    provider = answering(body, b"Content-Type: text/event-stream\r\n")
    async with scripted_backend(provider) as port, gateway(models % port) as made:
        answered = await made.ask("/v1/chat/completions", chat(stream=True))
    assert answered.headers["content-type"] == "text/event-stream"


async def test_one_key_stands_in_for_another() -> None:
    """The one that is refused is left out for a while."""
    models = "providers: {one: {protocol: openai, base_url: 'http://127.0.0.1:%d/v1', keys: [bad, good]}}\n#%d"
    async with two_providers(models) as (made, one, _):
        one.keys = ("good",)
        for _ in range(6):
            assert (await made.ask("/v1/chat/completions", chat())).status == 200
        assert [received.key for received in one.received].count("bad") <= 1


async def test_a_prompt_that_is_too_long_for_the_provider_goes_to_the_overflow_profile() -> None:
    """Once; where there is none, the client gets what the provider says."""
    models = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1}
  two: {protocol: openai, base_url: http://127.0.0.1:%d/v1}
modelRouting:
  default: fast
  profiles: {fast: {providers: [one], overflow: heavy}, heavy: {providers: [two]}}
"""
    async with two_providers(models) as (made, one, two):
        one.fault = "overflow"
        answered = await made.ask("/v1/chat/completions", chat())
        assert (answered.status, answered.noted.profile) == (200, "heavy")
        assert answered.noted.switches == (("one/*", "two/*", "context_overflow"),)
        two.fault = "overflow"
        answered = await made.ask("/v1/chat/completions", chat())
        assert answered.status == 400
        assert (len(one.received), len(two.received)) == (2, 2)


async def test_the_overflow_profile_has_its_own_bounds() -> None:
    """On the length of the answer, and on the temperature, also where the provider says that the prompt is too long."""
    models = (
        PROVIDERS.partition("modelRouting")[0]
        + """
modelRouting:
  default: fast
  profiles:
    fast: {providers: [one], overflow: heavy, maxOutputTokens: 50}
    heavy: {providers: [two], maxOutputTokens: 20, temperature: {max: 0.5}}
"""
    )
    async with two_providers(models) as (made, one, two):
        one.fault = "overflow"
        for asked, limit in ((None, 20), (30, 20), (10, 10)):
            assert (await made.ask("/v1/chat/completions", chat(max_completion_tokens=asked))).status == 200
            assert orjson.loads(two.received[-1].body)["max_completion_tokens"] == limit
        refused = await made.ask("/v1/chat/completions", chat(temperature=0.9))
        assert (refused.status, refused.json["error"]["code"]) == (400, "temperature_out_of_bounds")
        assert len(two.received) == 3


async def test_a_client_that_goes_away_ends_the_providers_work_and_is_counted() -> None:
    """What was delivered is estimated by its text."""
    async with two_providers() as (made, one, _):
        one.fault = "slow-20+words-500"
        exchange, response = await made.open("/v1/chat/completions", chat("small+slow-20+words-500", stream=True))
        assert not isinstance(response.body, bytes)
        got = b""
        while got.count(b"\n\n") < 20:
            got += await response.body.read()
        exchange.close()
        record = exchange.model
        assert record is not None
        assert (record.finished, record.estimated) == (False, True)
        assert record.input_tokens > 0
        assert 5 <= record.output_tokens <= 60
        await eventually(lambda: one.unfinished.requests == 1)


async def test_a_stream_whose_client_went_away_is_drained_where_that_is_wanted() -> None:
    """To its end, so that its bill is the provider's; no more of them at a time than may be."""
    models = PROVIDERS + "on_disconnect: drain\ndrains: 1\n"
    async with two_providers(models) as (made, one, _):
        records = []
        for _number in range(2):
            exchange, response = await made.open("/v1/chat/completions", chat("small+slow-5+words-50", stream=True))
            assert not isinstance(response.body, bytes)
            await response.body.read()
            response.body.close()
            exchange.close()
            assert exchange.model is not None
            records.append(exchange.model)
        await eventually(lambda: one.completed.requests == one.unfinished.requests == 1)
        await eventually(lambda: records[0].finished)
        assert (records[0].output_tokens, records[0].estimated) == (one.completed.output, False)
        assert (records[1].finished, records[1].estimated) == (False, True)


async def test_a_connection_that_the_provider_has_closed_is_followed_by_a_fresh_one() -> None:
    """At once, as no failure of the provider's."""
    answers = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answers
        for number in range(2):
            head = await read_head(reader)
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
            if number:
                return
            answers += 1
            body = b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}'
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % len(body) + body)

    models = "providers: {one: {protocol: openai, base_url: 'http://127.0.0.1:%d/v1'}}"
    async with scripted_backend(script) as port, gateway(models % port) as made:
        assert (await made.ask("/v1/chat/completions", chat())).noted.tries == 1
        answered = await made.ask("/v1/chat/completions", chat())
    assert (answered.status, answered.noted.tries, answered.noted.switches, answers) == (200, 2, (), 2)


async def test_a_client_that_goes_away_before_the_answer_is_charged_for_what_was_sent() -> None:
    """The provider has read it, by then."""
    async with two_providers() as (made, one, _):
        one.fault = "stall-at-once"
        asking = asyncio.ensure_future(made.open("/v1/chat/completions", chat()))
        await eventually(lambda: len(one.received) == 1)
        asking.cancel()
        await asyncio.wait([asking])
        record = made.last.model
        assert record is not None
        assert (record.input_tokens > 0, record.output_tokens, record.estimated) == (True, 0, True)
        assert made.loads == {}


ONE = "providers: {one: {protocol: openai, base_url: 'http://127.0.0.1:%d/v1', keys: [secret-key-1]}}"
PACKED = b"Content-Encoding: gzip\r\nContent-Type: "


@pytest.mark.parametrize(
    "script",
    [
        answering(b"<html>", b"Content-Type: text/html; charset=utf-8\r\n"),
        answering(b""),
        answering(b"", status=b"204 No Content"),
        answering(gzip.compress(b'{"choices":[]}')[:-12], PACKED + b"application/json\r\n"),
        answering(b'{"choices":[]}', PACKED + b"application/json\r\n"),
        answering(b"data: x\n\n", PACKED + b"text/event-stream\r\n"),
        answering(gzip.compress(b" " * 20_000_000), PACKED + b"text/event-stream\r\n"),
        answering(b"no gzip", PACKED + b"application/json\r\n", b"503 Down"),
    ],
)
async def test_what_is_no_answer_of_a_provider_is_followed_by_another_one(script: Script) -> None:
    """A page of a portal, nothing at all, and what cannot be decompressed, or becomes far too much."""
    async with scripted_backend(script) as one, serving(DemoModels()) as two, gateway(PROVIDERS % (one, two)) as made:
        answered = await made.ask("/v1/chat/completions", chat())
    assert (answered.status, answered.noted.provider) == (200, "two")


async def test_no_key_stands_in_an_error_of_a_provider_behind_content() -> None:
    """As in one that comes instead of an answer."""
    events = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"error":{"message":"secret-key-1 is bad"}}\n\n'
    script = answering(events, b"Content-Type: text/event-stream\r\n")
    async with scripted_backend(script) as port, gateway(ONE % port) as made:
        answered = await made.ask("/v1/chat/completions", chat(stream=True))
    assert b"is bad" in answered.body
    assert b"secret-key-1" not in answered.body


async def test_an_answer_that_is_not_called_json_is_counted_nevertheless() -> None:
    """And one that cannot be read by its size."""
    said = b'{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
    async with scripted_backend(answering(said, b"")) as port, gateway(ONE % port) as made:
        noted = (await made.ask("/v1/chat/completions", chat())).noted
        assert (noted.input_tokens, noted.output_tokens, noted.estimated) == (3, 4, False)
    async with scripted_backend(answering(b"data: " + b"x" * 400)) as port, gateway(ONE % port) as made:
        noted = (await made.ask("/v1/chat/completions", chat())).noted
        assert noted.output_tokens > 50
        assert noted.estimated
