"""Requests to models, from their reading to their end."""

from __future__ import annotations

import gzip
import json
import zlib
from hashlib import sha256
from typing import Any

import pytest

from tests.llm.support import PROVIDERS, answering, chat, gateway, two_providers
from tests.support import scripted_backend

ANTHROPIC = [("anthropic-version", "2023-06-01")]
KEYED = """
routes: [{id: models, path: /*, target: models, auth: [keys]}]
"""
AUTH = """
schemes: {keys: {api_key: {header: X-API-Key}}}
consumers: [{name: alice, tenant: acme, keys: [{hash: "sha256:%s"}]}]
"""


async def test_a_path_that_is_no_api_is_refused_in_the_clients_format() -> None:
    """As far as the path tells whose client it is."""
    async with two_providers() as (made, _, _two):
        answered = await made.ask("/v1/nothing", chat())
        assert (answered.status, answered.json["error"]["code"]) == (404, "unknown_url")
        answered = await made.ask("/v1/messages/nothing", chat())
        assert (answered.status, answered.json["type"]) == (404, "error")
        answered = await made.ask("/v1beta/models/a:nothing", chat())
        assert answered.json["error"]["status"] == "NOT_FOUND"


async def test_a_model_that_is_not_offered_is_a_404_that_names_those_that_are() -> None:
    """In the client's format."""
    models = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, models: [small, large]}
  two: {protocol: anthropic, base_url: http://127.0.0.1:%d, models: [clever]}
"""
    async with two_providers(models) as (made, one, two):
        answered = await made.ask("/v1/chat/completions", chat("huge"))
        assert (answered.status, answered.json["error"]["code"]) == (404, "model_not_found")
        assert "small, large, clever" in answered.json["error"]["message"]
        assert answered.headers["x-should-retry"] == "false"
        assert "huge" not in str(answered.exchange.error) + answered.noted.asked  # which logs have: it may be a key
        answered = await made.ask("/v1/messages", chat("huge", max_tokens=5))
        assert (answered.status, answered.json["error"]["type"]) == (404, "not_found_error")
        answered = await made.ask("/v1/chat/completions", chat("clever"))  # which speaks another protocol
        assert answered.status == 404
        assert "anthropic" in answered.json["error"]["message"]
        assert not one.received
        assert not two.received


async def test_a_model_that_is_only_offered_in_other_profiles_is_not_said_to_be_there() -> None:
    """A refusal does not list the model that it refuses, but names the profile."""
    models = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, models: [small]}
  two: {protocol: openai, base_url: http://127.0.0.1:%d/v1, models: [small]}
aliases: {quick: {two: small}}
model_routing:
  default: wide
  profiles: {wide: {}, narrow: {providers: [one]}}
  rules: [{when: {header: {name: X-Narrow}}, use: narrow}]
"""
    async with two_providers(models) as (made, _, _two):
        answered = await made.ask("/v1/chat/completions", chat("quick"), headers=[("x-narrow", "1")])
        assert (answered.status, answered.json["error"]["code"]) == (404, "model_not_found")
        assert answered.json["error"]["message"] == (
            "the model is offered here, but by no provider of the profile narrow"
        )


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"model":7}', b'{"model":"a","stream":"yes"}', b'{"messages":[]}']
)
async def test_a_body_that_cannot_be_read_is_a_400(body: bytes) -> None:
    """Which says what is wrong, and which reaches no provider."""
    async with two_providers() as (made, one, _):
        answered = await made.ask("/v1/chat/completions", body)
        assert answered.status == 400, answered.body
        assert answered.json["error"]["type"] == "invalid_request_error"
        assert not one.received


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_compressed_request_is_sent_on_decoded(coding: str) -> None:
    """With the length of what is sent."""
    body = json.dumps(chat()).encode()
    packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    async with two_providers() as (made, one, _):
        answered = await made.ask("/v1/chat/completions", packed, headers=[("Content-Encoding", coding)])
        assert answered.status == 200, answered.body
        assert one.received[0].body == body
        assert "content-encoding" not in one.received[0].headers


