"""The document of the API (OpenAPI 3.1), where FastAPI does not know by itself what there is to say."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from gateway.control_plane.problems import ProblemDocument

DESCRIPTION: Final = (
    "Environments, gateways, how they are, and which configuration runs where. Errors are problem details (RFC 9457). "
    "A POST with an `Idempotency-Key` may be repeated; a PUT or DELETE with `If-Match` changes only what it has seen."
)

_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same request again has the same answer, for a day, and no other effect.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_ETAG: Final = {
    "ETag": {"description": "What `If-Match` of a change may say.", "schema": {"type": "string"}, "required": True}
}
_LOCATION: Final = {
    "Location": {"description": "Where it is.", "schema": {"type": "string", "format": "uri-reference"}}
}


def operation_id(route: APIRoute) -> str:
    """The name of the operation in generated clients."""
    return route.name


def tagged(status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Documents the `ETag` of an operation's answer."""
    return {status: {"headers": _ETAG}}


def made(**links: str) -> dict[int | str, dict[str, Any]]:
    """Documents links from a creating operation to the others: `id` of each is its `uuid`."""
    described = {
        name: {"operationId": operation, "parameters": {"id": "$response.body#/uuid"}}
        for name, operation in links.items()
    }
    return {201: {"headers": _ETAG | _LOCATION, "links": described}}


def document(app: FastAPI) -> dict[str, Any]:
    """The document; made once."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            separate_input_output_schemas=True,
        )
        schema = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = found.setdefault("components", {}).setdefault("schemas", {})
        schemas |= schema.pop("$defs") | {"ProblemDocument": schema}
        for path in found["paths"].values():
            if "422" in path.get("post", {}).get("responses", {}):  # which only a repeated key is answered with
                path["post"].setdefault("parameters", []).append(_KEY)
        app.openapi_schema = found
    return app.openapi_schema
