"""Revisions by the API: added, checked, read, compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.bundles import MEDIA_TYPE, Bundle
from tests.control_plane.support import client_of, control_plane

ROUTES = "routes:\n- id: web\n  path: /\n  target: http://127.0.0.1:3001\n  timeout: {total: 5s}\n"
FILES = {"routes.yaml": ROUTES, "middleware.yaml": "redis:\n  url: ${REDIS_URL}\n"}


@pytest.fixture
async def client(tmp_path: Path, database_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with control_plane(tmp_path, database=database_url) as plane, client_of(plane) as made:
        yield made


async def push(client: httpx2.AsyncClient, files: dict[str, str], **body: Any) -> dict[str, Any]:
    response = await client.post("/api/v1/revisions", json={"files": files, **body})
    assert response.status_code in (200, 201), response.text
    made: dict[str, Any] = response.json()
    return made


async def test_a_revision_is_kept_as_it_is(client: httpx2.AsyncClient) -> None:
    """What was added is answered by its digest, with its files and the warnings of its check."""
    response = await client.post("/api/v1/revisions", json={"files": FILES, "message": "first"})
    assert response.status_code == 201
    made = response.json()
    bundle = Bundle({name: text.encode() for name, text in FILES.items()})
    assert made["digest"] == bundle.digest
    assert response.headers["location"] == f"/api/v1/revisions/{bundle.digest}"
    assert (made["message"], made["parent"], made["size"]) == ("first", None, bundle.size)
    assert [(each["file"], each["line"], each["severity"]) for each in made["warnings"]] == [
        ("middleware.yaml", 2, "warning")
    ]
    read = await client.get(f"/api/v1/revisions/{bundle.digest[:8]}/files")
    assert read.json() == {"digest": bundle.digest, "files": FILES}
    assert (await client.get(f"/api/v1/revisions/{bundle.digest}")).json() == made
    assert (await client.get("/api/v1/revisions")).json() == {"revisions": [made], "total": 1}


async def test_the_same_files_are_the_same_revision(client: httpx2.AsyncClient) -> None:
    """Added again, also by several at once, a revision is there once, as it was."""
    answers = await asyncio.gather(
        *(client.post("/api/v1/revisions", json={"files": FILES, "message": f"{n}"}) for n in range(4))
    )
    assert sorted(each.status_code for each in answers) == [200, 200, 200, 201]
    assert len({each.json()["message"] for each in answers}) == 1
    assert (await client.get("/api/v1/revisions")).json()["total"] == 1


async def test_a_packed_bundle(client: httpx2.AsyncClient) -> None:
    """The form in which gateways get a revision is taken, too."""
    bundle = Bundle({name: text.encode() for name, text in FILES.items()})
    headers = {"content-type": MEDIA_TYPE}
    response = await client.post("/api/v1/revisions?message=packed", content=bundle.pack(), headers=headers)
    assert response.status_code == 201
    assert (response.json()["digest"], response.json()["message"]) == (bundle.digest, "packed")
    broken = await client.post("/api/v1/revisions", content=bundle.pack()[:-9], headers=headers)
    assert broken.status_code == 400
    assert broken.json()["errors"][0]["field"] == "files"


async def test_all_errors_at_once_and_nothing_kept(client: httpx2.AsyncClient) -> None:
    """A configuration with errors is refused with the place of each, and is not there afterwards."""
    files = {"routes.yaml": "routes:\n- path: /\n  targt: x\n", "middleware.yaml": "limits: {heads: 1}\n"}
    response = await client.post("/api/v1/revisions", json={"files": files})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert [each["field"] for each in problem["errors"]] == ["files.middleware.yaml"] + ["files.routes.yaml"] * 2
    assert problem["errors"][2]["message"].startswith("routes.yaml:3:3: routes[0].targt: unknown key")
    assert (problem["problems"][2]["line"], problem["problems"][2]["column"]) == (3, 3)
    assert (await client.get("/api/v1/revisions")).json()["total"] == 0


async def test_check_keeps_nothing(client: httpx2.AsyncClient) -> None:
    """A check alone says the digest and the warnings."""
    response = await client.post("/api/v1/revisions/check", json={"files": FILES})
    assert response.status_code == 200
    assert len(response.json()["warnings"]) == 1
    assert (await client.get("/api/v1/revisions")).json()["total"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "files"),
        ({"files": {}}, "files"),
        ({"files": []}, "files"),
        ({"files": {"routes.yaml": 1}}, "files.routes.yaml"),
        ({"files": {"../routes.yaml": ROUTES}}, "files.../routes.yaml"),
        ({"files": {"routes.yaml": "\0"}}, "files.routes.yaml"),
        ({"files": {**FILES, "mine.py": ""}}, "files.mine.py"),
        ({"files": FILES, "message": "x" * 5000}, "message"),
        ({"files": FILES, "parent": "0" * 64}, "parent"),
        ({"files": FILES, "parent": "%"}, "parent"),
        ({"files": FILES, "parent": 7}, "parent"),
    ],
)
async def test_what_is_no_revision(client: httpx2.AsyncClient, body: dict[str, Any], field: str) -> None:
    """Every field that is wrong is named."""
    response = await client.post("/api/v1/revisions", json=body)
    assert response.status_code == 400
    assert field in [each["field"] for each in response.json()["errors"]]


@pytest.mark.parametrize("content", [b"", b"[", b"null", b'"x"', b"\xff", b'{"files": {"routes.yaml": "\\ud800"}}'])
async def test_bodies_that_are_none(client: httpx2.AsyncClient, content: bytes) -> None:
    """Whatever is sent is answered with a sentence."""
    headers = {"content-type": "application/json"}
    response = await client.post("/api/v1/revisions", content=content, headers=headers)
    assert response.status_code == 400
    assert response.json()["message"]


async def test_other_media_types(client: httpx2.AsyncClient) -> None:
    """What is neither JSON nor a bundle is not guessed at."""
    response = await client.post("/api/v1/revisions", content=b"x", headers={"content-type": "application/zip"})
    assert response.status_code == 415


@pytest.mark.parametrize("named", ["0" * 64, "abc", "%25", "%00", "zz", "0" * 65, "____________", "check"])
async def test_revisions_that_are_not_there(client: httpx2.AsyncClient, named: str) -> None:
    """An unknown digest, and what is none, is not found."""
    await push(client, FILES)
    for path in (f"/api/v1/revisions/{named}", f"/api/v1/revisions/{named}/files"):
        assert (await client.get(path)).status_code == 404


async def test_difference_by_meaning(client: httpx2.AsyncClient) -> None:
    """A diff names what is another, by ids and names, and passes over comments and the form of the text."""
    first = await push(client, FILES)
    routes = (
        "# new\nroutes:\n- {path: /admin, id: admin, target: http://127.0.0.1:3002}\n"
        "- {id: web, path: /, timeout: {total: 1s}, target: 'http://127.0.0.1:3001'}\n"
    )
    second = await push(client, {"routes.yaml": routes}, parent=first["digest"][:12])
    assert second["parent"] == first["digest"]
    found = (await client.get(f"/api/v1/revisions/{first['digest']}/diff/{second['digest'][:10]}")).json()
    assert [(each["kind"], each["file"], each["where"]) for each in found["changes"]] == [
        ("removed", "middleware.yaml", ""),
        ("changed", "routes.yaml", "routes.web.timeout.total"),
        ("added", "routes.yaml", "routes.admin"),
    ]
    assert (found["changes"][1]["before"], found["changes"][1]["after"]) == ('"5s"', '"1s"')
    assert "+# new" in found["text"]
    same = (await client.get(f"/api/v1/revisions/{first['digest']}/diff/{first['digest']}")).json()
    assert (same["changes"], same["text"]) == ([], "")


async def test_large_files_are_compared_in_time(client: httpx2.AsyncClient) -> None:
    """The lines of a huge file are not compared, which could take hours; what it means is, as far as is shown."""

    def large(port: int) -> dict[str, str]:
        comments = "".join(f"# {number % 7}\n" for number in range(30_000))
        return {"routes.yaml": f"routes:\n- id: web\n  path: /\n  target: http://127.0.0.1:{port}\n{comments}"}

    first, second = await push(client, large(1)), await push(client, large(2))
    found = (await client.get(f"/api/v1/revisions/{first['digest']}/diff/{second['digest']}")).json()
    assert [each["where"] for each in found["changes"]] == ["routes.web.target"]
    assert "more than 20000 lines" in found["text"]


async def test_secrets_are_not_in_a_difference(client: httpx2.AsyncClient) -> None:
    """What may be a secret is hidden in values and lines; the name of a variable is none."""

    def files(word: str) -> dict[str, str]:
        return {
            "routes.yaml": ROUTES,
            "middleware.yaml": f"policies:\n  x: {{class: 'x.py:X', config: {{api_key: {word}, by: '${{{word}}}'}}}}\n",
        }

    first, second = await push(client, files("hunter2a")), await push(client, files("hunter2b"))
    found = (await client.get(f"/api/v1/revisions/{first['digest']}/diff/{second['digest']}")).json()
    where = "policies.x.config"
    assert [(each["where"], each["after"]) for each in found["changes"]] == [
        (f"{where}.api_key", '"(hidden)"'),
        (f"{where}.by", '"${hunter2b}"'),
    ]
    assert "hunter2" not in found["text"]
