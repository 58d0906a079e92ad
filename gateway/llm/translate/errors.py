"""Errors of providers in the shapes of the other API. Their texts are the provider's; who sends them on cleans them."""

from __future__ import annotations

from typing import Any

import orjson

_MOST_TEXT = 4096
_CONTEXT_CODE = "context_length_exceeded"
# What Claude Code looks for before it shortens a conversation.
_TOO_LONG = "prompt is too long"
_ANTHROPIC_OF_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "invalid_request_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_ANTHROPIC_OF_OPENAI = {
    "invalid_request_error": "invalid_request_error",
    "authentication_error": "authentication_error",
    "permission_error": "permission_error",
    "insufficient_quota": "rate_limit_error",
    "rate_limit_error": "rate_limit_error",
    "rate_limit_exceeded": "rate_limit_error",
    "tokens": "rate_limit_error",
    "requests": "rate_limit_error",
    "overloaded_error": "overloaded_error",
    "timeout_error": "timeout_error",
    _CONTEXT_CODE: "invalid_request_error",
}
# type and code
_OPENAI_OF_ANTHROPIC = {
    "invalid_request_error": ("invalid_request_error", None),
    "authentication_error": ("invalid_request_error", "invalid_api_key"),
    "billing_error": ("insufficient_quota", "insufficient_quota"),
    "permission_error": ("invalid_request_error", "permission_denied"),
    "not_found_error": ("invalid_request_error", "model_not_found"),
    "request_too_large": ("invalid_request_error", "request_too_large"),
    "rate_limit_error": ("rate_limit_error", "rate_limit_exceeded"),
    "timeout_error": ("server_error", "timeout"),
    "api_error": ("server_error", None),
    "overloaded_error": ("server_error", "overloaded"),
}


def to_anthropic(status: int, body: bytes) -> tuple[int, bytes]:
    """A failed answer of an OpenAI provider as one of Anthropic."""
    error = _error_of(body)
    kind = _ANTHROPIC_OF_STATUS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    sentence = _sentence(error, status)
    if error.get("code") == _CONTEXT_CODE and _TOO_LONG not in sentence.lower():
        sentence = f"{_TOO_LONG}: {sentence}"
    return status, orjson.dumps(anthropic_error(kind, sentence))


def to_openai(status: int, body: bytes) -> tuple[int, bytes]:
    """A failed answer of an Anthropic provider as one of OpenAI. The status 529 is Anthropic's own."""
    error = _error_of(body)
    kind = error.get("type")
    if kind not in _OPENAI_OF_ANTHROPIC:
        kind = _ANTHROPIC_OF_STATUS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return 503 if status == 529 else status, orjson.dumps(openai_error(str(kind), _sentence(error, status)))


def as_it_is(status: int, body: bytes) -> tuple[int, bytes]:
    """Between two APIs of OpenAI, whose errors have one shape; for what is no such error, one is made."""
    error = _error_of(body)
    if error.get("message"):
        return status, body
    kind = "server_error" if status >= 500 else "invalid_request_error"
    document = {"error": {"message": _sentence(error, status), "type": kind, "param": None, "code": None}}
    return status, orjson.dumps(document)


def anthropic_error(kind: str, sentence: str) -> dict[str, Any]:
    """An error as Anthropic writes it, in bodies and events."""
    return {"type": "error", "error": {"type": kind, "message": sentence}, "request_id": None}


def openai_error(kind: str, sentence: str) -> dict[str, Any]:
    """An error of a kind that Anthropic names, as OpenAI writes it."""
    name, code = _OPENAI_OF_ANTHROPIC.get(kind, ("server_error", None))
    if sentence.lower().startswith(_TOO_LONG):
        code = _CONTEXT_CODE
    return {"error": {"message": sentence, "type": name, "param": None, "code": code}}


def anthropic_kind(kind: str) -> str:
    """Anthropic's name for a type of OpenAI's errors."""
    return _ANTHROPIC_OF_OPENAI.get(kind, "api_error")


def in_openai_stream(chunk: dict[str, Any]) -> tuple[str, str]:
    """Type and text of an error inside a stream of OpenAI's shape."""
    error = chunk.get("error")
    error = error if isinstance(error, dict) else {"message": error if isinstance(error, str) else chunk.get("message")}
    known = (error.get("code"), error.get("type"))
    kind = next((one for one in known if isinstance(one, str) and one in _ANTHROPIC_OF_OPENAI), "server_error")
    return kind, _sentence(error, None)


def in_anthropic_stream(event: dict[str, Any]) -> tuple[str, str]:
    """Type and text of an error inside a stream of Anthropic's."""
    error = event.get("error")
    error = error if isinstance(error, dict) else {}
    kind = error.get("type")
    return kind if isinstance(kind, str) else "api_error", _sentence(error, None)


def _error_of(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return {}
    error = document.get("error")
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else document


def _sentence(error: dict[str, Any], status: int | None) -> str:
    message = error.get("message") or error.get("detail")
    if isinstance(message, str) and message:
        return message[:_MOST_TEXT]
    return (
        "The provider failed and did not say why." if status is None else f"The provider answered with status {status}."
    )
