"""An environment with gateways that are only rows of heartbeats, and do what is wanted of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
from sqlalchemy import select

from gateway.control_plane.database.tables import Gateway, GatewayEnvironment, GatewayInstance, now
from gateway.control_plane.plane import Plane
from gateway.control_plane.rollout_job import Watch, turn
from gateway.control_plane.wanted import wanted_of
from tests.control_plane.support import client_of, control_plane

OK = {"requests": 500, "errors": 0, "p95Ms": 10.0}
BROKEN = {"requests": 500, "errors": 250, "p95Ms": 10.0}


def routes(port: int) -> dict[str, str]:
    return {"routes.yaml": f"routes:\n- path: /\n  target: http://127.0.0.1:{port}\n"}


@dataclass
class Fleet:
    """Gateways that do what is wanted of them, as far as their heartbeats say."""

    plane: Plane
    client: httpx2.AsyncClient
    environment: str = ""
    gateways: dict[str, UUID] = field(default_factory=dict)
    watch: Watch = field(default_factory=Watch)
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by digest
    refusing: frozenset[str] = frozenset()  # digests

    async def post(self, path: str, expected: int = 201, /, **body: Any) -> dict[str, Any]:
        response = await self.client.post(f"/api/v1/{path}", json=body)
        assert response.status_code == expected, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def get(self, path: str) -> dict[str, Any]:
        response = await self.client.get(f"/api/v1/{path}")
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def build(self, name: str, *gateways: str) -> str:
        """An environment with gateways of ours."""
        made = await self.post("environments", name=name, displayName=name)
        async with self.plane.database.transaction() as session:
            for each in gateways:
                organization = UUID(int=0) if not made else next(iter(self.plane.organizations.values()))
                row = Gateway(organization_uuid=organization, name=each, display_name=each, gateway_type="EGRESS")
                session.add(row)
                await session.flush()
                session.add(GatewayEnvironment(gateway_uuid=row.uuid, environment_uuid=UUID(made["uuid"])))
                self.gateways[each] = row.uuid
        await self.report()
        return str(made["uuid"])

    async def push(self, port: int) -> str:
        return str((await self.post("revisions", files=routes(port)))["digest"])

    async def report(self) -> None:
        """Every gateway takes what is wanted of it, and says so."""
        async with self.plane.database.transaction() as session:
            wanted = await wanted_of(session, list(self.gateways.values()))
            for each in self.gateways.values():
                row = await session.get(GatewayInstance, (each, "one"))
                if row is None:
                    row = GatewayInstance(gateway_uuid=each, id="one", report={})
                    session.add(row)
                digest = wanted.get(each)
                report: dict[str, Any] = {}
                if digest in self.refusing:
                    error = {"message": "no", "file": "routes.yaml", "line": 3, "column": 5, "revision": digest}
                    report["lastError"] = {**error, "at": str(uuid4())}
                elif digest is not None:
                    row.revision = digest
                report["sinceRevision"] = dict(self.figures.get(row.revision or "", OK))
                row.last_heartbeat_at, row.report, row.source = now(), report, "control-plane"

    async def turns(self, count: int, elapsed: float = 5.0) -> None:
        for _ in range(count):
            await turn(self.plane, None, self.watch, elapsed)
            await self.report()

    async def running(self) -> dict[str, str | None]:
        async with self.plane.database.reading() as session:
            rows = {row.gateway_uuid: row.revision for row in await session.scalars(select(GatewayInstance))}
        return {name: rows[uuid] for name, uuid in self.gateways.items()}


@asynccontextmanager
async def rolling_fleet(directory: Path, database_url: str) -> AsyncIterator[Fleet]:
    """An environment `production` with the gateways a, b and c, of a control plane whose jobs are stepped by hand."""
    async with AsyncExitStack() as stack:
        plane = await stack.enter_async_context(control_plane(directory, database=database_url))
        client = await stack.enter_async_context(client_of(plane))
        made = Fleet(plane, client)
        made.environment = await made.build("production", "a", "b", "c")
        yield made


async def in_force(fleet: Fleet, port: int) -> str:
    """A revision that all gateways of production run."""
    digest = await fleet.push(port)
    await fleet.post(f"environments/{fleet.environment}/rollouts", revision=digest)
    await fleet.turns(5)
    assert set((await fleet.running()).values()) == {digest}
    return digest
