"""What a provider has stored, and what it counts without answering."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import orjson
import pytest

from tests.llm.support import Answered, chat, gateway, two_providers
from tests.llm.test_handler import LIMITED
from tests.llm.test_naming import ALICE, BOB, ROUTES
from tests.support import Script, read_head, scripted_backend

PROVIDER = "providers: {one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, keys: [key], models: [small]}}\n"
STORED = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "small",
    "choices": [],
    "usage": {"prompt_tokens": 9},
}


def storing(heads: list[bytes], bodies: list[bytes]) -> Script:
    """A provider that has one chat completion, and notes what it is asked."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        heads.append(head)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
        bodies.append(await reader.readexactly(length))
        answer = orjson.dumps({"object": "response.input_tokens", "input_tokens": 7} if b"tokens" in head else STORED)
        lines = b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(answer)
        writer.write(b"HTTP/1.1 200 OK\r\n" + lines + answer)
        await writer.drain()
        writer.close()

    return script


async def asked(requests: Sequence[tuple[str, str, bytes | None]]) -> tuple[list[Answered], list[bytes], list[bytes]]:
    heads: list[bytes] = []
    bodies: list[bytes] = []
    async with scripted_backend(storing(heads, bodies)) as port, gateway(PROVIDER % port) as made:
        answers = [await made.ask(path, body, method=method) for method, path, body in requests]
    return answers, heads, bodies


async def test_stored_chat_completions_are_passed_on() -> None:
    """Looked up, listed, changed and deleted, with the key of the provider, and nothing is charged."""
    path, change = "/v1/chat/completions/chatcmpl-1", b'{"metadata": {"a":"b"} }'
    answers, heads, bodies = await asked(
        [
            ("GET", path, None),
            ("GET", f"{path}/messages?limit=2", None),
            ("POST", path, change),
            ("DELETE", path, None),
            ("GET", "/v1/chat/completions?model=small&limit=3", None),
        ]
    )
    assert [answered.status for answered in answers] == [200] * 5
    assert [head.split(b" HTTP")[0] for head in heads] == [
        b"GET /v1/chat/completions/chatcmpl-1",
        b"GET /v1/chat/completions/chatcmpl-1/messages?limit=2",
        b"POST /v1/chat/completions/chatcmpl-1",
        b"DELETE /v1/chat/completions/chatcmpl-1",
        b"GET /v1/chat/completions?model=small&limit=3",
    ]
    assert all(b"authorization: bearer key" in head.lower() for head in heads)
    assert bodies == [b"", b"", change, b"", b""]
    assert not any(answered.noted.input_tokens or answered.noted.unpriced for answered in answers)


async def test_tokens_of_a_response_are_counted_by_the_provider() -> None:
    """For a model that is offered, and nothing is charged."""
    body = {"model": "small", "input": "Say hi"}
    path = "/v1/responses/input_tokens"
    answers, heads, bodies = await asked(
        [("POST", path, json.dumps(each).encode()) for each in (body, body | {"model": "other"})]
    )
    assert [answered.status for answered in answers] == [200, 404]
    assert (len(heads), json.loads(bodies[0])) == (1, body)
    assert (answers[0].json["input_tokens"], answers[0].noted.input_tokens) == (7, 0)


async def test_what_several_may_have_is_not_guessed() -> None:
    """No provider is asked for what another one may have."""
    async with two_providers() as (made, one, two):
        for path, code in (("/chatcmpl-1", "chat_completion_not_found"), ("", "list_not_available")):
            answered = await made.ask(f"/v1/chat/completions{path}")
            assert (answered.status, answered.json["error"]["code"]) == (404, code)
        assert not one.received
        assert not two.received


async def test_no_caller_lists_what_others_have_stored() -> None:
    """Unless models.yaml shares the lists, and then of models that the caller may use."""
    path = "/v1/chat/completions"
    heads: list[bytes] = []
    async with scripted_backend(storing(heads, [])) as port:
        async with gateway(PROVIDER % port, routes=ROUTES, auth=LIMITED) as made:
            answered = await made.ask(path, headers=BOB)
            assert (answered.status, answered.json["error"]["code"]) == (403, "list_not_available")
            assert "list_stored: true" in str(answered.exchange.error)  # for the operator, and not for the client
            assert b"list_stored" not in answered.body
            assert (await made.ask(f"{path}/chatcmpl-1", headers=BOB)).status == 200
        async with gateway(PROVIDER % port + "list_stored: true\n", routes=ROUTES, auth=LIMITED) as made:
            assert (await made.ask(path, headers=BOB)).status == 200
            for query, status in (("", 403), ("?model=large", 403), ("?model=small", 200)):
                assert (await made.ask(path + query, headers=ALICE)).status == status
    assert len(heads) == 3


@pytest.mark.parametrize("status", [b"401 No", b"403 No", b"429 No", b"500 No", b"503 No"])
async def test_what_is_stored_has_no_model_left_alone(status: bytes) -> None:
    """A key that may not look it up, or not so often, answers for models as before; whoever asks does no harm."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0))
        said = b"200 OK" if head.startswith(b"POST") else status
        writer.write(b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: 14\r\n\r\n" % said + b'{"choices":[]}')
        await writer.drain()
        writer.close()

    breaker = "breaker: {profile: llm, minimum: 2}, "
    models = PROVIDER.replace("keys:", f"{breaker}keys:")
    async with scripted_backend(script) as port, gateway(models % port) as made:
        for path in ("/v1/chat/completions/chatcmpl-1", "/v1/responses/resp_1", "/v1/files/file-1") * 2:
            assert (await made.ask(path)).status >= 400
        assert (await made.ask("/v1/chat/completions", chat())).status == 200


async def test_a_model_that_only_a_pattern_covers_is_there() -> None:
    """It is not in the list, but whoever may ask for it is told that there is such a one."""
    models = (PROVIDER % 9).replace("[small]", "[small, 'big-*']")
    async with gateway(models, routes=ROUTES, auth=LIMITED) as made:
        assert (await made.ask("/v1/models/big-9", headers=BOB)).json["id"] == "big-9"
        assert (await made.ask("/v1/models/other", headers=BOB)).status == 404
        assert (await made.ask("/v1/models/big-9", headers=ALICE)).status == 404
