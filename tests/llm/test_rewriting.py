"""How little of a request is changed on its way to a provider."""

import json

import pytest

from gateway.llm.request import BadBody
from gateway.llm.rewriting import limited, rewritten
from tests.llm.test_request import CHAT, GEMINI, asked
from tests.support import computes_within


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "m", "t": NaN, "x": "\\ud83d", "n": 1}',
        b'{"big": 123456789012345678901234567890, "model"  :"m"}',
        b' {"messages":[{"content":"\xf0\x9f\x98\x80 \\u00e9 \\/"}],\n\t"model":"m","a":1,"a":2}\r\n',
    ],
)
def test_unusual_bodies_pass_as_they_are(body: bytes) -> None:
    """Halves of characters, numbers that JSON does not have, members twice: all but the model is as it was sent."""
    request = asked(body)
    assert request.body == body
    assert rewritten(request) == body
    assert rewritten(request, model="m") == body
    assert rewritten(request, model="other") == body.replace(b'"m"', b'"other"')


def test_members_that_are_there_twice_are_read_alike() -> None:
    """The last one counts here, and stands in both places from then on: no server can read the other."""
    request = asked(b'{"model":"dear","max_tokens":9999,"model":"m","max_tokens":5}')
    assert (request.model, request.output_limit) == ("m", 5)
    assert rewritten(request) == b'{"model":"m","max_tokens":5,"model":"m","max_tokens":5}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"stream":true}', b'{"stream":true,"stream_options":{"include_usage":true}}'),
        (b'{"stream":true,"stream_options":null}', b'{"stream":true,"stream_options":{"include_usage":true}}'),
        (b'{"stream":true,"stream_options":{}}', b'{"stream":true,"stream_options":{"include_usage":true}}'),
        (b'{"stream_options":{"include_usage":false,"a":1},"stream":true}',
         b'{"stream_options":{"include_usage":true,"a":1},"stream":true}'),
        (b'{"stream_options":{"a":{"include_usage":1}},"stream":true}',
         b'{"stream_options":{"a":{"include_usage":1},"include_usage":true},"stream":true}'),
    ],
)  # fmt: skip
def test_usage_is_asked_for_in_streams_of_chat(body: bytes, expected: bytes) -> None:
    """Where the client did not; nothing else changes."""
    request = asked(body)
    assert not request.reports_usage
    assert rewritten(request, ask_usage=True) == expected


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, b'{"stream":true,"stream_options":{"include_usage":true}}'),
        (CHAT, b'{"stream":false}'),
        ("/v1/responses", b'{"stream":true}'),
        ("/v1/messages", b'{"stream":true}'),
        (GEMINI, b"{}"),
    ],
)
def test_usage_is_not_asked_for_where_it_comes_by_itself(path: str, body: bytes) -> None:
    """In other APIs, in answers that come whole, and where the client asks for it."""
    request = asked(body, path)
    assert request.reports_usage
    assert rewritten(request, ask_usage=True) == body


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (CHAT, b"{}", b'{"max_completion_tokens":7}'),
        (CHAT, b'{"max_tokens": 100}', b'{"max_tokens": 7}'),
        (CHAT, b'{"max_tokens":100,"max_completion_tokens":9}', b'{"max_tokens":7,"max_completion_tokens":7}'),
        (CHAT, b'{"max_tokens":null}', b'{"max_tokens":null,"max_completion_tokens":7}'),
        (CHAT, b'{"max_tokens":5,"max_completion_tokens":-1}', b'{"max_tokens":5,"max_completion_tokens":7}'),
        (CHAT, b'{"max_tokens":0}', b'{"max_tokens":7}'),
        (CHAT, b'{"n_predict":-1}', b'{"n_predict":7,"max_completion_tokens":7}'),
        (CHAT, b'{"n_predict":5}', b'{"n_predict":5,"max_completion_tokens":7}'),
        ("/v1/completions", b'{"a":1}', b'{"a":1,"max_tokens":7}'),
        ("/v1/responses", b'{"a":1}', b'{"a":1,"max_output_tokens":7}'),
        ("/v1/messages", b'{"max_tokens":-1}', b'{"max_tokens":7}'),
        (GEMINI, b"{}", b'{"generationConfig":{"maxOutputTokens":7}}'),
        (GEMINI, b'{"generationConfig":{"temperature":1}}',
         b'{"generationConfig":{"temperature":1,"maxOutputTokens":7}}'),
        (GEMINI, b'{"generation_config":{"max_output_tokens":100}}', b'{"generation_config":{"max_output_tokens":7}}'),
        ("/v1/embeddings", b"{}", b"{}"),
    ],
)  # fmt: skip
def test_a_limit_of_output_is_set_where_the_api_has_it(path: str, body: bytes, expected: bytes) -> None:
    """In place of the client's own, or beside what it sent; not where there is no output."""
    assert rewritten(asked(body, path), output_limit=7) == expected