async def test_what_is_too_large_is_a_413_in_the_clients_format() -> None:
    """Also where it is small only as long as it is compressed."""
    models = PROVIDERS + "max_body: 2KB\n"
    async with two_providers(models) as (made, one, _):
        large = json.dumps(chat(padding="x" * 3000)).encode()
        answered = await made.ask("/v1/messages", large, headers=ANTHROPIC)
        assert (answered.status, answered.json["error"]["type"]) == (413, "request_too_large")
        packed = gzip.compress(large)
        assert len(packed) < 2000
        answered = await made.ask("/v1/chat/completions", packed, headers=[("Content-Encoding", "gzip")])
        assert (answered.status, answered.json["error"]["code"]) == (413, "request_too_large")
        cut = gzip.compress(json.dumps(chat()).encode())[:-9]
        answered = await made.ask("/v1/chat/completions", cut, headers=[("Content-Encoding", "gzip")])
        assert answered.status == 400
        answered = await made.ask("/v1/chat/completions", packed, headers=[("Content-Encoding", "br")])
        assert answered.status == 415
        assert not one.received


async def test_errors_of_policies_come_in_the_clients_format() -> None:
    """Of authentication here: with the challenge, and without a word about a problem document."""
    async with two_providers(routes=KEYED, auth=AUTH % ("a" * 64)) as (made, one, _):
        answered = await made.ask("/v1/chat/completions", chat())
        assert (answered.status, answered.json["error"]["code"]) == (401, "invalid_api_key")
        assert answered.headers["content-type"] == "application/json"
        answered = await made.ask("/v1/messages", chat(max_tokens=5), headers=[*ANTHROPIC, ("x-api-key", "wrong")])
        assert (answered.status, answered.json["error"]["type"]) == (401, "authentication_error")
        answered = await made.ask("/v1beta/models/a:generateContent", {}, headers=[("x-goog-api-key", "wrong")])
        assert (answered.status, answered.json["error"]["status"]) == (401, "UNAUTHENTICATED")
        assert not one.received


