"""A control plane that listens, with gateways in it, for those that call it as gateways do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2

from gateway.bundles import Bundle
from gateway.control_plane.database.tables import (
    Environment,
    EnvironmentSettings,
    Gateway,
    GatewayEnvironment,
    Revision,
)
from gateway.control_plane.organizations import DEFAULT
from gateway.control_plane.plane import Plane
from gateway.control_plane.serve import server_of
from gateway.control_plane.tokens import issue
from tests.support import eventually

ROUTES = b"routes: [{path: /, respond: {status: 200, body: 'one'}}]\n"


@asynccontextmanager
async def listening(plane: Plane, port: int = 0) -> AsyncIterator[str]:
    """The control plane as it is served, with its jobs; answers its URL."""
    listener = socket.create_server(("127.0.0.1", port))
    server = server_of(plane)
    server.config.timeout_graceful_shutdown = 1
    server.config.load()
    task = asyncio.create_task(server._serve([listener]))
    await eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def an_environment(plane: Plane, name: str = "production", digest: str | None = None, **settings: Any) -> UUID:
    """An environment, and what is in force there."""
    async with plane.database.transaction() as session:
        made = Environment(organization_uuid=plane.organizations[DEFAULT], name=name, display_name=name)
        session.add(made)
        await session.flush()
        session.add(EnvironmentSettings(environment_uuid=made.uuid, digest=digest, updated_at=plane.now(), **settings))
    return made.uuid


async def a_gateway(plane: Plane, name: str = "edge", environment: UUID | None = None) -> UUID:
    """A gateway of ours, which calls out."""
    async with plane.database.transaction() as session:
        made = Gateway(
            organization_uuid=plane.organizations[DEFAULT],
            name=name,
            display_name=name,
            adapter_config={"kind": "flowmaster"},
        )
        session.add(made)
        await session.flush()
        if environment is not None:
            session.add(GatewayEnvironment(gateway_uuid=made.uuid, environment_uuid=environment))
    return made.uuid


async def a_token(plane: Plane, gateway: UUID, lifetime: timedelta | None = None) -> str:
    """A token of it."""
    async with plane.database.transaction() as session:
        return (await issue(session, gateway, "test", plane.now(), lifetime))[1]


async def a_revision(plane: Plane, files: Mapping[str, bytes] | None = None) -> str:
    """A revision with these files; answers its digest."""
    bundle = Bundle({"routes.yaml": ROUTES} if files is None else files)
    async with plane.database.transaction() as session:
        session.add(
            Revision(
                organization_uuid=plane.organizations[DEFAULT],
                digest=bundle.digest,
                files=bundle.pack(),
                size=bundle.size,
                author="test",
            )
        )
    return bundle.digest


async def want(plane: Plane, environment: UUID, digest: str | None, **settings: Any) -> None:
    """Let this be in force there, as another replica would write it."""
    async with plane.database.transaction() as session:
        row = await session.get(EnvironmentSettings, environment)
        assert row is not None
        row.digest, row.updated_at = digest, plane.now()
        for name, value in settings.items():
            setattr(row, name, value)


def client(url: str, token: str) -> httpx2.AsyncClient:
    """What a gateway without WebSockets uses."""
    return httpx2.AsyncClient(base_url=url + "/api/internal/v1", headers={"api-key": token}, timeout=10)
