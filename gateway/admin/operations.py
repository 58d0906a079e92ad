"""One operation of the admin API, and what the API's document (OpenAPI 3.1) says of it: both from one place."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.answers import Refused, json_answer

Handle = Callable[[Request], Coroutine[Any, Any, Response]]

_PLACEHOLDER = re.compile(r"\{(\w+)(?::\w+)?\}")
_ERROR = {"$ref": "#/components/schemas/Error"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query."""

    name: str
    description: str
    required: bool = False
    repeated: bool = False

    def document(self) -> dict[str, Any]:
        """The parameter for OpenAPI."""
        schema: dict[str, Any] = {"type": "string"}
        return {
            "name": self.name,
            "in": "query",
            "description": self.description,
            "required": self.required,
            "schema": {"type": "array", "items": schema} if self.repeated else schema,
        }


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str  # as Starlette writes it
    handle: Handle  # raises Refused
    summary: str
    parameters: Sequence[Parameter] = ()
    body: Mapping[str, Any] | None = None  # JSON Schema of the request's body, which is application/json
    media_type: str = "application/json"  # of the answer
    refusals: Mapping[int, str] = field(default_factory=dict)  # what else it answers, and when
    status: int = 200  # where all is well
    description: str = ""  # what the summary leaves out
    open: bool = False  # it needs no token, on no address

    def document(self) -> dict[str, Any]:
        """The operation for OpenAPI."""
        writes = self.method not in ("GET", "HEAD") and not self.open
        refusals = (
            {401: "it needs a token", 403: "the token may only read", **self.refusals} if writes else self.refusals
        )
        placeholders = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PLACEHOLDER.findall(self.path)
        ]
        described: dict[str, Any] = {
            "summary": self.summary,
            "operationId": f"{self.method.lower()}{re.sub(r'[^A-Za-z]+', '_', self.path).rstrip('_')}",
            "parameters": [*placeholders, *(parameter.document() for parameter in self.parameters)],
            "responses": {
                str(self.status): {
                    "description": "the result" if self.method in ("GET", "HEAD") else "done",
                    "content": {self.media_type: {}},
                },
                **{
                    str(status): {"description": description, "content": {"application/json": {"schema": _ERROR}}}
                    for status, description in sorted(refusals.items())
                },
            },
        }
        if self.description:
            described["description"] = self.description
        if self.body is not None:
            described["requestBody"] = {"required": True, "content": {"application/json": {"schema": self.body}}}
        if writes:
            described["security"] = [{"token": []}]
        elif self.open:
            described["security"] = []
        return described


def routes_of(operations: Sequence[Operation]) -> list[Route]:
    """The routes for Starlette."""
    return [Route(each.path, answering(each.handle), methods=[each.method]) for each in operations]


def answering(handle: Handle) -> Handle:
    """The same, where Refused is an answer."""

    async def answer(request: Request) -> Response:
        try:
            return await handle(request)
        except Refused as refused:
            return json_answer({"error": str(refused)}, refused.status)

    return answer


def document_of(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The document of an API with these operations. `version` is that of the gateway."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = _PLACEHOLDER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = operation.document()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Admin API of the gateway",
            "version": version,
            "description": "On a loopback address reading is open to all on the machine; changing anything needs a "
            "token. On any other address everything needs one. Each change is a line of the audit log.",
        },
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": {
                    "type": "object",
                    "properties": {
                        "error": {"type": "string", "description": "The error, and the remedy."},
                        "errors": {"type": "array", "items": {"type": "string"}},
                    },
                }
            },
        },
    }
