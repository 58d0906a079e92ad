"""Models that a request names beside its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.llm.naming import other_models
from tests.llm.support import chat, two_providers
from tests.llm.test_handler import ANTHROPIC, LIMITED

ROUTES = "routes: [{id: models, path: /*, target: models}]\n"
MODELS = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, models: [small, smaller, large]}
  two: {protocol: openai, base_url: http://127.0.0.1:%d/v1, models: [small]}
aliases: {quick-chat: {one: large}}
"""
ANY = """
providers:
  one: {protocol: %s, base_url: http://127.0.0.1:%%d}
  two: {protocol: openai, base_url: http://127.0.0.1:%%d/v1, models: [other]}
"""
ALICE = [("authorization", "Bearer a-key-of-alice-0")]  # who may use small, and aliases that begin with "quick"
BOB = [("authorization", "Bearer a-key-of-bob-000")]  # all

NAMING: list[dict[str, Any]] = [
    {"models": ["small", "large"]},
    {"models": "large"},
    {"Models": ["large"]},
    {"route": "fallback", "models": [{"model": "large", "messages": []}]},
    {"fallbacks": ["large"]},
    {"fallbacks": [{"small": ["large"]}]},
    {"context_window_fallbacks": [{"small": ["large"]}]},
    {"model_list": [{"model_name": "small", "litellm_params": {"model": "large"}}]},
    {"draft_model": "large"},
    {"engine": "large"},
    {"tools": [{"type": "image_generation", "model": "large"}]},
    {"tools": [{"type": "advisor", "name": "advisor", "model": "large"}]},
    {"plugins": [{"id": "auto-router", "allowed_models": ["large"]}]},
    {"extra_body": {"model": "large"}},
    {"generation": {"routing": {"modelName": "large"}}},
]
NOT_NAMING: list[dict[str, Any]] = [
    {"models": ["small"]},
    {"metadata": {"model": "large"}},
    {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"model": "large"}}}}]},
    {"tools": [{"name": "f", "input_schema": {"properties": {"model": {"type": "string", "default": "large"}}}}]},
    {"response_format": {"type": "json_schema", "json_schema": {"schema": {"model": "large"}}}},
]


@pytest.mark.parametrize("others", NAMING, ids=json.dumps)
async def test_no_member_names_a_model_that_a_consumer_may_not_use(others: dict[str, Any]) -> None:
    """Whichever member would have a provider answer with it, or call it: refused, before anything is sent."""
    async with two_providers(ANY % "openai", routes=ROUTES, auth=LIMITED) as (made, one, _):
        refused = await made.ask("/v1/chat/completions", chat("small", **others), headers=ALICE)
        assert not one.received
        await made.ask("/v1/chat/completions", chat("small", **others), headers=BOB)
        assert json.loads(one.received[0].body) == chat("small", **others)
    assert (refused.status, refused.json["error"]["code"]) == (403, "model_not_allowed")
    assert refused.json["error"]["param"] != "model" or "model" in json.dumps(others)


@pytest.mark.parametrize("others", NOT_NAMING, ids=json.dumps)
async def test_words_that_name_no_model_pass(others: dict[str, Any]) -> None:
    """Labels, descriptions of tools and models that the consumer may use are sent as they are."""
    async with two_providers(ANY % "openai", routes=ROUTES, auth=LIMITED) as (made, one, _):
        await made.ask("/v1/chat/completions", chat("small", **others), headers=ALICE)
        assert json.loads(one.received[0].body) == chat("small", **others)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "small", "messages": [], "models": ["large"], "models": null}',
        b'{"model": "small", "messages": [], "tools": [{"model": "large", "model": "small"}]}',
        b'{"model": "small", "messages": [], "tools": [{"model": "large"}], "tools": []}',
        b'{"model": "small", "messages": [], "tools": [{"MODEL": "small", "model": "small"}]}',
        b'{"model": "small", "messages": [], "mod\\u0065ls": ["large"], "models": ["small"]}',
    ],
)
async def test_a_member_that_is_there_twice_hides_no_model(body: bytes) -> None:
    """Of two members with one name nobody knows which one a provider reads."""
    async with two_providers(ANY % "openai", routes=ROUTES, auth=LIMITED) as (made, one, _):
        refused = await made.ask("/v1/chat/completions", body, headers=ALICE)
        assert not one.received
    assert refused.status == 400


async def test_a_model_with_commas_is_each_of_them() -> None:
    """Some servers answer with whichever is the fastest: a pattern that fits the beginning lets none of the others."""
    auth = LIMITED.replace('models: [small, "Quick*"]', 'models: ["small*"]')
    async with two_providers(ANY % "openai", routes=ROUTES, auth=auth) as (made, one, _):
        refused = await made.ask("/v1/chat/completions", chat("small,large"), headers=ALICE)
        assert not one.received
    assert refused.status == 403


