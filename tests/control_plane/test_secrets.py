"""Passwords and tokens of gateways are in no answer, no log, no audit log and no database, in no form."""

from __future__ import annotations

import base64
import logging
from urllib.parse import quote

import httpx2
import pytest
from sqlalchemy import select

from gateway.control_plane.database.tables import Table
from gateway.control_plane.plane import Plane
from tests.control_plane.adapters.peers import Answer, Asked, FakeController, peer

PASSWORD = "correct-horse?battery/staple"
SECRET_FORMS = [
    PASSWORD,
    quote(PASSWORD, safe=""),
    base64.b64encode(PASSWORD.encode()).decode().rstrip("="),
    base64.b64encode(f"admin:{PASSWORD}".encode()).decode().rstrip("="),
]
GATEWAYS = "/api/v1/gateways"


async def everything_kept(plane: Plane) -> str:
    """All rows of all tables, as text, with what is packed in bytes."""
    rows = []
    async with plane.database.transaction() as session:
        for table in Table.metadata.sorted_tables:
            rows += [str(tuple(row)) for row in await session.execute(select(table))]
    return "\n".join(rows)


def body(name: str, url: str) -> dict[str, object]:
    credentials = {"username": "admin", "password": PASSWORD}
    config = {"controlPlaneUrl": url, "credentials": credentials}
    return {"name": name, "displayName": name, "gatewayType": "EGRESS", "environmentIds": [], "adapterConfig": config}


async def test_a_password_is_nowhere_but_at_its_gateway(
    plane: Plane, client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither where all goes well, nor where a request fails, nor where a gateway that lies sends back what it got."""
    caplog.set_level(logging.DEBUG)
    controller = FakeController()

    async def echoing(asked: Asked) -> Answer:
        if asked.target == "/health":
            return await controller(asked)
        shown = asked.headers.get("authorization", "")
        decoded = base64.b64decode(shown.removeprefix("Basic ")).decode()
        return 403, {"message": f"not {shown} ({decoded})", "errors": [{"field": decoded, "message": shown}]}

    answers = []
    async with peer(echoing) as liar:
        for name, target in (("refused", GATEWAYS), ("taken", f"{GATEWAYS}?validate=false")):
            headers = {"Idempotency-Key": name}
            answers += [await client.post(target, json=body(name, liar.url), headers=headers) for _ in range(2)]
        uuid = answers[-1].json()["uuid"]
        for path in ("", "/health", "/metrics", "/deployments", "/environments", "/tokens"):
            answers.append(await client.get(f"{GATEWAYS}/{uuid}{path}"))
        answers.append(
            await client.put(f"{GATEWAYS}/{uuid}", json={"displayName": "b", "adapterConfig": {"zone": "a"}})
        )
        answers.append(await client.post(GATEWAYS, json={**body("wrong", liar.url), "gatewayType": PASSWORD[:3]}))
        misplaced = {"controlPlaneUrl": f"http://admin:{quote(PASSWORD, safe='')}@{liar.url[7:]}", "password": PASSWORD}
        answers.append(await client.post(GATEWAYS, json={**body("misplaced", liar.url), "adapterConfig": misplaced}))
    for path in (
        GATEWAYS,
        "/api/v1/gateways/status",
        "/api/v1/overview",
        "/api/v1/audit",
        "/api/v1/audit/export",
        "/metrics",
    ):
        answers.append(await client.get(path))
    assert [answer.status_code for answer in answers[:4]] == [502, 502, 201, 201]
    assert all(answer.status_code < 500 or answer.status_code == 502 for answer in answers)
    texts = [answer.text + str(answer.headers) for answer in answers]
    for text in [*texts, await everything_kept(plane), caplog.text]:
        for form in SECRET_FORMS:
            assert form not in text


async def test_a_token_of_a_gateway_is_shown_once(plane: Plane, client: httpx2.AsyncClient) -> None:
    """Its hash is kept; the answer that shows it is not, even where the request may be repeated."""
    made = await client.post(f"{GATEWAYS}?validate=false", json=body("a", "http://127.0.0.1:1"))
    tokens = f"{GATEWAYS}/{made.json()['uuid']}/tokens"
    answer = await client.post(tokens, json={}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]
    secret = token.split("_", 2)[2]  # which may have underscores itself
    listed = await client.get(tokens)
    audited = await client.get("/api/v1/audit")
    for text in (listed.text, audited.text, await everything_kept(plane)):
        assert secret not in text
        assert base64.b64encode(token.encode()).decode()[:-4] not in text
