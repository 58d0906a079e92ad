"""The page, and signing in to it."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import select

from gateway.control_plane.database.tables import AuditRecord
from gateway.control_plane.plane import Plane
from gateway.control_plane.rules import TOKEN_FILE
from tests.control_plane.support import client_of, control_plane

KEY = "gw_a-key-of-the-viewer-of-these-tests"
AUTH = f"""
schemes: {{keys: {{api_key: {{header: X-API-Key}}}}}}
consumers: [{{name: eve, keys: ["sha256:{sha256(KEY.encode()).hexdigest()}"]}}]
"""
ROLES = "roles: [{role: admin, consumers: [eve]}]"


def _token(plane: Plane) -> str:
    return (plane.state / TOKEN_FILE).read_text().strip()


async def test_the_page_and_its_files_need_no_credential_and_hold_no_data(tmp_path: Path, database_url: str) -> None:
    """What it shows, it asks for; scripts of others cannot run in it."""
    async with control_plane(tmp_path, database=database_url) as plane, client_of(plane, {}) as client:
        page = await client.get("/")
        assert page.status_code == 200
        assert "script-src 'self'" in page.headers["content-security-policy"]
        for name in ("main.js", "dom.js", "page.css", "icon.svg", "matrix.js"):
            found = await client.get(f"/page/{name}")
            assert found.status_code == 200, name
        again = await client.get(
            "/page/main.js", headers={"if-none-match": (await client.get("/page/main.js")).headers["etag"]}
        )
        assert again.status_code == 304
        for name in ("none.js", "..%2fapi%2fpage.py", "vendor/uPlot.js"):
            assert (await client.get(f"/page/{name}")).status_code == 404
        assert (await client.get("/api/v1/overview")).status_code == 401


async def test_a_session_may_read_until_it_ends_and_changes_nothing(tmp_path: Path, database_url: str) -> None:
    """The cookie is no script's and no other site's."""
    async with control_plane(tmp_path, database=database_url) as plane, client_of(plane, {}) as client:
        signed = await client.post("/session", json={"token": _token(plane)})
        assert signed.status_code == 200
        assert "HttpOnly; SameSite=Strict" in signed.headers["set-cookie"]
        assert (await client.get("/session")).json()["name"] == "local"
        assert (await client.get("/api/v1/overview")).status_code == 200
        refused = await client.post("/api/v1/environments", json={"name": "a", "displayName": "A"})
        assert refused.status_code == 401
        assert (await client.delete("/session")).status_code == 200
        assert (await client.get("/api/v1/overview")).status_code == 401


async def test_a_session_ends_with_the_key_that_it_was_begun_with(tmp_path: Path, database_url: str) -> None:
    """A key that is removed from auth.yaml is invalid at once, also for sessions."""
    (tmp_path / "auth.yaml").write_text(AUTH)
    async with control_plane(tmp_path, ROLES, database_url) as plane, client_of(plane, {}) as client:
        assert (await client.post("/session", json={"token": KEY})).json()["name"] == "eve"
        assert (await client.get("/api/v1/overview")).status_code == 200
        (tmp_path / "auth.yaml").write_text(AUTH.replace(sha256(KEY.encode()).hexdigest(), "0" * 64))
        for _ in range(300):
            if (await client.get("/api/v1/overview")).status_code == 401:
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("the session goes on")


async def test_wrong_tokens_are_few_and_repeated_nowhere(tmp_path: Path, database_url: str) -> None:
    """After some tries an address has to wait; the audit log has the attempts without what was tried."""
    async with control_plane(tmp_path, database=database_url) as plane, client_of(plane, {}) as client:
        statuses = [(await client.post("/session", json={"token": "wrong-secret"})).status_code for _ in range(8)]
        assert statuses[:6] == [401] * 6
        assert statuses[-1] == 429
        async with plane.database.reading() as session:
            lines = list(await session.scalars(select(AuditRecord.line)))
    assert lines
    assert "wrong-secret" not in "".join(lines)
    assert {json.loads(line)["who"] for line in lines} == {"unknown"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"token": 5},
        {"token": None},
        {"token": "a\r\nb"},
        {"token": "é"},
        {"username": "a"},
        [],
        "x",
        {"token": "x" * 20000},
    ],
)
async def test_what_is_no_credential_is_refused(tmp_path: Path, database_url: str, body: object) -> None:
    """As a problem of the request."""
    async with control_plane(tmp_path, database=database_url) as plane, client_of(plane, {}) as client:
        answer = await client.post("/session", json=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_page_of_another_site_cannot_sign_a_user_in(tmp_path: Path, database_url: str) -> None:
    """Also with a token that holds."""
    async with control_plane(tmp_path, database=database_url) as plane, client_of(plane, {}) as client:
        answer: httpx2.Response = await client.post(
            "/session", json={"token": _token(plane)}, headers={"origin": "https://evil.example"}
        )
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
