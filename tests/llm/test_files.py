"""Files, batches and conversations stay with who issued them, and are for who got them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from gateway.explain import explain
from gateway.http.model_record import LeftOut
from tests.llm.storing_provider import StoringProvider
from tests.llm.support import ROUTES as OPEN
from tests.llm.support import Answered, Gateway, chat, gateway
from tests.llm.test_handler import LIMITED
from tests.llm.test_naming import ALICE, BOB, ROUTES
from tests.support import scripted_backend

MODELS = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, keys: [key-of-one], models: [small, large]}
  two: {protocol: openai, base_url: http://127.0.0.1:%d/v1, keys: [key-of-two], models: [small]}
modelRouting: {default: fast, profiles: {fast: {preferProviders: [two, one]}}}
affinity: {secret: "a secret of the gateway that is long enough"}
"""
ALONE = "providers: {one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, keys: [key-of-one], models: [small]}}\n"
ANTHROPIC = MODELS.replace("openai", "anthropic").replace("/v1,", ",")
OF_ANTHROPIC = [("anthropic-version", "2023-06-01"), ("anthropic-beta", "files-api-2025-04-14")]
FORM_TYPE = ("content-type", "multipart/form-data; boundary=b")
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\nHello\r\n--b--\r\n'
)


@asynccontextmanager
async def storing(
    models: str = MODELS, *, given: Sequence[StoringProvider] = (), **files: Any
) -> AsyncIterator[tuple[Gateway, StoringProvider, StoringProvider]]:
    """A gateway before two providers that store things; of ALONE only the first is configured."""
    async with AsyncExitStack() as opened:
        providers = given or (StoringProvider("one"), StoringProvider("two"))
        ports = [await opened.enter_async_context(scripted_backend(each)) for each in providers]
        made = await opened.enter_async_context(gateway(models % tuple(ports[: models.count("%d")]), **files))
        yield made, providers[0], providers[1]


async def upload(made: Gateway, query: str = "", headers: Sequence[tuple[str, str]] = ()) -> Answered:
    return await made.ask(f"/v1/files{query}", FORM, headers=[FORM_TYPE, *headers])


async def uploaded(made: Gateway, query: str = "", headers: Sequence[tuple[str, str]] = ()) -> str:
    """The id of a new file."""
    answered = await upload(made, query, headers)
    assert answered.status == 200, answered.body
    id = answered.json["id"]
    assert isinstance(id, str)
    return id


def with_file(*ids: str, model: str = "small") -> dict[str, Any]:
    """A chat request that refers to files."""
    parts = [{"type": "file", "file": {"file_id": id}} for id in ids]
    return chat(model, messages=[{"role": "user", "content": parts}])


async def test_a_file_is_created_used_and_deleted_where_it_is() -> None:
    """Whichever provider is preferred: its id says who has it, and each gets the id that it gave."""
    async with storing() as (made, one, two):
        answered = await upload(made, "?model=large")
        id = answered.json["id"]
        assert id.startswith("file-gw1_")
        assert answered.body == json.dumps(one._file("file-one0"), separators=(",", ":")).encode().replace(
            b"file-one0", id.encode()
        )
        assert one.received == [("POST", "/v1/files", "key-of-one", FORM)]
        assert (await made.ask(f"/v1/files/{id}")).json["id"] == id
        content = await made.ask(f"/v1/files/{id}/content")
        assert (content.status, content.body) == (200, FORM)
        body = with_file(id)
        assert (await made.ask("/v1/chat/completions", body)).noted.provider == "one"
        assert json.loads(one.received[-1][3]) == with_file("file-one0")
        deleted = await made.ask(f"/v1/files/{id}", method="DELETE")
        assert (deleted.json["id"], deleted.json["deleted"]) == (id, True)
        assert [path for _, path, _, _ in one.received[1:3]] == ["/v1/files/file-one0", "/v1/files/file-one0/content"]
        assert not two.received


