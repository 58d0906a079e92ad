"""A PostgreSQL that goes away and comes back, while the control plane is served."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.control_plane.database.migrating import upgrade
from tests.control_plane.conftest import SETTINGS
from tests.control_plane.postgres import Postgres, running_postgres
from tests.control_plane.support import control_plane, serving

ENVIRONMENTS = "/api/v1/environments"

pytestmark = pytest.mark.control_plane


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """One that no other test uses."""
    with running_postgres("18") as server:
        yield server


async def _becomes(client: httpx2.AsyncClient, status: int) -> httpx2.Response:
    for _ in range(600):
        if (response := await client.get(ENVIRONMENTS)).status_code == status:
            return response
        await asyncio.sleep(0.05)
    raise AssertionError(response.text)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
async def test_reads_say_so_and_go_on(own_postgres: Postgres, tmp_path: Path, sent: signal.Signals) -> None:
    """503 with Retry-After within seconds, `/health` is well, and everything is there when it is back."""
    with own_postgres.database() as url:
        await upgrade(url)
        async with control_plane(tmp_path, SETTINGS, url) as plane, serving(plane) as served:
            headers = {"authorization": f"Bearer {served.token}"}
            async with httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=30) as client:
                body = {"name": "production", "displayName": "Production"}
                assert (await client.post(ENVIRONMENTS, json=body)).status_code == 201
                await asyncio.to_thread(own_postgres.stop, sent)
                refused = await _becomes(client, 503)
                assert refused.headers["retry-after"]
                many = await asyncio.gather(*(client.post(ENVIRONMENTS, json=body) for _ in range(30)))
                assert {response.status_code for response in many} == {503}
                assert (await client.get("/ready")).status_code == 503
                assert (await client.get("/health")).status_code == 200
                await asyncio.to_thread(own_postgres.start)
                assert (await _becomes(client, 200)).json()["total"] == 1
                assert (await client.post(ENVIRONMENTS, json=body)).status_code == 409
