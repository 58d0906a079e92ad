"""What is read of a request to a model."""

import json
from typing import Any

import pytest

from gateway.llm.apis import find
from gateway.llm.prices import Tier
from gateway.llm.request import BadBody, ModelRequest, read

CHAT = "/v1/chat/completions"
GEMINI = "/v1beta/models/gemini-9:generateContent"


def asked(body: bytes | dict[str, Any], path: str = CHAT) -> ModelRequest:
    """A request with this body."""
    call = find("POST", path)
    assert call is not None
    return read(call, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_what_decides_about_a_request_is_read() -> None:
    """Model, stream, limit of output, choices, tools, and what keeps a client with one provider."""
    request = asked(
        {
            "model": "m",
            "stream": True,
            "max_completion_tokens": 50,
            "n": 2,
            "tools": [{"type": "function"}, {"type": "function"}],
            "prompt_cache_key": "k",
            "previous_response_id": "r",
        }
    )
    assert (request.model, request.stream, request.output_limit, request.n, request.tools) == ("m", True, 50, 2, 2)
    assert (request.prompt_cache_key, request.previous_response_id) == ("k", "r")


@pytest.mark.parametrize(
    ("body", "tier"),
    [
        ({}, Tier()),
        ({"speed": "fast"}, Tier(speed="fast")),
        ({"speed": "fast", "service_tier": "auto"}, Tier(speed="fast")),
        ({"speed": "fast", "service_tier": None}, Tier(speed="fast")),
        ({"speed": "standard", "service_tier": "priority"}, Tier("priority")),
        ({"speed": "fast", "service_tier": "flex"}, Tier("flex", "fast")),
        ({"speed": 1.5}, Tier()),
        ({"serviceTier": "PRIORITY"}, Tier("priority")),
    ],
)
def test_whatever_changes_the_price_of_a_request_is_read(body: dict[str, Any], tier: Tier) -> None:
    """One member hides no other one."""
    assert asked(body).tier == tier


def test_what_is_left_out_has_its_default() -> None:
    """No limit, one choice, no tools, no stream."""
    request = asked({})
    assert (request.model, request.stream, request.output_limit, request.n, request.tools) == ("", False, None, 1, 0)


def test_gemini_is_read_in_both_spellings() -> None:
    """Its servers take names with capitals and with underscores, and so do we."""
    tools = [{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}]
    request = asked({"generationConfig": {"maxOutputTokens": 9, "candidateCount": 3}, "tools": tools}, GEMINI)
    assert (request.model, request.output_limit, request.n, request.tools) == ("gemini-9", 9, 3, 2)
    assert asked({"generation_config": {"max_output_tokens": 7}}, GEMINI).output_limit == 7
    tools = [{"functionDeclarations": [{"name": "a"}], "function_declarations": [{"name": "b"}, {"name": "c"}]}, {}]
    assert asked({"tools": tools, "functions": [{"name": "d"}]}, GEMINI).tools == 5


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'\xef\xbb\xbf{"model":"m"}', "not valid JSON"),
        (b'{"model":"\xff"}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'"model"', "must be a JSON object"),
        (b'{"model":5}', "`model` must be a string"),
        (b'{"stream":"true"}', "`stream` must be true or false"),
        (b'{"max_tokens":"100"}', "`max_tokens` must be a whole number"),
        (b'{"max_tokens":1.5}', "`max_tokens` must be a whole number"),
        (b'{"max_tokens":true}', "`max_tokens` must be a whole number"),
        (b'{"max_tokens":1e999}', "`max_tokens` must be a whole number"),
        (b'{"max_tokens":NaN}', "`max_tokens` must be a whole number"),
        (b'{"n":[]}', "`n` must be a whole number"),
        (b'{"model":"' + b"x" * 1000 + b'"}', "`model` is too long"),
        (b'{"model":"\\ud83d"}', "`model` has half of a character"),
        (b'{"stream":true,"stream_options":5}', "`stream_options` must be an object"),
        (b'{"Model":"m"}', "`Model` must be written `model`"),
        (b'{"tools":[],"Tools":[]}', "`Tools` must be written `tools`"),
        (b'{"service_tier":"flex","serviceTier":"priority"}', "are the same"),
        (b'{"tools":[],"Background":true}', "must be written `background`"),
        (b'{"service_tier":3}', "`service_tier` must be a string"),
        (b'{"Temperature":2}', "`Temperature` must be written `temperature`"),
        ('{"\u017ftream":true}'.encode(), "must be written `stream`"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_name(body: bytes, sentence: str) -> None:
    """The text is for the client; servers that are laxer than we must not read something else."""
    with pytest.raises(BadBody, match=sentence):
        asked(body)


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        (b'{"max_tokens":123456789012345678901234567890}', 2**31 - 1),
        (b'{"max_tokens":-1}', None),
        (b'{"max_tokens":0}', None),
        (b'{"max_tokens":1e3}', 1000),
        (b'{"max_tokens":5,"max_completion_tokens":9}', 9),
        (b'{"max_tokens":null}', None),
        (b'{"max_tokens":5,"max_completion_tokens":-1}', None),
        (b'{"max_tokens":0,"max_completion_tokens":5}', None),
        (b'{"max_tokens":5,"max_completion_tokens":null}', 5),
        (b'{"max_tokens":5,"n_predict":9}', 9),
        (b'{"max_tokens":5,"n_predict":-1}', None),
        (b'{"n_predict":9}', None),
    ],
)
def test_limits_of_output_are_numbers_that_can_be_counted_with(body: bytes, limit: int | None) -> None:
    """However large they are; the largest, where there are two; none where a server may take one of them for none."""
    assert asked(body).output_limit == limit