async def test_a_new_file_needs_one_provider() -> None:
    """No provider is guessed: the refusal says how to name one. A model that is not offered names none."""
    async with storing() as (made, one, two):
        refused = await upload(made)
        assert (refused.status, refused.json["error"]["param"]) == (400, "model")
        assert "?model=NAME" in refused.json["error"]["message"]
        assert (await upload(made, "?model=other")).status == 404
        assert not one.received + two.received
        assert (await upload(made, "?model=small")).noted.provider == "two"
        large = (await upload(made, "?model=large")).noted
        assert (large.provider, large.left_out) == ("one", (LeftOut("two", "model"),))
    async with storing(ALONE) as (made, one, _):
        assert (await upload(made)).status == 200
        assert (await made.ask("/v1/files", b"{}")).status == 400


async def test_what_is_in_a_file_is_not_read() -> None:
    """A file of JSON comes as it is, also where it looks like an error, or has ids."""
    async with storing(ALONE) as (made, one, _):
        id = await uploaded(made)
        one.files["file-one0"] = b'{"error": {"message": "No"}, "id": "file-one0"}'
        content = await made.ask(f"/v1/files/{id}/content")
        assert (content.status, content.body) == (200, one.files["file-one0"])


async def test_files_of_several_providers_are_not_mixed() -> None:
    """The refusal names both; nor is a file asked of a provider without the model; an unknown one is not guessed."""
    async with storing() as (made, one, two):
        first, second = await uploaded(made, "?model=large"), await uploaded(made, "?model=small")
        one.received.clear()
        two.received.clear()
        mixed = await made.ask("/v1/chat/completions", with_file(first, second))
        assert (mixed.status, mixed.json["error"]["code"]) == (400, "mixed_providers")
        assert "one and two" in mixed.json["error"]["message"]
        elsewhere = await made.ask("/v1/chat/completions", with_file(second, model="large"))
        assert (elsewhere.status, elsewhere.json["error"]["code"]) == (400, "mixed_providers")
        unknown = await made.ask("/v1/chat/completions", with_file("file-of-nobody"))
        assert (unknown.status, unknown.json["error"]["param"]) == (400, "file_id")
        assert not one.received + two.received
        one.status = 500
        gone = await made.ask("/v1/chat/completions", with_file(first))
        assert (gone.status, b"known to one provider only" in gone.body) == (503, True)
        assert not two.received


@pytest.mark.parametrize(
    "body",
    [
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "ID"}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "ID"}]}]},
        {"input": "Hi", "tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["ID"]}}]},
    ],
)
async def test_responses_refer_to_files(body: dict[str, Any]) -> None:
    """Wherever a request for a response has one."""
    async with storing() as (made, one, two):
        id = await uploaded(made, "?model=large")
        text = json.dumps({"model": "small", **body})
        answered = await made.ask("/v1/responses", text.replace("ID", id).encode())
        assert (answered.status, answered.noted.provider) == (200, "one"), answered.body
        assert one.received[-1][3] == text.replace("ID", "file-one0").encode()
        refused = await made.ask("/v1/responses", text.encode())
        assert (refused.status, refused.json["error"]["code"]) == (400, "unknown_origin")
        assert "by the id that this gateway gave out, or create it anew here" in refused.json["error"]["message"]
        assert not two.received


