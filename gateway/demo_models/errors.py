"""Refusals as each family writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OPENAI = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}
ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
GEMINI = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
TOO_LONG = {
    "openai": "This model's maximum context length is 8192 tokens. Please reduce the length of the messages.",
    "anthropic": "prompt is too long: 210000 tokens > 200000 maximum",
    "gemini": "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
}


def error(family: str, status: int, message: str, *, code: str | None = None) -> Mapping[str, Any]:
    """The document of a refusal."""
    if family == "anthropic":
        kind = ANTHROPIC.get(status, "api_error" if status >= 500 else "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_demo"}
    if family == "gemini":
        word = GEMINI.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
        return {"error": {"code": status, "message": message, "status": word}}
    kind = OPENAI.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def too_long(family: str) -> Mapping[str, Any]:
    """That a prompt does not fit, as the family says it."""
    return error(family, 400, TOO_LONG[family], code="context_length_exceeded")
