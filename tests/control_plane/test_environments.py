"""The operations on environments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest

ENVIRONMENTS = "/api/v1/environments"
PRODUCTION = {"name": "production", "displayName": "Production", "description": "What customers see."}


async def _made(client: httpx2.AsyncClient, **changes: Any) -> dict[str, Any]:
    response = await client.post(ENVIRONMENTS, json={**PRODUCTION, **changes})
    assert response.status_code == 201, response.text
    return dict(response.json())


async def test_an_environment_that_is_made_is_found(client: httpx2.AsyncClient) -> None:
    """What was created is answered by its identifier and in the list, with the keys of the API."""
    made = await _made(client)
    assert made.keys() == {"uuid", "name", "displayName", "createdAt"}
    one = (await client.get(f"{ENVIRONMENTS}/{made['uuid']}")).json()
    listed = (await client.get(ENVIRONMENTS)).json()
    assert one["description"] == "What customers see."
    assert one["createdAt"].endswith("Z")
    assert listed == {"environments": [one], "total": 1}


async def test_a_name_is_taken_once(client: httpx2.AsyncClient) -> None:
    """A second environment of the same name is refused with 409."""
    await _made(client)
    response = await client.post(ENVIRONMENTS, json=PRODUCTION)
    assert response.status_code == 409
    assert "production" in response.json()["message"]


async def test_all_wrong_fields_are_named_at_once(client: httpx2.AsyncClient) -> None:
    """A refused body has every field error, and a message for clients that look for one."""
    response = await client.post(ENVIRONMENTS, json={"name": "Not A Name", "description": 5})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert [error["field"] for error in problem["errors"]] == ["name", "displayName", "description"]
    assert problem["message"] == problem["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"name": "a\\u0000b", "displayName": "x"}',
        b'{"name": "a", "displayName": "\\u0000"}',
        b'{"name": "a", "displayName": "\\ud800"}',
        b'{"name": "a", "displayName": "  "}',
        b'{"name": "a\\n", "displayName": "x"}',
        b'{"name": 1e400, "displayName": NaN}',
        b'{"name": "a", "displayName": "x", "description": "\\u0000"}',
    ],
)
async def test_what_is_no_environment_is_refused(client: httpx2.AsyncClient, body: bytes) -> None:
    """Hostile bodies are a 400 that says so."""
    response = await client.post(ENVIRONMENTS, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    assert response.json()["status"] == 400


async def test_a_body_of_another_type_or_size_is_refused(client: httpx2.AsyncClient) -> None:
    """Text is a 415, and more than a mebibyte a 413, also where its size is not said."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    text = await client.post(ENVIRONMENTS, content=b'{"name": "a"}', headers={"content-type": "text/plain"})
    large = await client.post(ENVIRONMENTS, content=b" " * (1024**2 + 1))
    streamed = await client.post(ENVIRONMENTS, content=pieces(), headers={"content-type": "application/json"})
    assert [response.status_code for response in (text, large, streamed)] == [415, 413, 413]


@pytest.mark.parametrize("named", ["x", "%00", "..%2f", "1" * 500, "3d2f0f5e-8f6b-4f0e-9d3c-0f1e2d3c4b5a", "%ed%a0%80"])
async def test_what_is_not_there_is_not_found(client: httpx2.AsyncClient, named: str) -> None:
    """Whatever is no identifier of an environment is a 404."""
    for method in ("GET", "DELETE"):
        assert (await client.request(method, f"{ENVIRONMENTS}/{named}")).status_code == 404
    assert (await client.put(f"{ENVIRONMENTS}/{named}", json={"displayName": "x"})).status_code == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "offset=-1", "offset=" + "9" * 5000, "limit=1e2", "organizationId=x"]
)
async def test_a_page_has_bounds(client: httpx2.AsyncClient, query: str) -> None:
    """What is no page is a 400 that names the parameter."""
    response = await client.get(f"{ENVIRONMENTS}?{query}")
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == query.partition("=")[0]


async def test_long_lists_come_in_pages(client: httpx2.AsyncClient) -> None:
    """`limit` and `offset` cut a page out of the list by name, and `total` says how long it is."""
    for number in range(5):
        await _made(client, name=f"e{number}")
    page = (await client.get(f"{ENVIRONMENTS}?limit=2&offset=3")).json()
    behind = (await client.get(f"{ENVIRONMENTS}?limit=2&offset=7")).json()
    assert [each["name"] for each in page["environments"]] == ["e3", "e4"]
    assert (page["total"], behind) == (5, {"environments": [], "total": 5})


async def test_a_change_says_what_it_has_seen(client: httpx2.AsyncClient) -> None:
    """A PUT with the tag of an older state is a 412, and changes nothing; what is not given stays."""
    url = f"{ENVIRONMENTS}/{(await _made(client))['uuid']}"
    tag = (await client.get(url)).headers["etag"]
    first = await client.put(url, json={"displayName": "First"}, headers={"if-match": tag})
    second = await client.put(url, json={"displayName": "Second"}, headers={"if-match": tag})
    assert (first.status_code, second.status_code) == (200, 412)
    assert first.json().keys() == {"uuid", "name", "displayName", "updatedAt"}
    found = await client.get(url)
    assert found.json()["displayName"] == "First"
    assert found.json()["description"] == "What customers see."
    assert found.headers["etag"] == first.headers["etag"] != tag


async def test_an_environment_can_be_removed(client: httpx2.AsyncClient) -> None:
    """It is gone then, and its name is free."""
    url = f"{ENVIRONMENTS}/{(await _made(client))['uuid']}"
    assert (await client.delete(url)).status_code == 204
    assert (await client.get(url)).status_code == 404
    await _made(client)


async def test_other_organizations_are_not_there(client: httpx2.AsyncClient) -> None:
    """`organizationId` may only confirm that of the caller."""
    made = await _made(client)
    own = (await client.get(f"{ENVIRONMENTS}/{made['uuid']}")).json()["organizationId"]
    assert (await client.get(f"{ENVIRONMENTS}?organizationId={own}")).status_code == 200
    assert (await client.get(f"{ENVIRONMENTS}?organizationId={uuid4()}")).status_code == 404


async def test_methods_that_are_not_there_name_those_that_are(client: httpx2.AsyncClient) -> None:
    """405 has all methods of the path in `Allow`."""
    response = await client.patch(ENVIRONMENTS)
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