@pytest.mark.parametrize(
    "named",
    [
        {"conversation": "conv_of_nobody"},
        {"conversation": {"id": "conv_of_nobody"}},
        {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
        {"tools": [{"type": "code_interpreter", "container": "cntr_1"}]},
    ],
)
async def test_what_nobody_is_known_to_have_issued_is_not_guessed(named: dict[str, Any]) -> None:
    """A refusal where several could have it; where one could, that one is asked."""
    body = {"model": "small", "input": "Hi", **named}
    async with storing() as (made, one, two):
        answered = await made.ask("/v1/responses", body)
        assert (answered.status, answered.json["error"]["code"]) == (400, "unknown_origin")
        assert not one.received + two.received
    async with storing(ALONE) as (made, one, _):
        assert (await made.ask("/v1/responses", body)).status == 200
        assert json.loads(one.received[-1][3]) == body


async def test_words_of_tools_are_no_references() -> None:
    """What a model has given a tool, and schemas, may have members of the same names."""
    call = {"type": "tool_use", "id": "t", "name": "run", "input": {"container": "box", "file_id": "x"}}
    schema = {"type": "object", "properties": {"file_id": {"type": "string"}}, "default": {"file_id": "x"}}
    body = {
        "model": "small",
        "max_tokens": 9,
        "tools": [{"name": "run", "input_schema": schema}],
        "messages": [{"role": "assistant", "content": [call]}],
    }
    async with storing(ANTHROPIC) as (made, _, two):
        assert (await made.ask("/v1/messages", body)).status == 200
        assert json.loads(two.received[-1][3]) == body


async def test_a_conversation_goes_on_where_it_began() -> None:
    """By its id in a path, and in a request for a response."""
    async with storing() as (made, one, two):
        id = (await made.ask("/v1/conversations?model=large", {})).json["id"]
        assert id.startswith("conv_gw1_")
        assert (await made.ask(f"/v1/conversations/{id}")).json["id"] == id
        for named in (id, {"id": id}):
            answered = await made.ask("/v1/responses", {"model": "small", "input": "Hi", "conversation": named})
            assert (answered.status, answered.noted.provider) == (200, "one"), answered.body
            assert b"conv_one1" in one.received[-1][3]
        assert not two.received


async def test_a_batch_is_worked_off_where_its_file_is() -> None:
    """Created, looked up and cancelled there; the files that it names have ids of the gateway, too."""
    async with storing() as (made, one, two):
        file = await uploaded(made, "?model=large")
        body = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        batch = (await made.ask("/v1/batches", body)).json
        assert json.loads(one.received[-1][3]) == body | {"input_file_id": "file-one0"}
        assert batch["input_file_id"] == file
        assert batch["id"].startswith("batch_gw1_")
        assert (await made.ask(f"/v1/batches/{batch['id']}")).json["id"] == batch["id"]
        assert (await made.ask(f"/v1/batches/{batch['id']}/cancel", b"", method="POST")).status == 200
        assert one.received[-1][:2] == ("POST", "/v1/batches/batch_one1/cancel")
        assert (await made.ask(f"/v1/files/{batch['output_file_id']}/content")).status == 200
        assert one.received[-1][1] == "/v1/files/file-one9/content"
        unknown = await made.ask("/v1/batches", body | {"input_file_id": "file-of-nobody"})
        assert (unknown.status, unknown.json["error"]["param"]) == (400, "input_file_id")
        assert not two.received


async def test_files_and_batches_of_messages() -> None:
    """A batch goes to a provider that offers all of its models; its results are asked for below the same base URL."""
    requests = [{"custom_id": "a", "params": {"model": "large", "max_tokens": 9, "messages": []}}]
    async with storing(ANTHROPIC) as (made, one, two):
        batch = (await made.ask("/v1/messages/batches", {"requests": requests}, headers=OF_ANTHROPIC)).json
        assert batch["results_url"] == f"/v1/messages/batches/{batch['id']}/results"
        assert json.loads(one.received[-1][3]) == {"requests": requests}
        assert (await made.ask(batch["results_url"], headers=OF_ANTHROPIC)).status == 200
        assert one.received[-1][1] == "/v1/messages/batches/batch_one1/results"
        id = await uploaded(made, "?model=large", OF_ANTHROPIC)
        source = {"type": "document", "source": {"type": "file", "file_id": id}}
        body = {"model": "small", "max_tokens": 9, "messages": [{"role": "user", "content": [source]}]}
        assert (await made.ask("/v1/messages", body, headers=OF_ANTHROPIC)).noted.provider == "one"
        assert b'"file-one0"' in one.received[-1][3]
        requests[0]["params"] = {"model": "other"}
        missing = await made.ask("/v1/messages/batches", {"requests": requests}, headers=OF_ANTHROPIC)
        assert (missing.status, missing.json["type"]) == (404, "error")
        assert not two.received


async def test_what_is_stored_is_for_who_got_it() -> None:
    """Neither by the gateway's id nor by the provider's, in a path or a body, and also after a restart."""
    models = ALONE + "affinity: {secret: a secret of the gateway that is long enough}\n"
    async with storing(models, routes=ROUTES, auth=LIMITED) as (made, one, _):
        id = await uploaded(made, headers=ALICE)
        assert (await made.ask(f"/v1/files/{id}", headers=ALICE)).status == 200
        one.received.clear()
        for stolen in (id, "file-one0"):
            refused = await made.ask(f"/v1/files/{stolen}/content", headers=BOB)
            assert (refused.status, refused.json["error"]["code"]) == (404, "file_not_found")
            assert (await made.ask("/v1/chat/completions", with_file(stolen), headers=BOB)).status == 404
        assert (await made.ask("/v1/files", headers=BOB)).status == 403
        assert not one.received
        assert (await made.ask("/v1/files/file-one0", headers=ALICE)).status == 200
    async with storing(models, routes=ROUTES, auth=LIMITED) as (made, one, _):
        assert (await made.ask(f"/v1/files/{id}", headers=ALICE)).status == 200
        for stolen in (id, "file-one0"):
            assert (await made.ask(f"/v1/files/{stolen}", headers=BOB)).status == 404
        assert len(one.received) == 1


CITED = [{"type": "file_citation", "file_id": "file-1", "index": 0, "filename": "a.pdf"}]
BATCH = {"input_file_id": "file-x", "endpoint": "/v1/chat/completions", "completion_window": "24h"}


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ("budgets: {all: {key: [route], store: memory, limits: [{tokens: 9000, window: day}]}}\n", "the budget"),
        ("model_routing: {default: a, profiles: {a: {max_output_tokens: 9}}}\n", "the profile a"),
        ("model_routing: {default: a, profiles: {a: {}, b: {allow: {tenants: [acme]}}}}\n", "the profile b"),
    ],
)
async def test_no_batch_gets_round_what_holds_for_requests(more: str, part: str) -> None:
    """What is not counted or looked at within a batch has it refused, with the reason."""
    async with storing(ALONE + more, routes=OPEN) as (made, one, _):
        refused = await made.ask("/v1/batches", BATCH)
        assert (refused.status, refused.json["error"]["code"]) == (403, "batch_not_allowed")
        assert part in refused.json["error"]["message"]
        assert not one.received