async def test_clients_learn_which_models_there_are() -> None:
    """In the shape of their SDK; one of them by its name, too."""
    models = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, models: [small, "more-*"]}
  two: {protocol: anthropic, base_url: http://127.0.0.1:%d, models: [clever]}
aliases: {default-chat: {one: small}}
"""
    async with two_providers(models) as (made, _, _two):
        answered = await made.ask("/v1/models")
        assert [entry["id"] for entry in answered.json["data"]] == ["default-chat", "small", "clever"]
        answered = await made.ask("/v1/models", headers=ANTHROPIC)
        assert answered.json["data"][0]["type"] == "model"
        answered = await made.ask("/v1/models", headers=[("x-goog-api-key", "k")])
        assert answered.json["models"][0]["name"] == "models/default-chat"
        answered = await made.ask("/v1beta/models")
        assert answered.json["models"][0]["name"] == "models/default-chat"
        assert (await made.ask("/v1/models/small")).json["id"] == "small"
        assert (await made.ask("/v1/models/none")).status == 404
        assert (await made.ask("/", method="HEAD")).status == 200


LIMITED = """
schemes: {keys: {api_key: {}}}
default: [keys]
consumers:
  - {name: alice, keys: [{key: a-key-of-alice-0}], models: [small, "Quick*"]}
  - {name: bob, keys: [{key: a-key-of-bob-000}]}
"""
OF_LIMITED = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, models: [small, large]}
  two: {protocol: anthropic, base_url: http://127.0.0.1:%d, models: [clever]}
aliases: {quick-chat: {one: large}, slow-chat: {one: large}}
"""


async def test_a_consumer_may_name_its_models_only() -> None:
    """Others are refused in the client's format, before anything is sent, and are not listed to it."""
    routes = "routes: [{id: models, path: /*, target: models}]\n"
    alice, bob = [("authorization", "Bearer a-key-of-alice-0")], [("authorization", "Bearer a-key-of-bob-000")]
    async with two_providers(OF_LIMITED, routes=routes, auth=LIMITED) as (made, one, two):
        listed = await made.ask("/v1/models", headers=alice)
        assert [entry["id"] for entry in listed.json["data"]] == ["quick-chat", "small"]
        assert len((await made.ask("/v1/models", headers=bob)).json["data"]) == 5
        assert (await made.ask("/v1/models/large", headers=alice)).status == 404
        for name in ("small", "quick-chat"):
            assert (await made.ask("/v1/chat/completions", chat(name), headers=alice)).status == 200
        refused = await made.ask("/v1/chat/completions", chat("large"), headers=alice)
        unknown = await made.ask("/v1/chat/completions", chat("no-such"), headers=alice)
        other = await made.ask("/v1/messages", chat("clever", max_tokens=5), headers=[*ANTHROPIC, *alice])
        assert (len(one.received), len(two.received)) == (2, 0)
        assert (await made.ask("/v1/chat/completions", chat("large"), headers=bob)).status == 200
    assert (refused.status, refused.json["error"]["code"]) == (403, "model_not_allowed")
    assert refused.json["error"]["message"] == ("you may not use the model `large`; you may use: quick-chat, small")
    assert (unknown.status, unknown.json["error"]["code"]) == (403, "model_not_allowed")
    assert (other.status, other.json["error"]["type"]) == (403, "permission_error")


@pytest.mark.parametrize(
    ("path", "kind"), [("/v1/messages", ("error", "invalid_request_error")), ("/v1/chat/completions", (None, None))]
)
async def test_another_method_is_refused_in_the_clients_format(path: str, kind: tuple[str | None, str | None]) -> None:
    """Which no route takes: with what the path takes, and nothing is counted."""
    routes = "routes: [{id: models, path: /v1/*, methods: [POST], target: models, auth: []}]\n"
    async with two_providers(routes=routes) as (made, one, _):
        answered = await made.ask(path, b"{}", method="PUT")
        assert not one.received
    assert (answered.status, answered.headers["allow"]) == (405, "POST")
    assert answered.headers["content-type"] == "application/json"
    assert "takes POST, not PUT" in answered.json["error"]["message"]
    if kind[0] is not None:
        assert (answered.json["type"], answered.json["error"]["type"]) == kind


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/messages", "/v1/messages"),
        ("/api/chat/completions", "/api/v1/chat/completions"),
    ],
)
async def test_a_wrong_base_url_is_named_in_the_clients_format(path: str, meant: str) -> None:
    """One without the version that its SDK wants, or with one that its SDK adds: a 404 that says what is taken."""
    routes = """
routes:
- {id: chat, path: /v1/chat/completions/*, target: models, auth: []}
- {id: messages, path: /v1/messages/*, target: models, auth: []}
- {id: api, path: /api/v1/chat/completions/*, strip_prefix: /api, target: models, auth: []}
"""
    async with two_providers(routes=routes) as (made, one, two):
        answered = await made.ask(path, chat())
        assert (answered.status, answered.json["error"]["message"]) == (
            404,
            f"no route takes POST {path}, but {meant}: correct the base URL of the client",
        )
        elsewhere = await made.ask("/shop" + path, chat())  # where no route to models is
        assert "but" not in str(elsewhere.exchange.error)
        assert not one.received
        assert not two.received


async def test_a_profile_brings_the_limit_of_output_down() -> None:
    """What asks for less stays as it is."""
    models = PROVIDERS.replace("preferProviders: [one, two]", "preferProviders: [one, two], maxOutputTokens: 50")
    async with two_providers(models) as (made, one, _):
        for body in (chat(), chat(max_tokens=1000), chat(max_tokens=20)):
            assert (await made.ask("/v1/chat/completions", body)).status == 200
        limits = [json.loads(received.body) for received in one.received]
    assert limits[0]["max_completion_tokens"] == 50
    assert limits[1]["max_tokens"] == 50
    assert limits[2] == chat(max_tokens=20)


