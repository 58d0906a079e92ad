"""Answers that come whole."""

from typing import Any

import pytest

from gateway.llm.apis import find
from gateway.llm.streams.errors import ProviderError
from gateway.llm.streams.whole import Answer, whole
from gateway.llm.usage import Usage

CHAT = "/v1/chat/completions"
GEMINI = "/v1beta/models/m:generateContent"


def answer(path: str, document: object, status: int = 200) -> Answer:
    """What an answer to this path says."""
    call = find("POST", path)
    assert call is not None
    return whole(call.api, document, status)


def test_an_answer_of_chat_is_read() -> None:
    """With the calls of all choices."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    custom = {"id": "2", "type": "custom", "custom": {"name": "g", "input": ""}}
    document = {
        "model": "m-1",
        "choices": [
            {"message": {"content": None, "tool_calls": [call, custom]}, "finish_reason": "tool_calls"},
            {"message": {"function_call": {"name": "h"}}, "finish_reason": "function_call"},
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}},
    }
    assert answer(CHAT, document) == Answer(Usage(10, 5, cache_read=4), "m-1", ["f", "g", "h"])


def test_an_answer_of_messages_is_read() -> None:
    """The counts of its input are added."""
    document = {
        "type": "message",
        "model": "claude-1",
        "content": [{"type": "text", "text": "x"}, {"type": "tool_use", "name": "f", "input": {}}],
        "stop_reason": "tool_use",
        "usage": {
            "input_tokens": 1,
            "cache_creation_input_tokens": 20,
            "cache_read_input_tokens": 300,
            "output_tokens": 7,
        },
    }
    assert answer("/v1/messages", document) == Answer(Usage(321, 7, 300, 20), "claude-1", ["f"])


def test_an_answer_of_responses_is_read() -> None:
    """Also one that met its limit; one that goes on in the background is not whole."""
    document: dict[str, Any] = {
        "model": "m-1",
        "status": "incomplete",
        "error": None,
        "output": [{"type": "reasoning"}, {"type": "function_call", "name": "f"}, {"type": "local_shell_call"}],
        "usage": {"input_tokens": 3, "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 2}},
    }
    assert answer("/v1/responses", document) == Answer(Usage(3, 4, reasoning=2), "m-1", ["f", "local_shell_call"])
    assert not answer("/v1/responses", {"status": "queued", "output": []}).finished


def test_a_failed_response_has_both_error_and_usage() -> None:
    """What it took is to be paid for."""
    document = {
        "status": "failed",
        "error": {"code": "server_error", "message": "m"},
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    found = answer("/v1/responses", document)
    assert (found.usage, found.error, found.finished) == (Usage(3, 4), ProviderError(500, "server_error", "m"), False)


def test_an_answer_of_gemini_is_read() -> None:
    """One, or an array of them, as its streams are where no events are asked for."""
    first = {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}], "modelVersion": "m-1"}
    last = {
        "candidates": [{"finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 2, "thoughtsTokenCount": 3},
    }
    assert answer(GEMINI, [first, last]) == Answer(Usage(8, 5, reasoning=3), "m-1", ["f"])
    assert answer(GEMINI, last) == Answer(Usage(8, 5, reasoning=3), tool_calls=[])


@pytest.mark.parametrize(
    ("path", "document", "size"),
    [
        (CHAT, {"choices": [{"message": {"role": "assistant", "content": "abc", "reasoning_content": "de"}}]}, 5),
        (CHAT, {"choices": [{"message": {"tool_calls": [{"id": "1", "function": {"arguments": "{}"}}]}}]}, 2),
        (CHAT, {"choices": [{"message": {"content": [{"type": "text", "text": "abc"}]}}]}, 3),
        ("/v1/completions", {"choices": [{"text": "h\u00e9"}]}, 3),
        ("/v1/messages", {"content": [{"type": "text", "text": "abc"}, {"type": "tool_use", "input": {"a": 1}}]}, 11),
        ("/v1/responses", {"output": [{"type": "message", "content": [{"type": "output_text", "text": "abc"}]}]}, 3),
        (GEMINI, {"candidates": [{"content": {"parts": [{"text": "abc"}]}}]}, 3),
        ("/v1/embeddings", {"data": [{"embedding": [1.0, 2.0]}], "usage": {"prompt_tokens": 8}}, 0),
        ("/v1/embeddings", {"data": [{"embedding": "AAAA"}]}, 0),
        (
            CHAT,
            {"choices": [{"message": {"content": "abc"}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
            0,
        ),
    ],
)
def test_what_is_not_counted_can_be_estimated(path: str, document: dict[str, Any], size: int) -> None:
    """From what the model has written, which is all in an answer without a usage, and nothing in vectors."""
    assert answer(path, document).text_bytes == size


@pytest.mark.parametrize(
    ("path", "usage", "expected"),
    [
        ("/v1/embeddings", {"prompt_tokens": 8, "total_tokens": 8}, Usage(8, 0)),
        ("/v1/images/generations", {"input_tokens": 50, "output_tokens": 50, "total_tokens": 100}, Usage(50, 50)),
        ("/v1/audio/transcriptions", {"type": "tokens", "input_tokens": 14, "output_tokens": 45}, Usage(14, 45)),
        ("/v1/audio/transcriptions", {"type": "duration", "seconds": 9}, None),
        ("/v1/messages/count_tokens", None, None),
        ("/v1beta/models/m:embedContent", None, None),
    ],
)
def test_other_answers_have_their_usage(path: str, usage: dict[str, Any] | None, expected: Usage | None) -> None:
    """Where they say one in tokens."""
    found = answer(path, {"object": "list", "data": [], "usage": usage})
    assert (found.usage, found.finished, found.error) == (expected, True, None)


@pytest.mark.parametrize("status", [200, 502])
@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/responses", GEMINI, "/v1/embeddings"])
def test_an_error_is_one_whatever_the_status(path: str, status: int) -> None:
    """Some providers answer 200 with an error object."""
    found = answer(path, {"error": {"message": "m", "type": "server_error"}}, status)
    assert found.error is not None
    assert (found.error.message, found.finished, found.usage) == ("m", False, None)


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (400, {"error": {"message": "m", "type": "invalid_request_error", "code": "context_length_exceeded"}}),
        (400, {"error": {"message": "This model's maximum context length is 8192 tokens.", "code": None}}),
        (400, {"type": "error", "error": {"type": "invalid_request_error",
                                          "message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
        (413, {"type": "error", "error": {"type": "request_too_large", "message": "Prompt is too long"}}),
        (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT",
                         "message": "The input token count (2000000) exceeds the maximum number of tokens allowed"}}),
        (400, {"error": {"code": 400, "type": "exceed_context_size_error",
                         "message": "the request exceeds the available context size, try increasing it"}}),
        (400, {"error": {"message": "input length and `max_tokens` exceed context limit: 1 + 2 > 3"}}),
    ],
)  # fmt: skip
def test_a_request_that_is_too_long_is_recognised(status: int, document: dict[str, Any]) -> None:
    """By the provider's code, or by what it is known to say."""
    found = answer(CHAT, document, status)
    assert found.error is not None
    assert found.error.overflow


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (400, {"error": {"message": "messages: at least one message is required"}}),
        (400, {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model."}}),
        (
            400,
            {"error": {"message": "max_tokens: 70000 > 64000, the maximum number of output tokens"}},
        ),
        (429, {"error": {"message": "Request too large for gpt-4o on tokens per min: reduce the length"}}),
        (500, {"error": {"message": "maximum context length"}}),
    ],
)
def test_other_errors_are_not_taken_for_that(status: int, document: dict[str, Any]) -> None:
    """Another model would not help, or not for that reason."""
    found = answer(CHAT, document, status)
    assert found.error is not None
    assert not found.error.overflow