async def test_no_batch_has_models_that_its_caller_may_not_use() -> None:
    """Of OpenAI, where the models are in a file, none is taken of such a caller; of Anthropic those of its models."""
    async with storing(ALONE, routes=ROUTES, auth=LIMITED) as (made, one, _):
        assert (await made.ask("/v1/batches", BATCH, headers=ALICE)).json["error"]["code"] == "batch_not_allowed"
        assert (await made.ask("/v1/batches", BATCH, headers=BOB)).status == 200
        assert len(one.received) == 1
    async with storing(ANTHROPIC, routes=ROUTES, auth=LIMITED) as (made, one, two):
        for model, status in (("large", 403), ("small", 200)):
            body = {"requests": [{"custom_id": "a", "params": {"model": model, "max_tokens": 9, "messages": []}}]}
            answered = await made.ask("/v1/messages/batches", body, headers=[*ALICE, *OF_ANTHROPIC])
            assert answered.status == status, answered.body
        assert (len(one.received), len(two.received)) == (0, 1)


async def test_lists_have_ids_of_the_gateway() -> None:
    """A list goes on behind what was last in it."""
    async with storing(ALONE) as (made, one, _):
        ids = [await uploaded(made), await uploaded(made)]
        listed = (await made.ask("/v1/files?limit=2")).json
        assert ([entry["id"] for entry in listed["data"]], listed["first_id"]) == (ids, ids[0])
        assert (await made.ask(f"/v1/files?after={ids[1]}&limit=2")).status == 200
        assert one.received[-1][1] == "/v1/files?after=file-one1&limit=2"