@pytest.mark.parametrize(
    ("path", "asked", "sent"),
    [
        ("/v1/chat/completions", {"max_tokens": 5, "max_completion_tokens": -1}, {5, 50}),
        ("/v1/chat/completions", {"max_tokens": 5, "max_completion_tokens": 0}, {5, 50}),
        ("/v1/chat/completions", {"max_tokens": 5, "n_predict": -1}, {5, 50}),
        ("/v1/chat/completions", {"max_tokens": 5, "n_predict": 1000}, {5, 50}),
        ("/v1/chat/completions", {"n_predict": -1}, {50}),
        ("/v1/completions", {"max_tokens": 0, "prompt": "a"}, {1}),
        ("/v1/responses", {"max_output_tokens": 0, "input": "a"}, {50}),
    ],
)
async def test_a_profile_limits_what_some_servers_take_for_no_limit(
    path: str, asked: dict[str, Any], sent: set[int]
) -> None:
    """Below 0, 0, and in a member of theirs; a lower limit beside it hides nothing, and stays."""
    models = PROVIDERS.replace("preferProviders: [one, two]", "preferProviders: [one, two], maxOutputTokens: 50")
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict")
    async with two_providers(models) as (made, one, _):
        await made.ask(path, {**chat(), **asked})
        body = json.loads(one.received[0].body)
    assert {body[name] for name in names if name in body} == sent


def long(words: int) -> dict[str, Any]:
    """A chat request with so many words."""
    return chat(messages=[{"role": "user", "content": "word " * words}])