def test_several_changes_are_made_at_once() -> None:
    """Model, usage and limit, each in its place."""
    body = b'{"stream":true,"model":"m","messages":[]}'
    assert rewritten(asked(body), model="other", ask_usage=True, output_limit=7) == (
        b'{"stream":true,"model":"other","messages":[],"stream_options":{"include_usage":true},"max_completion_tokens":7}'
    )


def test_the_model_of_gemini_is_changed_wherever_a_body_names_it() -> None:
    """The path and the parts of the body must name the same."""
    path = "/v1beta/models/m:batchEmbedContents"
    body = b'{"requests": [{"model":"models/m","content":{"model":"x"}}, {"content":{}} ],"model" : "models/m"}'
    assert rewritten(asked(body, path), model="other") == (
        b'{"requests": [{"model":"models/other","content":{"model":"x"}}, {"content":{}} ],"model" : "models/other"}'
    )
    body = b'{"generateContentRequest":{"contents":[],"model":"models/m"}}'
    assert rewritten(asked(body, "/v1beta/models/m:countTokens"), model="other") == body.replace(b"/m", b"/other")
    body = b'{"requests":5,"contents":"model"}'
    assert rewritten(asked(body, GEMINI), model="other") == body
    body = b'{"model":"m"}'
    assert rewritten(asked(body, "/v1beta/models/m:countTokens"), model="m") == body


@pytest.mark.parametrize("name", [b'"model"', b'"mod\\u0065l"'])
@pytest.mark.parametrize("filling", [b"x", b"\\n", b'\\"model\\":', b"{[", b"\\ud800"])
def test_the_largest_bodies_are_read_in_time(name: bytes, filling: bytes) -> None:
    """Whatever they hold: 8 MiB take fractions of a second."""
    body = b'{"messages":["' + filling * (8 * 1024**2 // len(filling)) + b'"],' + name + b':"m"}'
    assert rewritten(asked(body), model="other") == body[:-4] + b'"other"}'
    assert computes_within(3, lambda: rewritten(asked(body), model="other"))


def test_a_request_that_is_translated_has_the_same_limit() -> None:
    """In its document, also where that has half of a character."""
    request = asked(b'{"max_tokens":100,"messages":["\\ud83d"]}', "/v1/messages")
    assert limited(request, 7) == {"max_tokens": 7, "messages": ["\ud83d"]}
    assert limited(request, None) == request.document
    assert limited(asked(b"{}"), 7) == {"max_completion_tokens": 7}


def test_an_object_that_is_a_burden_is_refused() -> None:
    """Where a member of it must be found, and may be hidden among thousands."""
    request = asked(b'{"stream":true,"stream_options":{"\\u0061":1' + b',"b":1' * 20_000 + b',"include_usage":false}}')
    with pytest.raises(BadBody, match="too many"):
        rewritten(request, ask_usage=True)


def test_a_body_that_is_changed_elsewhere_is_still_changed_in_the_right_place() -> None:
    """Ids are opened in it, and texts redacted, before its model is known."""
    request = asked(b'{"previous_response_id":"a long id","model":"m","stream":true}', "/v1/responses")
    request.body = b'{"previous_response_id":"x","model":"m","stream":true}'
    request.document = json.loads(request.body)
    assert rewritten(request, model="other") == b'{"previous_response_id":"x","model":"other","stream":true}'
