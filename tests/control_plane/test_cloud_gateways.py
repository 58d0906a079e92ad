"""Gateways of a provider, through the API: made with their record or not at all, and deleted with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from gateway.control_plane.credentials import gateway_spec
from gateway.control_plane.database.tables import Gateway
from gateway.control_plane.health.recording import Outcome, record
from gateway.control_plane.plane import Plane
from tests.control_plane.adapters.peers import Answer, Asked, peer
from tests.control_plane.adapters.provider import FakeProvider
from tests.control_plane.support import client_of, control_plane

GATEWAYS = "/api/v1/gateways"
SETTINGS = """\
gateway:
  adapter:
    type: cloud
    cloud:
      provider: wso2-cloud
      apiEndpoint: %s/v1
      authentication:
        type: oauth2
        clientId: ${CLOUD_CLIENT_ID}
        clientSecret: ${CLOUD_CLIENT_SECRET}
      defaultRegion: us-east-1
      retryPolicy: {maxAttempts: 1}
      healthCheck: {timeout: 5s}
"""


class Watched(FakeProvider):
    """A provider that lets a test do something after each gateway that is made."""

    async def __call__(self, asked: Asked) -> Answer:
        answer = await super().__call__(asked)
        if asked.method == "POST" and asked.target == "/v1/gateways":
            await self.after()
        return answer

    async def after(self) -> None:
        """Nothing, unless a test says so."""


@pytest.fixture
def provider() -> Watched:
    return Watched()


@pytest.fixture
async def cloud(
    provider: Watched, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Plane]:
    monkeypatch.setenv("CLOUD_CLIENT_ID", "client")
    monkeypatch.setenv("CLOUD_CLIENT_SECRET", "s/cret")
    async with peer(provider) as served, control_plane(tmp_path, SETTINGS % served.url, database_url) as plane:
        yield plane


def body(name: str = "cloud-gateway-us-east", **changes: Any) -> dict[str, Any]:
    scaling = {"minInstances": 2, "maxInstances": 10}
    return {
        "name": name,
        "displayName": "Cloud Gateway US East",
        "gatewayType": "EGRESS",
        "environmentIds": [],
        "adapterConfig": {"region": "us-east-1", "tier": "premium", "autoScaling": scaling},
        **changes,
    }


async def made(client: httpx2.AsyncClient, **changes: Any) -> dict[str, Any]:
    response = await client.post(GATEWAYS, json=body(**changes))
    assert response.status_code == 201, response.text
    return dict(response.json())


async def test_a_gateway_is_made_changed_and_deleted_with_its_record(cloud: Plane, provider: Watched) -> None:
    """As the proposal configures it; the provider gets the whole configuration on a change."""
    async with client_of(cloud) as client:
        gateway = await made(client)
        assert gateway["status"] == "ACTIVE"
        url = f"{GATEWAYS}/{gateway['uuid']}"
        assert (await client.get(url)).json()["region"] == "us-east-1"
        metrics = (await client.get(f"{url}/metrics")).json()
        assert (metrics["resourceCount"], metrics["requestRate"], metrics["mcpCount"]) == (3, 12.5, None)
        change = {"displayName": "East", "adapterConfig": {"autoScaling": {"maxInstances": 20}}}
        assert (await client.put(url, json=change)).status_code == 200
        (there,) = provider.gateways.values()
        assert there["wanted"]["autoScaling"] == {"minInstances": 2, "maxInstances": 20}
        assert there["wanted"]["reference"] == gateway["uuid"]
        assert (await client.delete(url)).status_code == 204
    assert not provider.gateways


async def test_a_gateway_that_takes_a_while_is_found_by_the_health_job(cloud: Plane, provider: Watched) -> None:
    """PROVISIONING at first; then ACTIVE, at the address that the provider gives it by then."""
    provider.looks = 1000
    async with client_of(cloud) as client:
        gateway = await made(client)
        assert gateway["status"] == "PROVISIONING"
        states = []
        for looks in (1000, 0):
            next(iter(provider.gateways.values()))["looks"] = looks
            async with cloud.database.transaction() as session:
                row = (await session.scalars(select(Gateway))).one()
                health = await cloud.adapter.check_health(gateway_spec(row, cloud.keys))
                await record(session, [Outcome(row.uuid, row.adapter_config, cloud.now(), health, None)])
            found = (await client.get(f"{GATEWAYS}/{gateway['uuid']}")).json()
            states.append((found["status"], found["endpoint"]))
    assert states == [("PROVISIONING", "https://gw.example.com"), ("ACTIVE", "https://gw.example.com")]


async def test_what_cannot_be_written_is_not_left_at_the_provider(cloud: Plane, provider: Watched) -> None:
    """The name is taken while the provider works: a conflict, and the provider has none."""

    async def taken() -> None:
        organization = next(iter(cloud.organizations.values()))
        async with cloud.database.transaction() as session:
            name = "cloud-gateway-us-east"
            session.add(Gateway(organization_uuid=organization, name=name, display_name="Another"))

    provider.after = taken  # type: ignore[method-assign]
    async with client_of(cloud) as client:
        response = await client.post(GATEWAYS, json=body())
    assert response.status_code == 409
    assert not provider.gateways


async def test_nothing_is_made_for_a_request_that_cannot_be_done(cloud: Plane, provider: Watched) -> None:
    """A wrong region, an environment that is not there, a name that is taken, superfluous credentials."""
    async with client_of(cloud) as client:
        await made(client, name="taken")
        answers = [
            await client.post(GATEWAYS, json=body(adapterConfig={"region": 7})),
            await client.post(GATEWAYS, json=body(environmentIds=["5f0c2b1e-3a58-4b0c-9d55-0b6b8f9c1a11"])),
            await client.post(GATEWAYS, json=body(name="taken")),
            await client.post(GATEWAYS, json=body(adapterConfig={"credentials": {"token": "t"}})),
        ]
    assert [answer.status_code for answer in answers] == [400, 404, 409, 400]
    assert len(provider.gateways) == 1


async def test_a_gateway_stays_while_its_provider_cannot_delete_it(cloud: Plane, provider: Watched) -> None:
    """502, and it can be tried again."""
    async with client_of(cloud) as client:
        url = f"{GATEWAYS}/{(await made(client))['uuid']}"
        provider.undone = [(500, {"message": "out of order"})]
        refused = await client.delete(url)
        assert (refused.status_code, (await client.get(url)).status_code) == (502, 200)
        assert "out of order" in refused.json()["detail"]
        assert (await client.delete(url)).status_code == 204
    assert not provider.gateways
