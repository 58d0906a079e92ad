"""Errors of providers in the shapes of the other API. Their texts are the provider's; who sends them on cleans them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.llm.answers import anthropic_type
from gateway.llm.streams.errors import ProviderError, error_in

_MOST_TEXT: Final = 4096
OVERFLOW: Final = "context_length_exceeded"
"""The kind of error, and OpenAI's code for it, where a request has more tokens than the model takes."""
# What Claude Code looks for before it shortens a conversation.
_TOO_LONG: Final = "prompt is too long"
# Type and code.
_OPENAI_OF_ANTHROPIC: Final[Mapping[str, tuple[str, str | None]]] = {
    OVERFLOW: ("invalid_request_error", OVERFLOW),
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
    error = _error_of(status, body)
    return status, orjson.dumps(anthropic_error(_kind(error), error.message))


def to_openai(status: int, body: bytes) -> tuple[int, bytes]:
    """A failed answer of an Anthropic provider as one of OpenAI. The status 529 is Anthropic's own."""
    error = _error_of(status, body)
    kind = error.code if error.code in _OPENAI_OF_ANTHROPIC and not error.overflow else _kind(error)
    return 503 if status == 529 else status, orjson.dumps(openai_error(kind, error.message))


def as_it_is(status: int, body: bytes) -> tuple[int, bytes]:
    """Between two APIs of OpenAI, whose errors have one shape; for what is no such error, one is made."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("error"), dict) and document["error"].get("message"):
        return status, body
    error = _error_of(status, body)
    return status, orjson.dumps(openai_error(_kind(error), error.message))


def anthropic_error(kind: str, sentence: str) -> dict[str, Any]:
    """An error as Anthropic writes it, in bodies and events."""
    if kind == OVERFLOW:
        kind = "invalid_request_error"
        sentence = sentence if _TOO_LONG in sentence.lower() else f"{_TOO_LONG}: {sentence}"
    elif kind not in _OPENAI_OF_ANTHROPIC:
        kind = "api_error"
    return {"type": "error", "error": {"type": kind, "message": sentence}, "request_id": None}


def openai_error(kind: str, sentence: str) -> dict[str, Any]:
    """An error of a kind that Anthropic names, as OpenAI writes it."""
    name, code = _OPENAI_OF_ANTHROPIC.get(kind, ("server_error", None))
    return {"error": {"message": sentence, "type": name, "param": None, "code": code}}


def in_stream(document: Mapping[str, Any]) -> tuple[str, str] | None:
    """The kind of an error in a stream, as Anthropic names it or OVERFLOW, and its text; None where it is no error."""
    error = error_in(document)
    if error is None:
        return None
    return _kind(error), error.message[:_MOST_TEXT] or "The provider failed and did not say why."


def _kind(error: ProviderError) -> str:
    if error.overflow:
        return OVERFLOW
    status = error.status or 500
    return anthropic_type(status)


def _error_of(status: int, body: bytes) -> ProviderError:
    """The message in the body of a failed answer, in any form that servers use."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    said = error_in(document, status) if isinstance(document, dict) else None
    message = said.message if said is not None else ""
    if not message and isinstance(document, dict):
        message = next((text for name in ("message", "detail") if isinstance(text := document.get(name), str)), "")
    sentence = message[:_MOST_TEXT] or f"The provider answered with status {status}."
    return ProviderError(status, "" if said is None else said.code, sentence)
