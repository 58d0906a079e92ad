"""Answers of the gateway itself, as the SDKs of each family read them."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from gateway.http.messages import Response
from gateway.llm.answers import ListedModel, model_entry, model_list, refusal
from gateway.llm.apis import Family


def document(response: Response) -> Mapping[str, Any]:
    """The body of an answer, which its length must fit."""
    assert isinstance(response.body, bytes)
    assert dict(response.headers)[b"content-length"] == b"%d" % len(response.body)
    parsed: Mapping[str, Any] = orjson.loads(response.body)
    return parsed


def test_errors_of_openai_have_four_members() -> None:
    """message, type, param and code; a header keeps the SDK from retrying."""
    response = refusal("openai", 404, "model_not_found", "there is no model x", request_id="r-1", param="model")
    assert document(response) == {
        "error": {
            "message": "there is no model x",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }
    headers = dict(response.headers)
    assert headers[b"x-should-retry"] == b"false"
    assert headers[b"x-request-id"] == b"r-1"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (529, "overloaded_error"),
    ],
)
def test_errors_of_anthropic_have_a_type_for_each_status(status: int, kind: str) -> None:
    """And the id of the request in body and header."""
    response = refusal("anthropic", status, "code", "no", request_id="r-1")
    assert document(response) == {"type": "error", "error": {"type": kind, "message": "no"}, "request_id": "r-1"}
    assert dict(response.headers)[b"request-id"] == b"r-1"


@pytest.mark.parametrize(
    ("status", "name"),
    [(400, "INVALID_ARGUMENT"), (403, "PERMISSION_DENIED"), (429, "RESOURCE_EXHAUSTED"), (503, "UNAVAILABLE")],
)
def test_errors_of_gemini_have_code_and_status(status: int, name: str) -> None:
    """The code is that of HTTP, the status a name."""
    response = refusal("gemini", status, "code", "no", request_id="r-1")
    assert document(response) == {"error": {"code": status, "message": "no", "status": name}}


@pytest.mark.parametrize("family", ["openai", "anthropic", "gemini"])
def test_an_error_may_quote_anything(family: Family) -> None:
    """Also half of a character, which a client sent in a name, and no answer can have."""
    response = refusal(family, 400, "bad", "no \ud83d here", request_id="r", param="\ud83d")
    assert "no ? here" in str(document(response))


def test_an_error_may_say_when_to_come_back() -> None:
    """With headers of its own; one that is not final leaves it to the SDK to try again."""
    headers = [(b"retry-after", b"7")]
    response = refusal("openai", 429, "rate_limit_exceeded", "no", request_id="r", headers=headers, final=False)
    assert (b"retry-after", b"7") in response.headers
    assert b"x-should-retry" not in dict(response.headers)


def test_lists_of_models_have_the_shape_of_the_family() -> None:
    """OpenAI's data, Anthropic's page, Gemini's names."""
    models = [ListedModel("small"), ListedModel("large", owner="acme")]
    openai = document(model_list("openai", models))
    assert openai["object"] == "list"
    assert [(entry["id"], entry["object"], entry["owned_by"]) for entry in openai["data"]] == [
        ("small", "model", "gateway"),
        ("large", "model", "acme"),
    ]
    anthropic = document(model_list("anthropic", models))
    assert (anthropic["first_id"], anthropic["last_id"], anthropic["has_more"]) == ("small", "large", False)
    assert [(entry["id"], entry["type"]) for entry in anthropic["data"]] == [("small", "model"), ("large", "model")]
    assert document(model_list("anthropic", []))["first_id"] is None
    gemini = document(model_list("gemini", models))
    assert [entry["name"] for entry in gemini["models"]] == ["models/small", "models/large"]
    assert document(model_entry("openai", models[0]))["id"] == "small"
