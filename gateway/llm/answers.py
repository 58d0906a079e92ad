"""Answers of the gateway itself to a request for a model, in the format of the client's SDK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.http.messages import Response
from gateway.llm.apis import Family

_OPENAI_TYPES: Final = {
    403: "permission_error",
    408: "timeout_error",
    429: "rate_limit_error",
    504: "timeout_error",
}
_ANTHROPIC_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_GEMINI_STATUSES: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}


def anthropic_type(status: int) -> str:
    """Anthropic's name of an error with this status."""
    return _ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")


def error_body(
    family: Family, status: int, code: str, sentence: str, *, param: str | None = None, request_id: str = ""
) -> dict[str, object]:
    """An error as the SDKs of the family read it, in an answer or in a stream.

    `code` is what programs match on, such as `model_not_found`; Anthropic's and Gemini's formats have no place for it.
    """
    sentence, param = _whole_characters(sentence), param and _whole_characters(param)
    if family == "anthropic":
        return {
            "type": "error",
            "error": {"type": anthropic_type(status), "message": sentence},
            "request_id": request_id or None,
        }
    if family == "gemini":
        name = _GEMINI_STATUSES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
        return {"error": {"code": status, "message": sentence, "status": name}}
    kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": sentence, "type": kind, "param": param, "code": code}}


def refusal(
    family: Family,
    status: int,
    code: str,
    sentence: str,
    *,
    request_id: str,
    param: str | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    final: bool = True,
) -> Response:
    """An error for the client. `final`: the SDK must not try again by itself, which it otherwise does twice."""
    error = error_body(family, status, code, sentence, param=param, request_id=request_id)
    lines = [(b"x-should-retry", b"false")] if final else []
    if family == "anthropic":
        lines.append((b"request-id", request_id.encode()))
    return _answer(status, orjson.dumps(error), (*lines, (b"x-request-id", request_id.encode()), *headers))


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that a consumer may use."""

    name: str
    owner: str = "gateway"


def model_list(family: Family, models: Sequence[ListedModel]) -> Response:
    """All of them, in the one page that they fill."""
    entries = [_entry(family, model) for model in models]
    if family == "gemini":
        return _answer(200, orjson.dumps({"models": entries}))
    if family == "openai":
        return _answer(200, orjson.dumps({"object": "list", "data": entries}))
    first, last = (models[0].name, models[-1].name) if models else (None, None)
    return _answer(200, orjson.dumps({"data": entries, "has_more": False, "first_id": first, "last_id": last}))


def model_entry(family: Family, model: ListedModel) -> Response:
    """One of them."""
    return _answer(200, orjson.dumps(_entry(family, model)))


def _whole_characters(text: str) -> str:
    """A text that may quote what a client sent, without halves of characters, which no answer can have."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _entry(family: Family, model: ListedModel) -> dict[str, object]:
    if family == "gemini":
        methods = ["generateContent", "countTokens"]
        return {"name": f"models/{model.name}", "displayName": model.name, "supportedGenerationMethods": methods}
    if family == "openai":
        return {"id": model.name, "object": "model", "created": 0, "owned_by": model.owner}
    return {"type": "model", "id": model.name, "display_name": model.name, "created_at": "1970-01-01T00:00:00Z"}


def _answer(status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> Response:
    lines = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *headers,
    ]
    return Response(status, lines, body)
