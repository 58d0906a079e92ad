"""What a provider has made comes back to the deployment that made it, and to no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import Exchange, Identity
from gateway.http.testing import make_exchange
from gateway.llm.affinity import NotOurs, Origin, Seal, Sealing
from gateway.llm.apis import find
from gateway.llm.request import read
from gateway.upstream.sticky import CookieKey
from tests.llm.support import PROVIDERS, two_providers

KEY = Seal(CookieKey("a secret of sixteen characters"))
ONE = Origin("one", "abc")
SECRET = "affinity: {secret: a-secret-of-sixteen-characters}\n"


def caller(tenant: str | None, consumer: str = "alice") -> Exchange:
    """A request of this tenant."""
    exchange = make_exchange()
    exchange.identity = Identity(consumer, "keys", tenant)
    return exchange


@given(st.text(max_size=80))
def test_an_id_opens_for_its_tenant_only(id: str) -> None:
    """Valid for the whole tenant; without a tenant, for the consumer only. It is the same each time."""
    text = KEY.sealed(ONE, id, caller("acme"))
    assert KEY.opened(text, caller("acme", "bob")) == (ONE, id)
    assert text == KEY.sealed(ONE, id, caller("acme", "bob"))
    for other in (caller("rival"), caller(None), make_exchange()):
        with pytest.raises(NotOurs):
            KEY.opened(text, other)
    with pytest.raises(NotOurs):
        Seal(CookieKey("another secret")).opened(text, caller("acme"))
    with pytest.raises(NotOurs):
        KEY.opened(text[:-2] + ("BB" if text.endswith("AA") else "AA"), caller("acme"))


@given(st.text(max_size=60))
def test_what_is_no_id_opens_nothing(text: str) -> None:
    """Whatever it is."""
    with pytest.raises(NotOurs):
        KEY.opened(text, make_exchange())


def test_encrypted_content_says_who_has_made_it() -> None:
    """In every answer, and nowhere in a text; what comes back is as the provider made it."""
    sealing = Sealing(KEY, make_exchange())
    said = {"id": "resp_1", "output": [{"type": "reasoning", "encrypted_content": "abc"}, {"encrypted_content": None}]}
    said["output"].append({"text": '"encrypted_content":"x" "resp_1"'})  # type: ignore[attr-defined]
    changed = json.loads(sealing.answer(json.dumps(said).encode(), ONE))
    assert changed["output"][0]["encrypted_content"].startswith("gw1.")
    assert changed["output"][1:] == said["output"][1:]
    assert changed["id"].startswith("resp_gw1_")
    call = find("POST", "/v1/responses")
    assert call is not None
    body: dict[str, Any] = {"model": "a", "input": changed["output"][:1], "previous_response_id": changed["id"]}
    request, following = read(call, json.dumps(body).encode()), Sealing(KEY, make_exchange())
    following.open_request(request)
    assert following.origin == ONE
    expected = {"model": "a", "input": said["output"][:1], "previous_response_id": "resp_1"}
    assert json.loads(request.body) == request.document == expected


async def test_a_conversation_goes_on_where_it_began() -> None:
    """By the id of the response before, whichever provider is preferred, whole and streamed."""
    body = {"model": "small", "input": "Say hi"}
    async with two_providers(PROVIDERS + SECRET) as (made, one, two):
        one.fault = "fail-500"
        first = await made.ask("/v1/responses", body)
        assert first.status == 200, first.body
        id = first.json["id"]
        assert id.startswith("resp_gw1_")
        one.fault = ""
        for stream in (False, True):
            following = await made.ask("/v1/responses", body | {"previous_response_id": id, "stream": stream})
            assert following.status == 200, following.body
            assert following.noted.provider == "two"
        sent = [json.loads(received.body).get("previous_response_id") for received in two.received]
        assert sent[0] is None
        assert sent[1] == sent[2] == _own_id(two.received[0].body, first.body, sent[1])
        assert f'"{sent[1]}"'.encode() not in following.body
        assert b'"resp_gw1_' in following.body
        got = await made.ask(f"/v1/responses/{id}")
        assert (got.status, got.json["id"]) == (200, id)
        assert two.received[-1].path == f"/v1/responses/{sent[1]}"
        gone = await made.ask(f"/v1/responses/{id}", method="DELETE")
        assert gone.status == 200
        assert (gone.noted.input_tokens, got.noted.output_tokens) == (0, 0)


def _own_id(request: bytes, answer: bytes, id: str) -> str:
    """The provider's own id, which the client never sees."""
    assert id.startswith("resp_")
    assert id.encode() not in request + answer
    return id


async def test_no_other_provider_answers_for_one_that_is_down() -> None:
    """The client gets an error."""
    body = {"model": "small", "input": "Say hi"}
    async with two_providers(PROVIDERS + SECRET) as (made, one, two):
        first = await made.ask("/v1/responses", body)
        one.fault = "cut-at-once"
        answered = await made.ask("/v1/responses", body | {"previous_response_id": first.json["id"]})
        assert (answered.status, answered.json["error"]["code"]) == (503, "provider_unavailable")
        assert answered.noted.failure == "affinity"
        assert not two.received


async def test_an_unknown_id_is_not_guessed() -> None:
    """Neither one of unknown origin, nor a forged one."""
    async with two_providers(PROVIDERS + SECRET) as (made, one, two):
        for id in ("resp_1", "resp_gw1_AAAA", "resp_gw1_" + "A" * 200):
            answered = await made.ask(f"/v1/responses/{id}")
            assert (answered.status, answered.json["error"]["code"]) == (404, "response_not_found")
        assert not one.received
        assert not two.received


async def test_where_one_deployment_answers_its_ids_are_its_own(tmp_path: Path) -> None:
    """Nothing of the answer is changed."""
    models = "providers: {one: {protocol: openai, base_url: 'http://127.0.0.1:%d/v1'}}\n#%d"
    async with two_providers(models, base=tmp_path) as (made, one, _):
        answered = await made.ask("/v1/responses", {"model": "small", "input": "Say hi"})
        id = answered.json["id"]
        assert not id.startswith("resp_gw1_")
        assert (await made.ask(f"/v1/responses/{id}")).json["id"] == id
        assert one.received[-1].path == f"/v1/responses/{id}"


async def test_a_session_stays_with_one_provider() -> None:
    """By its header, or by the key of the prompt's cache; sessions are spread over all."""
    models = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1}
  two: {protocol: openai, base_url: http://127.0.0.1:%d/v1}
"""
    body = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}
    async with two_providers(models) as (made, one, two):
        for session in range(12):
            headers = [("X-Claude-Code-Session-Id", str(session))]
            served = {(await made.ask("/v1/chat/completions", body, headers=headers)).noted.provider for _ in range(3)}
            assert len(served) == 1
        assert one.received
        assert two.received
        keyed = [await made.ask("/v1/chat/completions", body | {"prompt_cache_key": "a"}) for _ in range(6)]
        assert len({answered.noted.provider for answered in keyed}) == 1
