"""Gateways of others at the WebSocket: Node's `ws`, with PgBouncer between the control plane and its database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from gateway.control_messages import CONNECT
from gateway.control_plane.database.tables import GatewayToken
from gateway.control_plane.plane import Plane
from tests.control_plane.channel_support import a_gateway, a_revision, a_token, an_environment, listening, want
from tests.control_plane.pgbouncer import running_pgbouncer
from tests.control_plane.postgres import Postgres
from tests.control_plane.support import client_of, control_plane
from tests.control_plane.tools import NODE, NODE_MODULES

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(120)]

PROGRAM = Path(__file__).parent / "programs" / "foreign_gateway.js"


class Foreign:
    """One of them, by what it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def next(self, key: str) -> Any:
        """The next line that has this."""
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            while line := await self._process.stdout.readline():
                said: dict[str, Any] = json.loads(line)
                if key in said:
                    return said[key]
        raise AssertionError(f"it ended without {key}")


@asynccontextmanager
async def foreign(url: str, token: str) -> AsyncIterator[Foreign]:
    """One that connects."""
    address = "ws" + url.removeprefix("http") + CONNECT
    process = await asyncio.create_subprocess_exec(
        NODE, PROGRAM, address, token, stdout=asyncio.subprocess.PIPE, env={"NODE_PATH": str(NODE_MODULES)}
    )
    try:
        yield Foreign(process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _parts(plane: Plane) -> tuple[UUID, UUID, str]:
    environment = await an_environment(plane)
    gateway = await a_gateway(plane, environment=environment)
    return environment, gateway, await a_token(plane, gateway)


@pytest.fixture
def behind_pgbouncer(postgres: Postgres | None, database_url: str) -> Iterator[str]:
    """The same database through a PgBouncer in transaction mode, by psycopg."""
    assert postgres is not None
    with running_pgbouncer(postgres) as port:
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/{database_url.rpartition('/')[2]}"


async def test_a_gateway_of_node_is_greeted_notified_pinged_and_disconnected(
    tmp_path: Path, behind_pgbouncer: str
) -> None:
    """With the words of the ecosystem; the revoked token ends it within 5 s, and then it is a 401."""
    async with (
        control_plane(tmp_path, database=behind_pgbouncer) as plane,
        listening(plane) as url,
        client_of(plane) as people,
    ):
        environment, gateway, token = await _parts(plane)
        async with foreign(url, token) as node:
            greeting = await node.next("message")
            assert (greeting["type"], greeting["gatewayId"]) == ("connection.ack", str(gateway))
            assert (await node.next("message"))["type"] == "heartbeat.ack"
            digest = await a_revision(plane)
            await want(plane, environment, digest)
            available = await node.next("message")
            assert (available["type"], available["revision"]) == ("config.available", digest)
            assert await node.next("ping")
            (listed,) = (await people.get(f"/api/v1/gateways/{gateway}/tokens")).json()["tokens"]
            assert listed["lastUsedAt"] is not None
            async with plane.database.transaction() as session:  # as another control plane does
                await session.execute(update(GatewayToken).values(revoked_at=plane.now()))
            async with asyncio.timeout(30):
                assert await node.next("closed") == 1008
        async with foreign(url, token) as node:
            assert await node.next("status") == 401