async def test_rules_and_estimates_choose_the_profile() -> None:
    """By a header, and by the length of the prompt."""
    models = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1}
  two: {protocol: openai, base_url: http://127.0.0.1:%d/v1}
modelRouting:
  default: fast
  profiles:
    fast: {providers: [one], maxContextTokens: 1000, overflow: heavy}
    heavy: {providers: [two], maxContextTokens: 10000}
  rules: [{when: {header: {name: X-Route-Profile, equals: heavy}}, use: heavy}]
"""
    async with two_providers(models) as (made, one, two):
        answered = await made.ask("/v1/chat/completions", long(20000))
        assert (answered.status, answered.json["error"]["code"]) == (400, "context_length_exceeded")
        answered = await made.ask("/v1/chat/completions", long(1000))
        assert (answered.noted.rule, answered.noted.profile) == (None, "heavy")
        answered = await made.ask("/v1/chat/completions", chat(), headers=[("x-route-profile", "heavy")])
        assert (answered.noted.rule, answered.headers["x-gateway-profile"]) == (0, "heavy")
        assert (len(one.received), len(two.received)) == (0, 2)


async def test_requests_of_gemini_have_their_model_in_the_path() -> None:
    """The key goes from the query into the header."""
    models = """
providers: {one: {protocol: gemini, base_url: "http://127.0.0.1:%d", keys: [k], models: [flash]}}
aliases: {quick: {one: flash}}
#%d
"""
    body = {"contents": [{"role": "user", "parts": [{"text": "Say hi"}]}]}
    async with two_providers(models) as (made, one, _):
        path = "/v1beta/models/quick:streamGenerateContent?alt=sse&key=mine"
        answered = await made.ask(path, body)
        assert answered.status == 200, answered.body
        (received,) = one.received
        assert (received.path, received.query) == ("/v1beta/models/flash:streamGenerateContent", "alt=sse")
        assert received.headers["x-goog-api-key"] == "k"
        assert json.loads(received.body) == body
    noted = answered.noted
    assert (noted.finished, noted.estimated, noted.streamed) == (True, False, True)
    assert (noted.input_tokens, noted.output_tokens) == (one.completed.input, one.completed.output)


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n%b\r\n'
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n--b--\r\n'
)


async def test_a_form_goes_on_with_the_model_that_its_alias_stands_for() -> None:
    """All else of it as it came."""
    models = PROVIDERS + "aliases: {ears: {one: whisper-large}}\n"
    sound = bytes(range(256)) * 1000
    headers = [("Content-Type", "multipart/form-data; boundary=b")]
    async with two_providers(models) as (made, one, _):
        answered = await made.ask("/v1/audio/transcriptions", FORM % (sound, b"ears"), headers=headers)
        assert answered.status == 200, answered.body
        (received,) = one.received
        assert received.body == FORM % (sound, b"whisper-large")
        assert received.headers["content-length"] == str(len(received.body))
    assert answered.noted.asked == "ears"


async def test_a_form_with_a_second_model_behind_the_file_is_refused() -> None:
    """Which of them a provider takes is not known. It is seen as it passes, and the provider gets no whole form."""
    part = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n'
    body = part % b"cheap" + FORM % (b"sound" * 30000, b"dear")
    headers = [("Content-Type", "multipart/form-data; boundary=b")]
    async with two_providers() as (made, one, _):
        answered = await made.ask("/v1/audio/transcriptions", body, headers=headers)
        assert (answered.status, answered.json["error"]["param"]) == (400, "model")
        assert not one.received


async def test_a_request_in_another_protocol_is_translated_where_the_provider_says_so() -> None:
    """Whole and streamed, with its usage counted, and errors in the client's format."""
    models = """
providers: {one: {protocol: openai, base_url: "http://127.0.0.1:%d/v1", keys: [k], translate: [messages]}}
#%d
"""
    body = {"model": "small", "max_tokens": 50, "messages": [{"role": "user", "content": "Say hi"}]}
    async with two_providers(models) as (made, one, _):
        answered = await made.ask("/v1/messages?beta=true", body, headers=ANTHROPIC)
        assert answered.status == 200, answered.body
        assert (answered.json["type"], answered.json["role"]) == ("message", "assistant")
        (received,) = one.received
        assert (received.path, received.query) == ("/v1/chat/completions", "")
        assert received.headers["authorization"] == "Bearer k"
        assert "anthropic-version" not in received.headers
        assert answered.noted.translated == "openai.chat"
        assert answered.noted.output_tokens == one.completed.output > 0
        answered = await made.ask("/v1/messages", body | {"stream": True}, headers=ANTHROPIC)
        assert answered.status == 200
        assert b"event: message_stop" in answered.body
        assert (answered.noted.finished, answered.noted.estimated) == (True, False)
        one.fault = "cut-after"
        answered = await made.ask("/v1/messages", body | {"stream": True}, headers=ANTHROPIC)
        assert b"event: error" in answered.body
        assert b"message_stop" not in answered.body
        one.fault = "fail-400"
        answered = await made.ask("/v1/messages", body, headers=ANTHROPIC)
        assert (answered.status, answered.json["type"]) == (400, "error")


async def test_a_profile_bounds_the_temperature() -> None:
    """What is outside is refused, not changed."""
    models = PROVIDERS.replace("preferProviders: [one, two]", "temperature: {max: 1}")
    async with two_providers(models) as (made, _, _two):
        for temperature, status in ((0, 200), (1, 200), (1.5, 400), (-1, 200)):
            answered = await made.ask("/v1/chat/completions", chat(temperature=temperature))
            assert answered.status == status, answered.body
        assert "at most 1" in (await made.ask("/v1/chat/completions", chat(temperature=2))).json["error"]["message"]


@pytest.mark.parametrize("temperature", ["2", "0.5", True, [2], float("nan"), float("inf")])
async def test_a_temperature_that_is_no_number_is_refused_where_it_has_bounds(temperature: Any) -> None:
    """Some servers take a text for the number in it; no temperature is taken, and any where there are no bounds."""
    for bounds, status in (("temperature: {min: 0, max: 1}", 400), ("maxOutputTokens: 50", 200)):
        models = PROVIDERS.replace("preferProviders: [one, two]", bounds)
        async with two_providers(models) as (made, _, _two):
            answered = await made.ask("/v1/chat/completions", chat(temperature=temperature))
            assert answered.status == status, answered.body
            assert (await made.ask("/v1/chat/completions", chat(temperature=None))).status == 200


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"generationConfig": {"temperature": 2}}, 400),
        ({"generationConfig": None, "generation_config": {"temperature": 2}}, 400),
        ({"temperature": 0.5, "generationConfig": {"temperature": 2}}, 400),
        ({"temperature": 2, "generationConfig": {"temperature": 0.5}}, 400),
        ({"generationConfig": None, "generation_config": {"temperature": 0.5}}, 200),
    ],
)
async def test_the_temperature_of_gemini_is_bounded_wherever_it_stands(more: dict[str, Any], status: int) -> None:
    """No other place hides it."""
    models = """
providers: {one: {protocol: gemini, base_url: "http://127.0.0.1:%d/v1beta", models: [gem]}}
model_routing: {default: a, profiles: {a: {temperature: {min: 0, max: 1}}}}
"""
    async with scripted_backend(answering(b"{}")) as port, gateway(models % port) as made:
        answered = await made.ask("/v1beta/models/gem:generateContent", {"contents": [], **more})
    assert answered.status == status, answered.body