async def test_a_request_that_is_pinned_is_explained_so() -> None:
    """By the running gateway as it is served; by another process, which may not know it, as undecided."""
    async with storing() as (made, _, _):
        id = await uploaded(made, "?model=large")
        path = "/v1/chat/completions"
        for body, candidates in ((with_file(id), ["one/small"]), (chat(), ["two/small", "one/small"])):
            said = await explain(made.snapshot, "POST", path, [], body=json.dumps(body).encode(), why_none=str)
            noted = (await made.ask(path, body)).noted
            assert said["candidates"] == list(noted.candidates) == candidates
            assert said["left_out"] == [f"{left.provider}: {left.reason}" for left in noted.left_out]
            assert said.get("made_by", "").startswith("one: " if body != chat() else "")
        for running, outcome in ((True, "refused"), (False, "undecided")):
            why: dict[str, Any] = {"why_none": str} if running else {}
            data = json.dumps(with_file("file-of-nobody")).encode()
            said = await explain(made.snapshot, "POST", path, [], body=data, **why)
            assert (said["outcome"], "--running" in said["verdict"]) == (outcome, not running)


async def test_a_large_file_streams_and_a_key_keeps_its_files() -> None:
    """What is larger than is held comes whole; of a provider with several keys, the one that has a file is used."""
    large = FORM.replace(b"Hello", b"Hello" * 200_000)
    models = ALONE.replace("[key-of-one]", "[key-a, key-b]")
    async with storing(models) as (made, one, _):
        for _ in range(4):
            answered = await made.ask("/v1/files", large, headers=[FORM_TYPE])
            assert answered.status == 200, answered.body
            assert one.received[-1][3] == large
            key = one.received[-1][2]
            for path in (f"/v1/files/{answered.json['id']}", f"/v1/files/{answered.json['id']}/content"):
                assert (await made.ask(path)).status == 200
                assert one.received[-1][2] == key
        assert (await made.ask("/v1/files")).status == 400  # whose of the two keys?


async def test_what_a_model_has_made_comes_back() -> None:
    """Results of tools that name files are no references, where nothing is known of them."""
    made_by_model = [
        {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1", "code": "1", "status": "completed"},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "x", "annotations": CITED}],
        },
    ]
    async with storing() as (made, _, two):
        answered = await made.ask("/v1/responses", {"model": "small", "input": made_by_model})
        assert (answered.status, answered.noted.provider) == (200, "two"), answered.body
        assert json.loads(two.received[-1][3])["input"] == made_by_model


async def test_a_file_that_a_model_has_made_is_for_its_caller() -> None:
    """By the id of the provider, which stands in the answer, and for no other caller."""
    result = {"type": "code_execution_output", "file_id": "file_made"}
    block = {"type": "code_execution_tool_result", "tool_use_id": "t", "content": {"content": [result]}}
    alone = ALONE.replace("openai", "anthropic").replace("/v1,", ",")
    body = {"model": "small", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    async with storing(alone, routes=ROUTES, auth=LIMITED) as (made, one, _):
        one.content = [block]
        assert (await made.ask("/v1/messages", body, headers=ALICE)).status == 200
        for caller, status in ((BOB, 404), (ALICE, 200)):
            path = "/v1/files/file_made/content"
            assert (await made.ask(path, headers=[*caller, *OF_ANTHROPIC])).status == status
        assert len(one.received) == 2
