"""What all operations have in common: the document of the API, health, and a database that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
import pytest
from openapi_spec_validator import validate
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane import body_limit, connections, serve
from gateway.control_plane.database.connection import DatabaseUnavailable
from gateway.control_plane.plane import Plane
from gateway.reading import clocked
from tests.control_plane.support import client_of, serving
from tests.support import read_slowly

SEVENTEEN = {
    ("post", "/environments"),
    ("get", "/environments"),
    ("get", "/environments/{id}"),
    ("put", "/environments/{id}"),
    ("delete", "/environments/{id}"),
    ("post", "/gateways"),
    ("get", "/gateways"),
    ("get", "/gateways/{id}"),
    ("put", "/gateways/{id}"),
    ("delete", "/gateways/{id}"),
    ("post", "/gateways/{id}/environments/{envId}"),
    ("delete", "/gateways/{id}/environments/{envId}"),
    ("get", "/gateways/{id}/environments"),
    ("get", "/environments/{id}/gateways"),
    ("get", "/gateways/{id}/health"),
    ("get", "/gateways/{id}/metrics"),
    ("get", "/gateways/{id}/deployments"),
}


async def _document(client: httpx2.AsyncClient) -> dict[str, Any]:
    return cast(dict[str, Any], (await client.get("/api/v1/openapi.json")).json())


async def test_the_document_has_the_seventeen(client: httpx2.AsyncClient) -> None:
    """It is valid OpenAPI 3.1, and has all operations of the proposal, and the one that it forgot."""
    document = await _document(client)
    validate(document)
    found = {(method, path.removeprefix("/api/v1")) for path, item in document["paths"].items() for method in item}
    assert document["openapi"].startswith("3.1")
    assert found >= SEVENTEEN


async def test_the_document_knows_all_errors(client: httpx2.AsyncClient) -> None:
    """Each operation names its errors, all as problem documents, and no operation has an error of another form."""
    for item in (await _document(client))["paths"].values():
        for operation in item.values():
            errors = {status: each for status, each in operation["responses"].items() if not status.startswith("2")}
            assert {"400", "401", "403", "503"} <= errors.keys(), operation["operationId"]
            assert all(list(each["content"]) == ["application/problem+json"] for each in errors.values())


async def test_operations_have_names_of_their_own(client: httpx2.AsyncClient) -> None:
    """Clients that are made of the document call each operation by a word of its own."""
    names = [
        operation["operationId"] for item in (await _document(client))["paths"].values() for operation in item.values()
    ]
    assert len(names) == len(set(names))
    assert "create_environment" in names


async def test_a_process_that_lives_says_so(plane: Plane) -> None:
    """Without a credential; it is ready until it is about to end."""
    async with client_of(plane, {}) as client:
        assert (await client.get("/health")).json()["status"] == "ok"
        assert (await client.get("/ready")).status_code == 204
        plane.ending.set()
        assert (await client.get("/ready")).status_code == 503
        assert (await client.get("/health")).status_code == 200


async def test_a_database_that_is_away_is_a_503(client: httpx2.AsyncClient, plane: Plane, monkeypatch: Any) -> None:
    """Reads and writes say so, and when to ask again; the process lives."""

    @asynccontextmanager
    async def away() -> AsyncIterator[AsyncSession]:
        raise DatabaseUnavailable("refused")
        yield

    monkeypatch.setattr(plane.database, "reading", away)
    monkeypatch.setattr(plane.database, "transaction", away)
    body = {"name": "a", "displayName": "A"}
    answers = [
        await client.get("/api/v1/environments"),
        await client.post("/api/v1/environments", json=body),
        await client.post("/api/v1/environments", json=body, headers={"idempotency-key": "x"}),
        await client.get("/ready"),
    ]
    assert {answer.status_code for answer in answers} == {503}
    assert all(answer.headers["retry-after"] for answer in answers)
    assert (await client.get("/health")).status_code == 200


async def test_what_is_nowhere_is_a_problem(client: httpx2.AsyncClient) -> None:
    """Any other path is a 404 of the same form."""
    for path in ("/api/v1/nothing", "/api/v1/environments/", "/api/v2/environments", "/%ff"):
        response = await client.get(path)
        assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")


async def test_a_slow_head_holds_no_connection(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that begins a request, the first one or a later one, and does not go on is left."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    whole = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    async with serving(plane) as served, asyncio.timeout(20):
        port = urlsplit(served.url).port
        for sent in (b"", whole[:30], whole + whole[:30]):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            answered = await reader.read()
            assert answered.startswith(b"HTTP/1.1 200" if whole in sent else b"")
            writer.close()


async def test_the_rest_of_a_body_holds_no_connection(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that goes on sending a little of a body that is answered already is left."""
    async with serving(plane) as served, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(served.url).port)
        writer.write(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 500\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
        rest = asyncio.create_task(reader.read())
        while not (await asyncio.wait({rest}, timeout=0.05))[0]:
            writer.write(b"a")
        writer.close()


@pytest.mark.parametrize("path", ["/api/v1/environments", "/api/internal/v1/gateways/join"])
async def test_a_slow_body_is_not_waited_for(plane: Plane, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A body that does not come in time is a 408, also where nobody has looked at the token yet."""
    monkeypatch.setattr(body_limit, "SECONDS", 0.2)
    monkeypatch.setattr(body_limit, "BYTES_PER_SECOND", 1024**3)
    async with serving(plane) as served, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(served.url).port)
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {served.token}\r\n"
        writer.write(head.encode() + b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()


PIPELINED = b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" * 100


@pytest.mark.parametrize("reads", [True, False], ids=["a little at a time", "nothing"])
async def test_answers_that_are_not_read_hold_no_connection(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    """A client of pipelined requests that reads nothing is left, and so is one that takes some bytes now and then."""
    monkeypatch.setattr(clocked, "READ_SECONDS", 0.5)
    monkeypatch.setattr(clocked, "BYTES_PER_SECOND", 1024 * 1024)
    async with serving(plane) as served, asyncio.timeout(20):
        port = urlsplit(served.url).port
        assert port is not None
        assert await read_slowly(port, PIPELINED, size=2000 if reads else 0) < 1024 * 1024


async def test_answers_that_nobody_reads_are_bounded_together(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a request is a 503, but for those of gateways; once they are gone, the next is answered."""
    monkeypatch.setattr(serve, "MOST_UNREAD", 1)
    path = "/api/v1/openapi.json"
    async with serving(plane) as served, httpx2.AsyncClient(base_url=served.url) as client, asyncio.timeout(20):
        _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(served.url).port)
        writer.write(PIPELINED)
        while (refused := await client.get(path)).status_code == 200:
            pass  # until what waits is more than the kernel keeps
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "15")
        assert "wait until their clients read them" in refused.json()["detail"]
        assert (await client.post("/api/internal/v1/gateways/join", json={})).status_code != 503
        writer.transport.abort()
        while (await client.get(path)).status_code != 200:
            pass  # until the server has seen that