@pytest.mark.parametrize("name", ["a\r\nset-cookie: a=b", "a\0", "x" * 300])
async def test_names_of_models_are_short_and_printable(name: str) -> None:
    """They stand in headers and logs."""
    async with two_providers() as (made, one, _):
        answered = await made.ask("/v1/chat/completions", chat(name))
        assert (answered.status, answered.json["error"]["param"]) == (400, "model")
        assert not one.received


async def test_a_name_of_a_model_in_another_script_is_no_line_of_a_header() -> None:
    """It is sent as it is, and shown as far as headers can."""
    async with two_providers() as (made, one, _):
        answered = await made.ask("/v1/chat/completions", chat("модель-1"))
        assert answered.headers["x-gateway-model-backend"] == "one/??????-1"
        assert json.loads(one.received[0].body)["model"] == "модель-1"


async def test_only_files_come_in_forms() -> None:
    """What else is in one would pass without its limits being read."""
    form = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nsmall\r\n--x--\r\n'
    async with two_providers() as (made, one, _):
        lines = [("Content-Type", "multipart/form-data; boundary=x")]
        answered = await made.ask("/v1/chat/completions", form, headers=lines)
        assert answered.status == 400
        assert not one.received


async def test_a_client_does_not_say_whose_account_pays() -> None:
    """A provider would refuse the key together with another account's name."""
    names = ["OpenAI-Organization", "OpenAI-Project", "X-Goog-User-Project"]
    async with two_providers() as (made, one, _):
        answered = await made.ask("/v1/chat/completions", chat(), headers=[(name, "x") for name in names])
        assert answered.status == 200
        assert not {name.lower() for name in names} & set(one.received[0].headers)


async def test_what_browsers_send_is_no_providers_business() -> None:
    """Cookies and the address of a page do not reach a provider, also where a key had to be taken out of them."""
    auth = AUTH.replace("{header: X-API-Key}", "{header: X-API-Key, cookie: key, query: key}")
    hash_ = sha256(b"a-key-of-alice-0").hexdigest()
    for name, value in (("x-api-key", "a-key-of-alice-0"), ("cookie", "key=a-key-of-alice-0; session=private")):
        async with two_providers(routes=KEYED, auth=auth % hash_) as (made, one, _):
            page = ("referer", "https://intern.example/?key=a-key-of-alice-0&person=alice")
            cookies = [] if name == "cookie" else [("cookie", "session=private")]
            answered = await made.ask("/v1/chat/completions", chat(), headers=[(name, value), page, *cookies])
            assert answered.status == 200
            assert not {"cookie", "referer"} & set(one.received[0].headers)