@pytest.mark.parametrize(
    ("path", "body", "limit"),
    [
        ("/v1/messages", b'{"max_tokens":0}', 0),
        ("/v1/completions", b'{"max_tokens":0}', 0),
        ("/v1/responses", b'{"max_output_tokens":0}', None),
        ("/v1/responses", b'{"max_output_tokens":5,"max_tokens":-1}', None),
        (GEMINI, b'{"generationConfig":{"maxOutputTokens":0}}', None),
        (GEMINI, b'{"generationConfig":{"maxOutputTokens":-1}}', None),
        ("/v1/embeddings", b'{"max_tokens":"5"}', None),
    ],
)
def test_each_api_has_limits_of_its_own(path: str, body: bytes, limit: int | None) -> None:
    """A limit of 0 is one where it has a use: to rate or to cache a prompt."""
    assert asked(body, path).output_limit == limit


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m"' + b',"model":"m"' * 20_000 + b"}",
        b'{"mod\\u0065l":"m"' + b',"x":1' * 20_000 + b"}",
        b'{"a":[' + b"[]," * 1_100_000 + b"1]}",
        b'{"a":[' + b"1," * 4_100_000 + b"1]}",
    ],
)
def test_a_body_that_is_a_burden_is_refused(body: bytes) -> None:
    """What would take gigabytes of memory, or seconds, is no request."""
    with pytest.raises(BadBody, match="too many"):
        asked(body)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"generationConfig":[]}', "must be an object"),
        (b'{"generationConfig":{},"generation_config":{}}', "are the same"),
        (b'{"generationConfig":{"maxOutputTokens":1,"max_output_tokens":9}}', "are the same"),
        (b'{"generationConfig":{"maxOutputTokens":"1"}}', "`maxOutputTokens` must be a whole number"),
    ],
)
def test_limits_of_gemini_that_could_be_read_otherwise_are_refused(body: bytes, sentence: str) -> None:
    """Two spellings of one member, and wrong types."""
    with pytest.raises(BadBody, match=sentence):
        asked(body, GEMINI)


@pytest.mark.parametrize(
    ("members", "answers"),
    [
        ('"prompt":"a","n":2,"best_of":5', 5),
        ('"prompt":"a","n":2,"n_cmpl":4', 4),
        ('"prompt":["a","b","c"],"n":2', 6),
        ('"prompt":[1,2,3]', 1),
        ('"prompt":[[1],[2]]', 2),
        ('"prompt":[]', 1),
    ],
)
def test_answers_are_counted_that_a_completion_asks_for(members: str, answers: int) -> None:
    """Each of several prompts has its own, and what is thrown away costs tokens as well."""
    call = find("POST", "/v1/completions")
    assert call is not None
    assert read(call, b'{"model":"a",%b}' % members.encode()).n == answers


def test_what_goes_on_in_the_background_is_known() -> None:
    """In the one API that has it: of pictures the word is a colour. What is neither true nor false is refused."""
    assert asked({"background": True}, "/v1/responses").background
    assert not asked({"background": None}, "/v1/responses").background
    assert not asked({"background": "transparent"}, "/v1/images/generations").background
    with pytest.raises(BadBody, match="`background` must be true or false"):
        asked({"background": "true"}, "/v1/responses")
