"""Which API of a provider a path is."""

import pytest

from gateway.llm.apis import Call, find


def named(method: str, path: str) -> str | None:
    """The name of the API, or None."""
    call = find(method, path)
    return None if call is None else call.api.name


def found(method: str, path: str) -> Call:
    """The call, which there must be."""
    call = find(method, path)
    assert call is not None
    return call


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "openai.chat"),
        ("/v1/responses", "openai.responses"),
        ("/v1/completions", "openai.completions"),
        ("/v1/embeddings", "openai.embeddings"),
        ("/v1/images/generations", "openai.images"),
        ("/v1/audio/transcriptions", "openai.audio"),
        ("/v1/moderations", "openai.moderations"),
        ("/v1/messages", "anthropic.messages"),
        ("/v1/messages/count_tokens", "anthropic.count_tokens"),
        ("/v1beta/models/gemini-9:generateContent", "gemini.generate"),
        ("/v1/models/gemini-9:countTokens", "gemini.count"),
        ("/v1beta/models/gemini-9:batchEmbedContents", "gemini.embed"),
        ("/v1/responses/resp_1/cancel", "openai.responses_by_id"),
        ("/v1/responses/input_tokens", "openai.response_tokens"),
        ("/v1/chat/completions/chatcmpl-1", "openai.chat_stored"),
        ("/v1/chat", None),
        ("/v1/models", None),
        ("/v1beta/models/gemini-9:tune", None),
        ("/v1alpha/models/gemini-9:embedContent", "gemini.embed"),
        ("/v1beta/models/../files:generateContent", None),
        ("/v1beta/models/a%2F..%2Fb:generateContent", None),
        ("/v1/responses/resp_1%2F..%2F2/cancel", None),
        ("/v1/images/..%2Fresponses", None),
    ],
)
def test_what_is_posted_is_known_by_its_path(path: str, name: str | None) -> None:
    """Each path of the SDKs is one API; others are none."""
    assert named("POST", path) == name


def test_lists_and_stored_responses_are_asked_for() -> None:
    """GET and DELETE are of models and of responses by their ids, and of nothing else."""
    assert found("GET", "/v1/models").api.family == "openai"
    assert found("GET", "/v1beta/models").api.family == "gemini"
    assert found("GET", "/v1/models/org/small").model == "org/small"
    assert found("GET", "/v1/responses/resp_1").id == "resp_1"
    assert named("DELETE", "/v1/responses/resp_1") == "openai.responses_by_id"
    assert named("DELETE", "/v1/responses/resp_1/input_items") is None
    assert named("GET", "/v1/responses/resp_1/cancel") is None
    assert found("GET", "/v1/chat/completions").id == ""
    assert found("GET", "/v1/chat/completions/chatcmpl-1/messages").id == "chatcmpl-1"
    assert named("DELETE", "/v1/chat/completions/chatcmpl-1") == "openai.chat_stored"
    assert named("DELETE", "/v1/chat/completions") is None
    assert named("DELETE", "/v1/chat/completions/chatcmpl-1/messages") is None
    assert named("POST", "/v1/chat/completions/chatcmpl-1/messages") is None
    assert named("GET", "/v1/chat/completions/..") is None


def test_paths_of_gemini_name_the_model_and_whether_it_streams() -> None:
    """Also where the name has a slash, a colon or escapes; another model takes the same place."""
    call = found("POST", "/v1beta/models/gemini-9:streamGenerateContent")
    assert (call.model, call.stream) == ("gemini-9", True)
    assert call.path_for("other") == "/v1beta/models/other:streamGenerateContent"
    escaped = found("POST", "/v1beta/models/org%2Fa%3A1%3AgenerateContent")
    assert (escaped.model, escaped.stream) == ("org/a:1", False)
    assert escaped.path_for("a b?c/d") == "/v1beta/models/a%20b%3Fc/d:generateContent"


def test_other_paths_stay_for_other_models() -> None:
    """OpenAI and Anthropic have the model in the body."""
    assert found("POST", "/v1/messages").path_for("other") == "/v1/messages"
