"""The document of the admin API is true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.lifecycle.support import admin_url
from tests.support import GatewayProcess, running_gateway

MODELS = "providers: {local: {protocol: openai, base_url: 'http://127.0.0.1:1', models: [small], keys: [k]}}"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    own = "{path: /x, target: 'asgi:tests.lifecycle.apps:one'}"
    routes = f"routes: [{own}, {{path: /v1/*, target: models, auth: []}}]"
    directory = tmp_path_factory.mktemp("openapi")
    (directory / "config").mkdir()
    (directory / "config" / "models.yaml").write_text(MODELS)
    with running_gateway(directory, routes) as it:
        yield it


def _document(gateway: GatewayProcess) -> dict[str, Any]:
    document: dict[str, Any] = httpx2.get(admin_url(gateway, "/openapi.json")).json()
    return document


def test_the_document_is_openapi(gateway: GatewayProcess) -> None:
    """It holds to OpenAPI 3.1, so that generators of clients take it."""
    OpenAPIV31SpecValidator(_document(gateway)).validate()


def test_what_reads_answers_as_documented(gateway: GatewayProcess) -> None:
    """Every path that only reads and needs no parameter is there, with the type of content that the document names."""
    for path, operations in _document(gateway)["paths"].items():
        reading = operations.get("get")
        if reading is None or any(parameter["required"] for parameter in reading["parameters"]):
            continue
        if "401" in reading["responses"]:
            assert httpx2.get(admin_url(gateway, path)).status_code == 401
            continue
        if path == "/quotas":
            continue  # which needs one of two
        with httpx2.stream("GET", admin_url(gateway, path)) as answer:  # which may go on for ever
            assert answer.status_code == 200, path
            assert answer.headers["content-type"].split(";")[0] in reading["responses"]["200"]["content"], path


def test_what_writes_needs_a_token_as_documented(gateway: GatewayProcess) -> None:
    """Every operation that changes anything says that it needs a token, and is refused without one; signing in is open
    to all who have one."""
    for path, operations in _document(gateway)["paths"].items():
        for method, operation in operations.items():
            if method != "get" and path != "/session":
                assert operation["security"] == [{"token": []}], path
                assert "401" in operation["responses"], path
                assert httpx2.request(method, admin_url(gateway, path)).status_code == 401, path
