"""Tokens of gateways, and gateways that join."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select, text

from gateway.control_messages import TOKEN
from gateway.control_plane.database.tables import Gateway, Table
from gateway.control_plane.plane import Plane
from tests.control_plane.channel_support import a_gateway, a_token, an_environment
from tests.control_plane.support import client_of, control_plane

BASE = "/api/v1"
INTERNAL = "/api/internal/v1"
NO_ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def plane(tmp_path: Path, database_url: str) -> AsyncIterator[Plane]:
    async with control_plane(tmp_path, database=database_url) as plane:
        yield plane


@pytest.fixture
async def client(plane: Plane) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(plane) as client:
        yield client


async def _answers(client: httpx2.AsyncClient, gateway: UUID | str, token: str) -> int:
    """What a heartbeat with this token is answered with."""
    path, headers = f"{INTERNAL}/gateways/{gateway}/heartbeat", {"authorization": f"Bearer {token}"}
    return (await client.post(path, content='{"instanceId": "a"}', headers=headers)).status_code


async def _join(client: httpx2.AsyncClient, token: str, name: str = "pod-1") -> httpx2.Response:
    return await client.post(
        f"{INTERNAL}/gateways/join", content=json.dumps({"name": name}), headers={"api-key": token}
    )


async def _join_token(client: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await client.post(f"{BASE}/join-tokens", json={"environment": "production", **body})
    assert response.status_code == 201, response.text
    return dict(response.json())


async def test_a_token_is_exchanged_without_a_gap(plane: Plane, client: httpx2.AsyncClient) -> None:
    """A second one holds beside the first, until the first is revoked; then only the second does."""
    gateway = await a_gateway(plane)
    path = f"{BASE}/gateways/{gateway}/tokens"
    first, second = [(await client.post(path)).json() for _ in range(2)]
    assert TOKEN.fullmatch(first["token"])
    assert [await _answers(client, gateway, each["token"]) for each in (first, second)] == [200, 200]
    assert (await client.delete(f"{path}/{first['id']}")).status_code == 204
    assert [await _answers(client, gateway, each["token"]) for each in (first, second)] == [401, 200]
    assert (await client.delete(f"{path}/{first['id']}")).status_code == 204  # it is so already
    listed = (await client.get(path)).json()
    assert {each["id"]: each["active"] for each in listed["tokens"]} == {first["id"]: False, second["id"]: True}


async def test_a_token_is_nowhere_but_in_the_answer_that_made_it(plane: Plane, client: httpx2.AsyncClient) -> None:
    """Neither in lists, nor in the audit log, nor in any table."""
    gateway = await a_gateway(plane, environment=await an_environment(plane))
    made = (await client.post(f"{BASE}/gateways/{gateway}/tokens", json={"ttl": 60})).json()
    join = await _join_token(client)
    joined = (await _join(client, join["token"])).json()
    await plane.channel.heartbeats.flush(plane.database)
    secrets = [each["token"][-43:] for each in (made, join, joined)]
    shown = (await client.get(f"{BASE}/gateways/{gateway}/tokens")).text + (
        await client.get(f"{BASE}/join-tokens")
    ).text
    async with plane.database.reading() as session:
        for table in Table.metadata.sorted_tables:
            shown += str((await session.execute(text(f"SELECT * FROM {table.name}"))).all())
    assert not [secret for secret in secrets if secret in shown]


async def test_a_token_expires(plane: Plane, client: httpx2.AsyncClient) -> None:
    """After its time it is none."""
    gateway = await a_gateway(plane)
    assert await _answers(client, gateway, await a_token(plane, gateway, timedelta(seconds=-1))) == 401


async def test_a_token_is_for_its_gateway_only(plane: Plane, client: httpx2.AsyncClient) -> None:
    """Neither another gateway's path nor two tokens in one header are taken."""
    gateway, other = await a_gateway(plane), await a_gateway(plane, "other")
    token = await a_token(plane, gateway)
    assert await _answers(client, other, token) == 403
    headers = [("api-key", token), ("api-key", await a_token(plane, other))]
    path = f"{INTERNAL}/gateways/{gateway}/heartbeat"
    assert (await client.post(path, content='{"instanceId": "a"}', headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "body", ['{"ttl": 0}', '{"ttl": -1}', '{"ttl": 1e400}', '{"ttl": "1"}', '{"ttl": true}', "[]", "{"]
)
async def test_what_is_no_lifetime_is_refused(plane: Plane, client: httpx2.AsyncClient, body: str) -> None:
    """400, with the field."""
    path = f"{BASE}/gateways/{await a_gateway(plane)}/tokens"
    response = await client.post(path, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text


@pytest.mark.parametrize("path", [f"gateways/{NO_ID}/tokens", "gateways/x/tokens", f"gateways/{NO_ID}/tokens/a%00b"])
async def test_what_is_not_there_is_a_404(client: httpx2.AsyncClient, path: str) -> None:
    """Whatever stands in the path."""
    assert (await client.request("DELETE" if "%" in path else "GET", f"{BASE}/{path}")).status_code == 404


async def test_a_gateway_joins_and_gets_its_own_token(plane: Plane, client: httpx2.AsyncClient) -> None:
    """It is then in the environment of the join token, and known by its name."""
    environment = await an_environment(plane)
    joined = (await _join(client, (await _join_token(client))["token"])).json()
    assert joined["name"] == "pod-1"
    assert await _answers(client, joined["gatewayId"], joined["token"]) == 200
    async with plane.database.reading() as session:
        gateway = (await session.scalars(select(Gateway))).one()
    assert (str(gateway.uuid), gateway.status) == (joined["gatewayId"], "ACTIVE")
    assert gateway.adapter_config == {"kind": "flowmaster", "joinedEnvironment": str(environment)}


async def test_a_join_token_is_used_as_often_as_it_may_be(plane: Plane, client: httpx2.AsyncClient) -> None:
    """Also where many come at once: each use counts once."""
    await an_environment(plane)
    token = (await _join_token(client, maxUses=3))["token"]
    answers = await asyncio.gather(*(_join(client, token, f"pod-{number}") for number in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [401] * 5
    (listed,) = (await client.get(f"{BASE}/join-tokens")).json()["tokens"]
    assert (listed["uses"], listed["active"]) == (3, False)


async def test_a_gateway_may_join_again_but_not_under_the_name_of_another(
    plane: Plane, client: httpx2.AsyncClient
) -> None:
    """With a join token of the same environment it is the same gateway; a name that is taken otherwise is refused, and
    costs no use."""
    await an_environment(plane)
    await an_environment(plane, "staging")
    await a_gateway(plane, "edge")
    first, other = await _join_token(client, maxUses=5), await _join_token(client, environment="staging", maxUses=5)
    one = (await _join(client, first["token"])).json()
    again = (await _join(client, first["token"])).json()
    assert one["gatewayId"] == again["gatewayId"]
    assert (await _join(client, other["token"])).status_code == 409
    assert (await _join(client, first["token"], "edge")).status_code == 409
    uses = {each["id"]: each["uses"] for each in (await client.get(f"{BASE}/join-tokens")).json()["tokens"]}
    assert uses == {first["id"]: 2, other["id"]: 0}


async def test_an_invalid_join_token_is_refused(plane: Plane, client: httpx2.AsyncClient) -> None:
    """Revoked, of another kind, or none at all."""
    await an_environment(plane)
    made = await _join_token(client)
    assert (await client.delete(f"{BASE}/join-tokens/{made['id']}")).status_code == 204
    own = await a_token(plane, await a_gateway(plane))
    for token in (made["token"], own, "fgj_x", made["token"].replace("fgj", "fgw")):
        assert (await _join(client, token)).status_code == 401


async def test_a_join_token_needs_an_environment_that_is_there(plane: Plane, client: httpx2.AsyncClient) -> None:
    """By name or uuid; what is none is a 404, and what is wrong a 400."""
    environment = await an_environment(plane)
    assert (await _join_token(client, environment=str(environment)))["environmentId"] == str(environment)
    for body, status in (
        ({"environment": "nowhere"}, 404),
        ({"environment": "\0"}, 400),
        ({}, 400),
        ({"environment": "production", "maxUses": 0}, 400),
        ({"environment": "production", "maxUses": 10**40}, 400),
    ):
        assert (await client.post(f"{BASE}/join-tokens", json=body)).status_code == status
