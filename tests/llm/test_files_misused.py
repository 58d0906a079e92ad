"""Files, batches and conversations in the hands of callers who look for a way round what holds for them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.http.testing import make_exchange
from gateway.llm.affinity import Origin, Seal
from gateway.upstream.sticky import CookieKey
from tests.llm.storing_provider import StoringProvider
from tests.llm.support import Gateway, chat
from tests.llm.test_files import (
    ALONE,
    ANTHROPIC,
    FORM_TYPE,
    OF_ANTHROPIC,
    storing,
    upload,
    uploaded,
    with_file,
)
from tests.llm.test_guardrails import POLICIES
from tests.llm.test_handler import LIMITED
from tests.llm.test_naming import ALICE, BOB, ROUTES
from tests.support import read_head

SECRET = "a secret of the gateway that is long enough"
PART = '{"role": "user", "content": [{"type": "file", "file": {%s}}]}'


@pytest.mark.parametrize(
    "hidden",
    [
        r'"\u0066ile_id": "file-one0"',
        r'"file_id": "file-\u006fne0"',
        '"file_id": "file-one0", "file_id": "file-of-nobody"',
        '"file_id": "file-of-nobody", "file_id": "file-one0"',
        '"file_ids": "file-one0"',
        '"file_id": ["file-one0"]',
    ],
)
async def test_no_reference_is_hidden(hidden: str) -> None:
    """By escapes in its name, by being there twice, or as a value of another kind: whoever has it is the only one."""
    async with storing(ALONE, routes=ROUTES, auth=LIMITED) as (made, one, _):
        await uploaded(made, headers=ALICE)
        one.received.clear()
        body = f'{{"model": "small", "messages": [{PART % hidden}]}}'.encode()
        refused = await made.ask("/v1/chat/completions", body, headers=BOB)
        assert refused.status in (400, 404), refused.body
        assert not one.received


async def test_no_reference_is_hidden_in_a_member_that_is_there_twice() -> None:
    """Which of them a provider reads is its own choice."""
    async with storing(ALONE, routes=ROUTES, auth=LIMITED) as (made, one, _):
        await uploaded(made, headers=ALICE)
        one.received.clear()
        part = PART % '"file_id": "file-one0"'
        body = f'{{"messages": [{part}], "model": "small", "messages": []}}'.encode()
        assert (await made.ask("/v1/chat/completions", body, headers=BOB)).status == 400
        twice = b'{"input_file_id": "file-one0", "endpoint": "/v1/responses", "input_file_id": "file-of-nobody"}'
        assert (await made.ask("/v1/batches", twice, headers=BOB)).status == 400
        assert not one.received


async def test_what_is_stored_must_be_readable() -> None:
    """No body passes of which it cannot be seen what it refers to, though a provider might read it."""
    body = {"items": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-one0"}]}]}
    async with storing(ALONE, routes=ROUTES, auth=LIMITED) as (made, one, _):
        await uploaded(made, headers=ALICE)
        one.received.clear()
        for data in (json.dumps(body).encode("utf-16"), b"items[0][file_id]=file-one0", json.dumps([body]).encode()):
            refused = await made.ask("/v1/conversations", data, headers=BOB)
            assert (refused.status, refused.json["error"]["code"]) == (400, "invalid_request")
        assert not one.received
        assert (await made.ask("/v1/conversations", b"", method="POST", headers=BOB)).status == 200


async def test_no_form_refers_to_files() -> None:
    """Forms pass as they come, so that none may refer to what another caller has."""
    part = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    form = part % (b"model", b"small") + part % (b"image[file_id]", b"file-one0") + b"--b--\r\n"
    late = part % (b"image[file_id]", b"file-one0") + part % (b"model", b"small") + b"--b--\r\n"
    async with storing(ALONE, routes=ROUTES, auth=LIMITED) as (made, one, _):
        for body in (form, late):
            refused = await made.ask("/v1/images/edits", body, headers=[FORM_TYPE, *BOB])
            assert refused.status == 400, refused.body
        assert not one.received


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/files/%66ile-one0"),
        ("GET", "/v1/files/file-one0/"),
        ("GET", "/v1/files//file-one0"),
        ("GET", "/v1/files/FILE-ONE0"),
        ("GET", "/v1/files/x/../file-one0"),
        ("GET", "/v1/files/x/%2e%2e/file-one0/content"),
        ("GET", "/v1//files/file-one0/content"),
        ("GET", "/v1/files/file-one0?key=x"),
        ("GET", "/v1/files?after=file-one0"),
        ("HEAD", "/v1/files/file-one0"),
        ("PUT", "/v1/files/file-one0"),
        ("PATCH", "/v1/files/file-one0"),
        ("OPTIONS", "/v1/files/file-one0"),
        ("DELETE", "/v1/files/file-one0"),
        ("POST", "/v1/files/file-one0"),
        ("POST", "/v1/files/file-one0/content"),
        ("POST", "/v1/batches/file-one0/cancel"),
        ("GET", "/v1/conversations/file-one0/items"),
        ("DELETE", "/v1/conversations/file-one0"),
    ],
)
async def test_no_way_of_writing_a_path_leads_to_what_is_another_callers(method: str, path: str) -> None:
    """Nor does any other method."""
    async with storing(ALONE, routes=ROUTES, auth=LIMITED) as (made, one, _):
        await uploaded(made, headers=ALICE)
        one.received.clear()
        answered = await made.ask(path, method=method, headers=BOB)
        assert 400 <= answered.status < 500, answered.body
        assert not one.received


async def test_what_is_sealed_in_answers_is_the_id_of_no_file() -> None:
    """What the gateway seals with encrypted thinking opens, but to no id."""
    mark = Seal(CookieKey(SECRET, None, "")).sealed(Origin("one", ""), "", make_exchange("GET", "/"))
    async with storing() as (made, one, two):
        for path, method in ((f"/v1/files/file-gw1_{mark}", "DELETE"), (f"/v1/batches/b_gw1_{mark}/cancel", "POST")):
            assert (await made.ask(path, method=method)).status == 404
        assert (await made.ask("/v1/chat/completions", with_file(f"file-gw1_{mark}"))).status == 404
        assert not one.received + two.received


def batch(*models: str, **others: Any) -> dict[str, Any]:
    """A batch of Messages."""
    params = [{"model": model, "max_tokens": 9, "messages": []} for model in models]
    return {**others, "requests": [{"custom_id": f"c{at}", "params": each} for at, each in enumerate(params)]}


async def test_no_model_is_hidden_in_a_batch() -> None:
    """A batch that names a model of its own, beside those of its requests, hides none of these."""
    async with storing(ANTHROPIC, routes=ROUTES, auth=LIMITED) as (made, one, two):
        headers = [*ALICE, *OF_ANTHROPIC]
        for body in (
            batch("large", "small", model="large"),
            batch("large", model="small"),
            batch("small", model="large"),
        ):
            refused = await made.ask("/v1/messages/batches", body, headers=headers)
            assert (refused.status, "large" in refused.json["error"]["message"]) == (403, True), refused.body
        assert not one.received + two.received
        assert (await made.ask("/v1/messages/batches", batch("small", model="small"), headers=headers)).status == 200


async def test_no_batch_of_messages_gets_round_the_profile_of_a_model(tmp_path: Path) -> None:
    """A rule gives each request its profile: what holds for one of them is not got round behind another one."""
    rules = "modelRouting: {default: fast, rules: [{when: {model: large}, use: short}], profiles: "
    models = ANTHROPIC.replace("modelRouting: {default: fast, profiles: ", rules).replace(
        "[two, one]}", "[two, one]}, short: {max_output_tokens: 9}"
    )
    async with storing(models, base=tmp_path) as (made, one, two):
        for named in (("small", "large"), ("large", "small")):
            refused = await made.ask("/v1/messages/batches", batch(*named), headers=OF_ANTHROPIC)
            assert (refused.status, "short" in refused.json["error"]["message"]) == (403, True), refused.body
        assert not one.received + two.received


async def test_requests_in_a_batch_refer_to_containers() -> None:
    """Of one that nobody is known to have issued no provider is guessed, as in a request that comes alone."""
    body = batch("small")
    body["requests"][0]["params"]["container"] = "container_1"
    async with storing(ANTHROPIC) as (made, one, two):
        refused = await made.ask("/v1/messages/batches", body, headers=OF_ANTHROPIC)
        assert (refused.status, "container" in refused.json["error"]["message"]) == (400, True), refused.body
        assert not one.received + two.received


async def test_guardrails_look_at_what_a_conversation_begins_with(tmp_path: Path) -> None:
    """And at what is added: a response that goes on with it would not bring that again."""
    models = ALONE + (
        "modelRouting: {default: fast, profiles: {fast: {guardrails: [guard]}}}\n"
        'guardrails: {guard: {policy: "guards.py:Refusing", on: [input]}}\n'
    )
    items = {"items": [{"type": "message", "role": "user", "content": "a secret"}]}
    async with storing(models, base=tmp_path, sources={"guards.py": POLICIES}) as (made, one, _):
        refused = await made.ask("/v1/conversations", items)
        assert (refused.status, refused.json["error"]["code"]) == (400, "content_refused")
        id = (await made.ask("/v1/conversations", {})).json["id"]
        assert (await made.ask(f"/v1/conversations/{id}/items", items)).status == 400
        assert [path for _, path, _, _ in one.received] == ["/v1/conversations"]


CREATING: list[tuple[str, bytes | dict[str, Any]]] = [
    ("/v1/conversations?model=small", {}),
    ("/v1/files?model=small", b""),
    ("/v1/batches?model=small", {"endpoint": "/v1/responses"}),
]


async def create(made: Gateway, path: str, body: bytes | dict[str, Any]) -> int:
    return (await upload(made, "?model=small") if body == b"" else await made.ask(path, body)).status


@pytest.mark.parametrize(("path", "body"), CREATING)
async def test_nothing_is_created_twice(path: str, body: bytes | dict[str, Any]) -> None:
    """A provider that fails may have created it: neither it nor another one is asked again, and the client's SDK is
    told not to. One that wants no more for now has not."""
    async with storing() as (made, one, two):
        two.status = 500
        assert await create(made, path, body) == 500
        assert (len(one.received), len(two.received)) == (0, 1)
        two.status = 429
        assert await create(made, path, body) == 200
        assert (len(one.received), len(two.received)) == (1, 2)


@pytest.mark.parametrize("reused", [False, True])
async def test_nothing_is_created_twice_where_the_answer_is_lost(reused: bool) -> None:
    """Also where the provider closes a connection that had been used before."""

    class Closing(StoringProvider):
        async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while head := await read_head(reader):
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
                self.received.append((head.decode().split(" ")[0], "", "", await reader.readexactly(length)))
                if len(self.received) > reused:
                    break
                answer = b'{"id": "conv_1"}'
                kind = b"Content-Type: application/json\r\n"
                writer.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (kind, len(answer), answer))
                await writer.drain()
            writer.close()

    one, two = Closing("one"), Closing("two")
    async with storing(given=(one, two)) as (made, _, _):
        if reused:
            assert (await made.ask("/v1/conversations?model=small", {})).status == 200
        answered = await made.ask("/v1/conversations?model=small", {})
        assert answered.status == 502, answered.body
        assert answered.headers["x-should-retry"] == "false"
        assert (len(one.received), len(two.received)) == (0, 1 + reused)


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_failing_uploads_keep_nobody_from_the_models(status: int) -> None:
    """The model of the query says only where a file is to be: requests to it are none that failed."""
    async with storing(ALONE) as (made, one, _):
        one.status = status
        for _ in range(6):
            await upload(made, "?model=small")
        one.status = 200
        assert (await made.ask("/v1/chat/completions", chat())).status == 200


async def test_pages_are_no_answers_of_what_is_stored() -> None:
    """A web page in place of a file's data means that the provider is somewhere else; a file may be one."""
    async with storing(ALONE) as (made, one, _):
        id = await uploaded(made)
        one.kind = "text/html"
        assert (await upload(made)).status == 502
        assert (await made.ask(f"/v1/files/{id}")).status in (502, 503)
        assert (await made.ask(f"/v1/files/{id}/content")).status == 200


async def test_a_file_may_be_of_events() -> None:
    """It comes as it is, also where it looks like a stream that has broken off, or failed."""
    async with storing(ALONE) as (made, one, _):
        id = await uploaded(made)
        one.kind = "text/event-stream"
        for data in (b'data: {"choices": []}\n\ndata: {"cho', b'data: {"error": {"message": "No"}}\n\n'):
            one.files["file-one0"] = data
            content = await made.ask(f"/v1/files/{id}/content")
            assert (content.status, content.body) == (200, data)
