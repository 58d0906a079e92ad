"""What a control plane does while its database is away, and behind a pool of connections."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.control_plane.database.connection import Database, DatabaseUnavailable
from gateway.control_plane.database.migrating import upgrade
from gateway.control_plane.plane import Plane
from tests.control_plane.adapters.peers import FakeController, peer
from tests.control_plane.pgbouncer import running_pgbouncer
from tests.control_plane.postgres import Postgres, running_postgres
from tests.control_plane.support import Served, control_plane, serving
from tests.support import eventually

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(180)]

SETTINGS = """
networks: [loopback]
gateway:
  adapter:
    type: on-premise
    onPremise: {healthCheck: {interval: 1s, timeout: 1s}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL of this module's own, to do harm to."""
    with running_postgres("18") as running:
        yield running


@asynccontextmanager
async def served(directory: Path, url: str) -> AsyncIterator[tuple[Plane, Served]]:
    """A control plane on this database, with its jobs."""
    async with control_plane(directory, SETTINGS, url) as plane, serving(plane) as found:
        yield plane, found


def gateway_at(url: str) -> Mapping[str, Any]:
    """What registers one."""
    body = {"name": "one", "displayName": "One", "gatewayType": "EGRESS", "environmentIds": []}
    return {**body, "adapterConfig": {"controlPlaneUrl": url}}


@contextmanager
def away(server: Postgres, stopped: signal.Signals) -> Iterator[None]:
    """It is frozen, ends or is killed, and is back afterwards."""
    process = server.process
    assert process is not None
    if stopped is signal.SIGSTOP:
        _signal_all(process.pid, signal.SIGSTOP)
    else:
        server.stop(stopped)
    try:
        yield
    finally:
        if stopped is signal.SIGSTOP:
            _signal_all(process.pid, signal.SIGCONT)
        else:
            server.start()


def client_of(found: Served) -> httpx2.AsyncClient:
    """Its administrator."""
    return httpx2.AsyncClient(
        base_url=f"{found.url}/api/v1", headers={"authorization": f"Bearer {found.token}"}, timeout=30
    )


@pytest.mark.parametrize("stopped", [signal.SIGINT, signal.SIGSTOP, signal.SIGKILL])
async def test_while_postgresql_is_away_reads_are_503_and_the_job_resumes(
    server: Postgres, tmp_path: Path, stopped: signal.Signals
) -> None:
    """Whether it is shut down, frozen or killed: 503 in bounded time, then all goes on, without a restart."""
    with server.database() as url:
        async with (
            peer(FakeController()) as controller,
            served(tmp_path, url) as (_, found),
            client_of(found) as client,
        ):
            made = await client.post("/gateways", json=gateway_at(controller.url))
            assert made.status_code == 201, made.text
            path = f"/gateways/{made.json()['uuid']}/health"
            await _probed_after(client, path, None)
            with away(server, stopped):
                async with asyncio.timeout(25):
                    response = await client.get("/gateways")
                assert response.status_code == 503, response.text
                assert "retry-after" in response.headers
                assert (await client.get(f"{found.url}/health")).status_code == 200
            await _until(client, "/gateways", lambda response: response.status_code == 200)
            await _probed_after(client, path, (await client.get(path)).json()["checkedAt"])
            assert (await client.get(path)).json()["status"] == "ACTIVE"


async def test_pgbouncer_may_give_each_transaction_another_connection(server: Postgres, tmp_path: Path) -> None:
    """By psycopg, as documented: the same statements over and over, at once, and migrations."""
    with server.database() as url:
        name = url.rsplit("/", 1)[1]
        with running_pgbouncer(server) as port:
            pooled = f"postgresql+psycopg://postgres@127.0.0.1:{port}/{name}"
            await upgrade(pooled)
            async with served(tmp_path, pooled) as (_, found), client_of(found) as client:
                made = await asyncio.gather(
                    *(
                        client.post("/environments", json={"name": f"env-{number}", "displayName": "E"})
                        for number in range(30)
                    )
                )
                assert {each.status_code for each in made} == {201}
                read = await asyncio.gather(*(client.get("/environments") for _ in range(60)))
                assert {(each.status_code, each.json()["total"]) for each in read} == {(200, 30)}


async def test_two_control_planes_probe_each_gateway_once(server: Postgres, tmp_path: Path) -> None:
    """On one database, one of them holds the work, and the other takes it over when that one is stopped."""
    with server.database() as url:
        async with peer(FakeController()) as controller, served(tmp_path, url) as (second, found):
            async with served(tmp_path, url) as (first, _), client_of(found) as client:
                assert (await client.post("/gateways", json=gateway_at(controller.url))).status_code == 201
                planes = (first, second)
                await eventually(lambda: sum(_holds(each) for each in planes) == 1)
                await eventually(lambda: any(_probes(each) >= 3 for each in planes))
                assert sorted(_probes(each) > 0 for each in planes) == [False, True]
                assert _holds(second), "the one that was first"
            assert _holds(second)


async def test_a_frozen_server_is_unavailable_to_migrations_too(server: Postgres) -> None:
    """`migrate` ends with a sentence where PostgreSQL takes connections and says nothing."""
    with away(server, signal.SIGSTOP), pytest.raises(DatabaseUnavailable):
        async with asyncio.timeout(20):
            await upgrade(server.url("postgres"))
    database = Database(server.url("postgres"))
    async with database.reading():
        pass
    await database.close()


async def _until(client: httpx2.AsyncClient, path: str, answers: Callable[[httpx2.Response], bool]) -> None:
    """Ask until the answer is as it should be."""
    async with asyncio.timeout(30):
        while not answers(await client.get(path)):  # noqa: ASYNC110  it is another process that changes
            await asyncio.sleep(0.1)


async def _probed_after(client: httpx2.AsyncClient, path: str, before: str | None) -> None:
    await _until(client, path, lambda response: response.json().get("checkedAt") not in (None, before))


def _holds(plane: Plane) -> bool:
    return plane.metrics.registry.get_sample_value("control_plane_lease_held", {"work": "health"}) == 1


def _probes(plane: Plane) -> float:
    return plane.metrics.registry.get_sample_value("control_plane_probe_seconds_count") or 0


def _signal_all(parent: int, sent: signal.Signals) -> None:
    """The server and its processes, which have groups of their own."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    for each in (parent, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(each, sent)
