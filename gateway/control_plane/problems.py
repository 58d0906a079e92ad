"""Errors as the client sees them: problem details (RFC 9457), with every error of the fields at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from gateway.control_plane.database.connection import DatabaseUnavailable
from gateway.control_plane.schemas import NAME_PATTERN

logger = logging.getLogger("gateway.control_plane")

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 5  # until a client asks again that met a database which is down
MOST_ERRORS: Final = 100  # that one answer lists
NO_DATABASE: Final = "the database does not answer; gateways keep their configuration"

DESCRIPTIONS: Final[Mapping[int, str]] = {
    400: "The request is not well-formed, or a field is wrong: `errors` has all of them.",
    401: "The caller has shown no credential, or one that does not hold.",
    403: "The caller has no role that allows this.",
    404: "The object does not exist in the organization of the caller.",
    405: "The path has no such method; `Allow` names those that it has.",
    409: "The state of the object, or of another one, does not allow it.",
    412: "The object is not any more as `If-Match` says.",
    413: "The body is too large.",
    415: "The body is of another media type than is read here.",
    421: "The control plane does not answer to this `Host`.",
    422: "The `Idempotency-Key` was used for another request.",
    429: "Too many requests; `Retry-After` says when.",
    502: "The gateway, or its provider, did not answer, or not as it should.",
    503: "The database does not answer, or too many answers are not read; `Retry-After` says when to ask again.",
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error of one field: its name as in the request, such as `adapterConfig.controlPlaneUrl`."""

    field: str
    message: str


class Problem(Exception):
    """Why a request is not answered as it was meant, and what to do about it."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.members = dict(members or {})


class FieldErrorDocument(BaseModel):
    """An error of one field."""

    field: str = Field(description="Its name, as the request has it.")
    message: str = Field(description="The error, and the expected value.")


class ProblemDocument(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field(description="The problem type: `about:blank`, which means that of `status`.")
    title: str = Field(description="The name of the status.")
    status: int = Field(description="The status of the answer.")
    detail: str = Field(description="The error, and the remedy.")
    message: str = Field(description="The same, for clients that look for it here.")
    errors: list[FieldErrorDocument] = Field(description="Every field that is wrong.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of an operation for these statuses, beside those that every operation may answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    every = sorted({400, 401, 403, 421, 503, *statuses})
    found: dict[int | str, dict[str, Any]] = {
        status: {"description": DESCRIPTIONS[status], "content": content} for status in every
    }
    return found | {"default": {"description": "Another problem.", "content": content}}


def answer(problem: Problem) -> Response:
    """The problem, as it is sent."""
    body = {
        "type": "about:blank",
        "title": _title(problem.status),
        "status": problem.status,
        "detail": problem.detail,
        "message": problem.detail,
        "errors": [{"field": error.field, "message": error.message} for error in problem.errors[:MOST_ERRORS]],
    }
    content = orjson.dumps(_clean({**body, **problem.members}))
    return Response(content, problem.status, {"cache-control": "no-store", **problem.headers}, media_type=MEDIA_TYPE)


def _clean(value: Any) -> Any:
    """A text without lone surrogates, which a client's text may have, and JSON may not."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def handle_problems(app: FastAPI) -> None:
    """Answer all errors of an application as problem documents."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DatabaseUnavailable, _unavailable)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return answer(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(each["loc"] == ("body",) and isinstance(error.body, bytes) and error.body for each in found):
        return answer(Problem(415, "send the body as JSON, with content-type: application/json"))
    return answer(of_validation(found))


def of_validation(found: Sequence[Any]) -> Problem:
    """Errors of pydantic as a problem: an invalid identifier in a path is a 404."""
    if any(each["loc"][:1] == ("path",) for each in found):
        return Problem(404, "unknown object: the path has no valid identifier")
    if any(each["type"] == "json_invalid" for each in found):
        where = found[0].get("ctx", {}).get("error", "")
        return Problem(400, f"the body is not JSON: {where}", [FieldError("body", "expected JSON (RFC 8259)")])
    if any(each["loc"] == ("body",) and each["type"] == "model_attributes_type" for each in found):
        message = "expected a JSON object, sent with content-type: application/json"
        return Problem(400, message, [FieldError("body", message)])
    errors = list(dict.fromkeys(FieldError(_field(each["loc"]), _message(each)) for each in found))
    first = "; ".join(f"{error.field}: {error.message}" for error in errors[:3])
    return Problem(400, first + ("; ..." if len(errors) > 3 else ""), errors)


def _field(location: Sequence[str | int]) -> str:
    text = ""
    for step in location[1:] or location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text[:200]


def _message(each: Any) -> str:
    if each["type"] == "missing":
        return "this field is missing; add it"
    if each["type"] == "string_pattern_mismatch" and each["ctx"]["pattern"] == NAME_PATTERN:
        return "expected 1 to 64 small letters, digits and hyphens, such as my-stage"
    message = str(each["msg"]).removeprefix("Value error, ")
    return (message[:1].lower() + message[1:])[:500]


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 404:
        return answer(Problem(404, f"there is nothing at {request.url.path[:200]}", headers=headers))
    if error.status_code == 405:
        # The methods of all routes of a path, not only of the first one; of those that match, the most literal.
        path = request.url.path
        fitting = [
            (prefix, pattern, methods)
            for prefix, pattern, methods in request.app.state.routes
            if path.startswith(prefix) and pattern.match(path.removeprefix(prefix)) is not None
        ]
        plainest = min((each[1].groups for each in fitting), default=0)
        allowed = ", ".join(
            sorted(set().union(*(methods for _, pattern, methods in fitting if pattern.groups == plainest)))
        )
        detail = f"{request.method[:20]} is not possible here; {allowed} is"
        return answer(Problem(405, detail, headers=headers | {"allow": allowed}))
    return answer(Problem(error.status_code, str(error.detail), headers=headers))


async def _unavailable(request: Request, error: Exception) -> Response:
    logger.warning("%s %s: the database: %s", request.method, request.url.path, error)
    return answer(Problem(503, NO_DATABASE, headers={"retry-after": str(RETRY_SECONDS)}))


async def _gone(request: Request, error: Exception) -> Response:
    return answer(Problem(400, "the body has ended before its end"))  # for the log: the client is disconnected


async def _unexpected(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(Problem(500, "the control plane failed; its log says why"))