async def test_other_models_are_of_those_that_the_provider_offers() -> None:
    """Only a provider is asked that offers all of them under these names, and where there is none the request is
    refused: a list leads to nothing that models.yaml does not offer."""
    async with two_providers(MODELS, routes=ROUTES, auth=LIMITED) as (made, one, two):
        answered = await made.ask("/v1/chat/completions", chat("small", models=["smaller"]), headers=BOB)
        assert (answered.status, len(one.received), len(two.received)) == (200, 1, 0)
        assert [(left.provider, left.reason) for left in answered.noted.left_out] == [("two", "model")]
        for names in (["no-such"], ["quick-chat"], ["smaller", "no-such"]):
            refused = await made.ask("/v1/chat/completions", chat("small", models=names), headers=BOB)
            assert (refused.status, refused.json["error"]["code"]) == (404, "model_not_found")
            assert refused.json["error"]["param"] == "models"
        assert (len(one.received), len(two.received)) == (1, 0)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("generateContent", {"model": "models/large"}),
        ("generateContent", {"generationConfig": {"routingConfig": {"manualMode": {"modelName": "large"}}}}),
        ("batchEmbedContents", {"requests": [{"model": "models/small"}, {"model": "models/large"}]}),
        ("countTokens", {"generateContentRequest": {"model": "models/large"}}),
    ],
)
async def test_the_body_names_the_model_of_the_path(path: str, body: dict[str, Any]) -> None:
    """Gemini's paths name the model; a body that names another one is refused, whoever asks."""
    async with two_providers(ANY % "gemini", routes=ROUTES, auth=LIMITED) as (made, one, _):
        refused = await made.ask(f"/v1beta/models/small:{path}", {"contents": [], **body}, headers=BOB)
        assert not one.received
        same = json.loads(json.dumps(body).replace("large", "small"))
        await made.ask(f"/v1beta/models/small:{path}", {"contents": [], **same}, headers=BOB)
        assert len(one.received) == 1
    assert refused.status == 400


@pytest.mark.parametrize("query", ["model=large", "mod%65l=large", "Models=large", "models[]=large", "a=b&fallbacks=x"])
async def test_a_query_names_no_model(query: str) -> None:
    """The body does; a server that reads both must not be led elsewhere."""
    async with two_providers(ANY % "openai", routes=ROUTES, auth=LIMITED) as (made, one, _):
        refused = await made.ask(f"/v1/chat/completions?{query}", chat("small"), headers=BOB)
        assert not one.received
    assert refused.status == 400


@pytest.mark.parametrize(
    "part",
    [
        b'name="models"\r\n\r\nlarge',
        b'name="Model"\r\n\r\nlarge',
        b'name="model[]"\r\n\r\nlarge',
        b'name="model"; filename="x"\r\n\r\nlarge',
        b'name="model"\r\n\r\nlarge',
        b'name="fallbacks"\r\n\r\nlarge',
    ],
)
@pytest.mark.parametrize("behind", [True, False])
async def test_a_form_names_one_model(part: bytes, *, behind: bool) -> None:
    """In one field: nothing else of it names another one, before that field or behind it."""
    own = b'name="model"\r\n\r\nsmall'
    parts = [own, part] if behind else [part, own]
    form = b"".join(b"--x\r\nContent-Disposition: form-data; %b\r\n" % each for each in parts) + b"--x--\r\n"
    headers = [*ALICE, ("content-type", "multipart/form-data; boundary=x")]
    async with two_providers(ANY % "openai", routes=ROUTES, auth=LIMITED) as (made, one, _):
        refused = await made.ask("/v1/audio/transcriptions", form, headers=headers)
        assert not one.received
    assert refused.status == 400


async def test_messages_name_no_other_model() -> None:
    """Tools of Anthropic's that call a model are looked at, too, and one that is allowed passes."""
    tools = [{"type": "advisor", "name": "advisor", "model": "large"}]
    body = chat("small", max_tokens=5, tools=tools)
    async with two_providers(ANY % "anthropic", routes=ROUTES, auth=LIMITED) as (made, one, _):
        refused = await made.ask("/v1/messages", body, headers=[*ANTHROPIC, *ALICE])
        assert (refused.status, refused.json["error"]["type"]) == (403, "permission_error")
        assert not one.received
        tools[0]["model"] = "small"
        await made.ask("/v1/messages", body, headers=[*ANTHROPIC, *ALICE])
        assert len(one.received) == 1


async def test_members_that_no_protocol_has_are_the_providers_business() -> None:
    """What they name, if anything, is not known: only a caller that may not use all models is held to its own."""
    body = chat("small", x={"model": "inner"})
    async with two_providers(MODELS, routes=ROUTES, auth=LIMITED) as (made, one, two):
        assert (await made.ask("/v1/chat/completions", body, headers=BOB)).status == 200
        assert json.loads([*one.received, *two.received][0].body) == body
        refused = await made.ask("/v1/chat/completions", body, headers=ALICE)
        assert len([*one.received, *two.received]) == 1
    assert refused.status == 403


def test_names_are_found_with_their_members() -> None:
    """What a request may not do is said by the member that would do it."""
    body = {
        "model": "a",
        "models": ["a", "b"],
        "tools": [{"model": "c"}],
        "messages": [{"model": "d"}],
        "x": {"model": "e"},
    }
    found = other_models("a", body)
    assert found.known == {"b": "models", "c": "model"}
    assert found.unknown == {"e": "model"}
