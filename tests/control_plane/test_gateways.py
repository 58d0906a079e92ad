"""The operations on gateways, and on which environment they are in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import select

from gateway.control_plane.database.tables import AuditRecord, Deployment, Gateway, GatewayInstance
from gateway.control_plane.plane import Plane
from gateway.control_plane.wanted import KIND
from tests.control_plane.adapters.peers import ADMIN, FakeController, Peer, peer
from tests.control_plane.channel_support import a_revision, an_environment

GATEWAYS = "/api/v1/gateways"
ENVIRONMENTS = "/api/v1/environments"
ABSENT = "3d2f0f5e-8f6b-4f0e-9d3c-0f1e2d3c4b5a"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
async def controller() -> AsyncIterator[Peer]:
    async with peer(FakeController()) as server:
        yield server


async def _environment(client: httpx2.AsyncClient, name: str) -> str:
    response = await client.post(ENVIRONMENTS, json={"name": name, "displayName": name.title()})
    assert response.status_code == 201, response.text
    return str(response.json()["uuid"])


def _body(url: str | None = NOWHERE, *environments: str, **changes: Any) -> dict[str, Any]:
    config = {} if url is None else {"controlPlaneUrl": url, "credentials": ADMIN}
    return {
        "name": "prod-gateway-1",
        "displayName": "Production Gateway 1",
        "gatewayType": "EGRESS",
        "environmentIds": list(environments),
        "adapterConfig": config,
        **changes,
    }


async def _registered(client: httpx2.AsyncClient, url: str, *environments: str, **changes: Any) -> str:
    response = await client.post(GATEWAYS, json=_body(url, *environments, **changes))
    assert response.status_code == 201, response.text
    return str(response.json()["uuid"])


async def test_a_gateway_is_registered_as_the_proposal_says(client: httpx2.AsyncClient, controller: Peer) -> None:
    """It is asked first; then it is there, active, with its environments and all keys of the proposal."""
    production = await _environment(client, "production")
    response = await client.post(GATEWAYS, json=_body(controller.url, production))
    assert response.status_code == 201, response.text
    made = response.json()
    assert made.keys() == {"uuid", "name", "status", "endpoint", "createdAt"}
    assert (made["status"], made["endpoint"]) == ("ACTIVE", controller.url)
    found = (await client.get(f"{GATEWAYS}/{made['uuid']}")).json()
    assert found["environments"] == [{"uuid": production, "name": "production", "displayName": "Production"}]
    assert (found["type"], found["gatewayType"], found["region"]) == ("EGRESS", "EGRESS", None)
    assert {"organizationId", "displayName", "metadata", "createdAt", "updatedAt"} <= found.keys()
    assert ADMIN["password"] not in str(found["adapterConfig"])


async def test_a_gateway_that_does_not_answer_is_not_registered(client: httpx2.AsyncClient) -> None:
    """502, and nothing is left of it; with `validate=false` it is there, and inactive."""
    refused = await client.post(GATEWAYS, json=_body())
    assert refused.status_code == 502
    assert refused.json()["errors"][0]["field"] == "adapterConfig.controlPlaneUrl"
    assert (await client.get(GATEWAYS)).json() == {"gateways": [], "total": 0}
    taken = await client.post(f"{GATEWAYS}?validate=false", json=_body())
    assert (taken.status_code, taken.json()["status"]) == (201, "INACTIVE")


async def test_all_or_nothing(client: httpx2.AsyncClient, controller: Peer) -> None:
    """A gateway with one environment that is not there is a 404, and is in none."""
    production = await _environment(client, "production")
    response = await client.post(GATEWAYS, json=_body(controller.url, production, str(uuid4())))
    assert response.status_code == 404
    assert controller.asked == []
    assert (await client.get(f"{ENVIRONMENTS}/{production}/gateways")).json()["total"] == 0


async def test_answers_may_be_sent_as_requests(client: httpx2.AsyncClient, controller: Peer) -> None:
    """`type` is understood in the place of `gatewayType`."""
    body = _body(controller.url)
    body["type"] = body.pop("gatewayType")
    assert (await client.post(GATEWAYS, json=body)).status_code == 201


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "Prod"}, "name"),
        ({"name": "a" * 65}, "name"),
        ({"displayName": ""}, "displayName"),
        ({"displayName": "x" * 129}, "displayName"),
        ({"gatewayType": "BOTH"}, "gatewayType"),
        ({"gatewayType": None}, "gatewayType"),
        ({"environmentIds": ["x"]}, "environmentIds[0]"),
        ({"environmentIds": [ABSENT] * 101}, "environmentIds"),
        ({"adapterConfig": []}, "adapterConfig"),
        ({"adapterConfig": {}}, "adapterConfig.controlPlaneUrl"),
        ({"adapterConfig": {"controlPlaneUrl": "ftp://x"}}, "adapterConfig.controlPlaneUrl"),
        ({"adapterConfig": {"controlPlaneUrl": 5}}, "adapterConfig.controlPlaneUrl"),
        ({"adapterConfig": {"controlPlaneUrl": "http://169.254.169.254/"}}, "adapterConfig.controlPlaneUrl"),
        ({"adapterConfig": {"a": "\0"}}, "adapterConfig"),
        ({"adapterConfig": {"a": 10**400}}, "adapterConfig"),
        ({"adapterConfig": {"a": "x" * 70_000}}, "adapterConfig"),
        ({"adapterConfig": {"controlPlaneURL": "http://x"}}, "adapterConfig.controlPlaneURL"),
        ({"adapterConfig": {"control_plane_url": "http://x"}}, "adapterConfig.control_plane_url"),
        ({"adapterConfig": {"controlPlaneUrl": "http://x", "health-url": "http://x"}}, "adapterConfig.health-url"),
        ({"adapterConfig": {"password": "x"}}, "adapterConfig.password"),
        ({"adapterConfig": {"credentials": "admin"}}, "adapterConfig.credentials"),
    ],
)
async def test_wrong_fields_are_named(client: httpx2.AsyncClient, changes: dict[str, Any], field: str) -> None:
    """Each is a 400 with the name of the field."""
    response = await client.post(GATEWAYS, json=_body(**changes))
    assert response.status_code == 400, response.text
    assert field in [error["field"] for error in response.json()["errors"]]
    assert field in response.json()["detail"]


async def test_deep_documents_are_refused(client: httpx2.AsyncClient) -> None:
    """What is nested too deep to be kept is a 400."""
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    body = b'{"name":"a","displayName":"a","gatewayType":"EGRESS","adapterConfig":' + deep + b"}"
    response = await client.post(GATEWAYS, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400


async def test_lists_are_filtered(client: httpx2.AsyncClient, controller: Peer) -> None:
    """By type, status and environment, by its identifier or name; one that is not there is a 404, not all gateways."""
    production = await _environment(client, "production")
    await _registered(client, controller.url, production, name="a")
    await _registered(client, controller.url, name="b", gatewayType="INGRESS")
    await client.post(f"{GATEWAYS}?validate=false", json=_body(name="c"))

    async def names(query: str) -> list[str]:
        response = await client.get(f"{GATEWAYS}?{query}")
        assert response.status_code == 200, response.text
        return [gateway["name"] for gateway in response.json()["gateways"]]

    assert await names("") == ["a", "b", "c"]
    assert await names("type=EGRESS") == ["a", "c"]
    assert await names("status=ACTIVE") == ["a", "b"]
    assert await names("environment=production&type=EGRESS&status=ACTIVE") == ["a"]
    assert await names(f"environment={production}") == ["a"]
    assert await names("limit=1&offset=1") == ["b"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("environment=nowhere", 404),
        (f"environment={ABSENT}", 404),
        ("environment=%00", 404),
        ("environment=", 404),
        ("type=X", 400),
        ("status=active", 400),
        ("environment=" + "x" * 65, 400),
    ],
)
async def test_filters_that_are_none(client: httpx2.AsyncClient, query: str, status: int) -> None:
    """What is not known is never an unfiltered list."""
    assert (await client.get(f"{GATEWAYS}?{query}")).status_code == status


async def test_a_name_is_taken_once_also_by_two_at_once(client: httpx2.AsyncClient, controller: Peer) -> None:
    """Of two gateways of one name that are registered at the same time, one is refused with 409."""
    both = await asyncio.gather(*(client.post(GATEWAYS, json=_body(controller.url)) for _ in range(2)))
    assert sorted(response.status_code for response in both) == [201, 409]


async def test_a_change_keeps_what_it_does_not_name(client: httpx2.AsyncClient, controller: Peer, plane: Plane) -> None:
    """Keys of adapterConfig that no one knows, and credentials, survive a PUT without them."""
    body = _body(controller.url)
    body["adapterConfig"]["theirs"] = {"a": 1}
    uuid = (await client.post(GATEWAYS, json=body)).json()["uuid"]
    async with plane.database.reading() as session:
        before = (await session.scalars(select(Gateway))).one().adapter_config
    response = await client.put(
        f"{GATEWAYS}/{uuid}", json={"displayName": "Other", "adapterConfig": {"controlPlaneUrl": controller.url}}
    )
    assert response.status_code == 200, response.text
    assert response.json().keys() == {"uuid", "name", "updatedAt"}
    async with plane.database.reading() as session:
        after = (await session.scalars(select(Gateway))).one()
    assert (after.adapter_config, after.display_name) == (before, "Other")


async def test_a_change_that_cannot_be_reached_changes_nothing(client: httpx2.AsyncClient, controller: Peer) -> None:
    """502, and the gateway is where it was; with `validate=false` it is taken."""
    uuid = await _registered(client, controller.url)
    change = {"adapterConfig": {"controlPlaneUrl": NOWHERE, "credentials": ADMIN}, "displayName": "Other"}
    assert (await client.put(f"{GATEWAYS}/{uuid}", json=change)).status_code == 502
    found = (await client.get(f"{GATEWAYS}/{uuid}")).json()
    assert (found["adapterConfig"]["controlPlaneUrl"], found["displayName"]) == (
        controller.url,
        "Production Gateway 1",
    )
    assert (await client.put(f"{GATEWAYS}/{uuid}?validate=false", json=change)).status_code == 200
    assert (await client.get(f"{GATEWAYS}/{uuid}")).json()["adapterConfig"]["controlPlaneUrl"] == NOWHERE


async def test_of_two_changes_of_one_state_one_holds(client: httpx2.AsyncClient, controller: Peer) -> None:
    """Two PUTs at once with the same `If-Match`: one is a 412."""
    uuid = await _registered(client, controller.url)
    tag = (await client.get(f"{GATEWAYS}/{uuid}")).headers["etag"]
    both = await asyncio.gather(
        *(
            client.put(f"{GATEWAYS}/{uuid}", json={"displayName": name}, headers={"if-match": tag})
            for name in ("one", "two")
        )
    )
    assert sorted(response.status_code for response in both) == [200, 412]


async def test_a_gateway_with_deployments_stays(client: httpx2.AsyncClient, controller: Peer, plane: Plane) -> None:
    """DELETE is a 409 while something is deployed, which endpoint 17 lists; out of its environments it goes."""
    production = await _environment(client, "production")
    uuid = await _registered(client, controller.url, production)
    async with plane.database.transaction() as session:
        environment = UUID(production)
        row = Deployment(
            gateway_uuid=UUID(uuid), environment_uuid=environment, kind=KIND, resource="a", state="deployed"
        )
        session.add(row)
    refused = await client.delete(f"{GATEWAYS}/{uuid}")
    assert (refused.status_code, "1 active deployment" in refused.json()["detail"]) == (409, True)
    listed = (await client.get(f"{GATEWAYS}/{uuid}/deployments")).json()
    assert (listed["total"], listed["deployments"][0]["resource"], listed["deployments"][0]["state"]) == (
        1,
        "a",
        "deployed",
    )
    assert (await client.delete(f"{GATEWAYS}/{uuid}/environments/{production}")).status_code == 204
    assert (await client.delete(f"{GATEWAYS}/{uuid}")).status_code == 204
    assert (await client.get(f"{GATEWAYS}/{uuid}")).status_code == 404


async def test_gateways_and_environments_are_many_to_many(client: httpx2.AsyncClient, controller: Peer) -> None:
    """A gateway is put into environments and taken out; twice is a 409, and out of where it is not a 404."""
    first, second = [await _environment(client, name) for name in ("first", "second")]
    a = await _registered(client, controller.url, first, name="a")
    b = await _registered(client, controller.url, first, name="b")
    mapped = await client.post(f"{GATEWAYS}/{a}/environments/{second}")
    assert mapped.status_code == 201
    assert (await client.post(f"{GATEWAYS}/{a}/environments/{second}")).status_code == 409
    of_a = (await client.get(f"{GATEWAYS}/{a}/environments")).json()
    of_first = (await client.get(f"{ENVIRONMENTS}/{first}/gateways")).json()
    assert [each["name"] for each in of_a["environments"]] == ["first", "second"]
    assert [each["uuid"] for each in of_first["gateways"]] == [a, b]
    assert (await client.delete(f"{ENVIRONMENTS}/{second}")).status_code == 409
    assert (await client.delete(f"{GATEWAYS}/{a}/environments/{second}")).status_code == 204
    assert (await client.delete(f"{GATEWAYS}/{a}/environments/{second}")).status_code == 404
    assert (await client.delete(f"{ENVIRONMENTS}/{second}")).status_code == 204


@pytest.mark.parametrize("path", ["", "/environments", "/health", "/metrics", "/deployments"])
async def test_what_is_not_there_is_not_found(client: httpx2.AsyncClient, path: str) -> None:
    """Whatever is no identifier of a gateway is a 404."""
    for named in ("x", "%00", str(uuid4())):
        assert (await client.get(f"{GATEWAYS}/{named}{path}")).status_code == 404
        assert (await client.post(f"{GATEWAYS}/{named}/environments/{uuid4()}")).status_code == 404


async def test_health_says_when_it_was_seen(client: httpx2.AsyncClient, controller: Peer) -> None:
    """A gateway that was just registered was just seen."""
    uuid = await _registered(client, controller.url)
    health = (await client.get(f"{GATEWAYS}/{uuid}/health")).json()
    assert health["gatewayId"] == uuid
    assert (health["status"], health["errorMessage"]) == ("ACTIVE", None)
    assert health["checkedAt"].endswith("Z")
    assert health["lastHeartbeat"]
    assert health["responseTime"].endswith("ms")


async def test_what_is_not_known_is_null(client: httpx2.AsyncClient, controller: Peer) -> None:
    """Counts come from the lists where there are no metrics; rates are null then, never 0."""
    uuid = await _registered(client, controller.url)
    metrics = (await client.get(f"{GATEWAYS}/{uuid}/metrics")).json()
    assert (metrics["gatewayId"], metrics["providerCount"], metrics["requestRate"]) == (uuid, 0, None)
    assert (metrics["errorRate"], metrics["averageLatency"]) == (None, None)
    assert "switch them on, or name them in metricsUrl" in metrics["errorMessage"]


async def test_nothing_is_wanted_of_a_gateway_that_never_takes_a_revision(
    client: httpx2.AsyncClient, controller: Peer, plane: Plane
) -> None:
    """What a gateway-controller serves is its own, whatever is in force in its environment."""
    environment = await an_environment(plane, digest=await a_revision(plane))
    for name, config in (("foreign", {"controlPlaneUrl": controller.url}), ("ours", {"kind": "flowmaster"})):
        body = _body(None, name=name, adapterConfig=config, environmentIds=[str(environment)])
        assert (await client.post(GATEWAYS, json=body)).status_code == 201
    for path in ("/api/v1/gateways/status", "/api/v1/overview"):
        shown = (await client.get(path)).json()["gateways"]
        wanted = {each["name"]: each.get("wantedRevision") or each.get("wanted") for each in shown}
        assert (wanted["foreign"], wanted["ours"] is None) == (None, False), path


async def test_a_gateway_that_is_away_has_no_metrics(client: httpx2.AsyncClient) -> None:
    """200 with nulls, and why."""
    uuid = (await client.post(f"{GATEWAYS}?validate=false", json=_body())).json()["uuid"]
    response = await client.get(f"{GATEWAYS}/{uuid}/metrics")
    assert response.status_code == 200
    assert response.json()["requestRate"] is None
    assert response.json()["errorMessage"]


async def test_heartbeats_are_added_up(client: httpx2.AsyncClient, plane: Plane) -> None:
    """Of a gateway that calls out, its processes say what it counts, weighted by their requests."""
    body = _body(None, adapterConfig={"kind": "flowmaster"})
    uuid = (await client.post(GATEWAYS, json=body)).json()["uuid"]
    reports = [{"requestRate": 30, "errorRate": 1, "p50Ms": 100}, {"requestRate": 10, "errorRate": 5, "p50Ms": 200}]
    async with plane.database.transaction() as session:
        gateway = (await session.scalars(select(Gateway))).one()
        for number, report in enumerate(reports):
            session.add(
                GatewayInstance(gateway_uuid=gateway.uuid, id=str(number), last_heartbeat_at=plane.now(), report=report)
            )
    metrics = (await client.get(f"{GATEWAYS}/{uuid}/metrics")).json()
    assert (metrics["requestRate"], metrics["errorRate"], metrics["averageLatency"]) == (40, 2, "125ms")


async def test_every_write_is_in_the_audit_log(client: httpx2.AsyncClient, controller: Peer, plane: Plane) -> None:
    """In the order in which it was done, and without credentials."""
    first = await _environment(client, "first")
    uuid = await _registered(client, controller.url)
    await client.post(f"{GATEWAYS}/{uuid}/environments/{first}")
    await client.put(f"{GATEWAYS}/{uuid}", json={"displayName": "Other"})
    await client.delete(f"{GATEWAYS}/{uuid}/environments/{first}")
    await client.delete(f"{GATEWAYS}/{uuid}")
    async with plane.database.reading() as session:
        lines = (await session.scalars(select(AuditRecord.line).order_by(AuditRecord.number))).all()
    actions = ["environment.create", *(f"gateway.{each}" for each in ("create", "map", "update", "unmap", "delete"))]
    assert [next(action for action in actions if f'"{action}"' in line) for line in lines] == actions
    assert not any('"password"' in line for line in lines)
