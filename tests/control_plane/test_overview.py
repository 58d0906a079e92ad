"""GET /overview: gateways beside environments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from gateway.control_plane.database.tables import (
    Environment,
    EnvironmentSettings,
    Gateway,
    GatewayEnvironment,
    GatewayHealth,
    GatewayInstance,
    Revision,
    Rollout,
)
from gateway.control_plane.plane import Plane
from tests.control_plane.support import client_of, control_plane

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
OLD, NEW = "a" * 64, "b" * 64


@dataclass
class _Scene:
    plane: Plane
    staging: UUID
    production: UUID
    edge: UUID


@pytest.fixture
async def scene(tmp_path: Path, database_url: str) -> AsyncIterator[_Scene]:
    async with control_plane(tmp_path, database=database_url, now=lambda: NOW) as plane:
        yield await _made(plane)


async def _made(plane: Plane) -> _Scene:
    """A gateway in both environments that runs what production does not want any more, and one in none."""
    [organization] = plane.organizations.values()
    mine: dict[str, Any] = {"organization_uuid": organization}
    async with plane.database.transaction() as session:
        staging = Environment(**mine, name="staging", display_name="Staging")
        production = Environment(**mine, name="production", display_name="Production")
        edge = Gateway(**mine, name="edge", display_name="Edge")
        spare = Gateway(**mine, name="spare", display_name="Spare", status="INACTIVE")
        revisions = [Revision(**mine, digest=digest, files=b"", size=0, author="alice") for digest in (OLD, NEW)]
        session.add_all([staging, production, edge, spare, *revisions])
        await session.flush()
        for environment in (staging, production):
            session.add(GatewayEnvironment(gateway_uuid=edge.uuid, environment_uuid=environment.uuid))
        session.add(EnvironmentSettings(environment_uuid=production.uuid, digest=NEW))
        for minutes, state in ((9, "rolled_back"), (3, "done")):
            at = NOW - timedelta(minutes=minutes)
            session.add(
                Rollout(
                    **mine,
                    environment_uuid=production.uuid,
                    digest=NEW,
                    state=state,
                    strategy={},
                    progress={"phase": "settling"},
                    created_by="alice",
                    created_at=at,
                    updated_at=at,
                )
            )
        session.add(GatewayHealth(gateway_uuid=edge.uuid, checked_at=NOW, failures=0, response_ms=12.5))
        for name, ago in (("one", 5), ("two", 120), ("gone", 7200)):
            session.add(
                GatewayInstance(
                    gateway_uuid=edge.uuid,
                    id=name,
                    last_heartbeat_at=NOW - timedelta(seconds=ago),
                    revision=OLD,
                    source="local file",
                    drifted_since=NOW - timedelta(seconds=61 if name == "one" else 10),
                    report={"version": "1"},
                )
            )
        return _Scene(plane, staging.uuid, production.uuid, edge.uuid)


async def _overview(plane: Plane) -> dict[str, Any]:
    async with client_of(plane) as client:
        answer = await client.get("/api/v1/overview")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_it_shows_what_is_wanted_and_what_runs(scene: _Scene) -> None:
    """Drift counts after a minute; an instance that has ended is gone; probe and heartbeat apart."""
    seen = await _overview(scene.plane)
    edge, spare = seen["gateways"]
    assert edge["wanted"] == NEW
    assert set(edge["environments"]) == {str(scene.production), str(scene.staging)}
    assert [(each["id"], each["fresh"], each["drifted"]) for each in edge["instances"]] == [
        ("one", True, True),
        ("two", False, False),
    ]
    assert (edge["heartbeatFresh"], edge["responseMs"], edge["checkedAt"]) == (True, 12.5, "2026-11-26T12:00:00Z")
    assert (spare["heartbeatFresh"], spare["checkedAt"], spare["wanted"]) == (None, None, None)
    assert (spare["status"], spare["environments"]) == ("INACTIVE", [])
    assert seen["total"] == 2


async def test_a_gateway_that_is_silent_for_long_is_not_forgotten(scene: _Scene) -> None:
    """Whatever it said last stays to be seen, as long as nothing of it speaks."""
    async with scene.plane.database.transaction() as session:
        gone = update(GatewayInstance).where(GatewayInstance.id != "gone")
        await session.execute(gone.values(last_heartbeat_at=NOW - timedelta(days=3)))
    edge = (await _overview(scene.plane))["gateways"][0]
    assert edge["heartbeatFresh"] is False
    assert [(each["id"], each["fresh"]) for each in edge["instances"]] == [
        ("gone", False),
        ("one", False),
        ("two", False),
    ]


async def test_an_environment_shows_its_last_rollout(scene: _Scene) -> None:
    """One that has none says so."""
    production, staging = (await _overview(scene.plane))["environments"]
    assert (production["name"], production["revision"], production["rollout"]["state"]) == ("production", NEW, "done")
    assert production["rollout"]["phase"] is None
    assert (staging["revision"], staging["rollout"], staging["driftPolicy"]) == (None, None, "report")


async def test_a_viewer_of_one_environment_sees_what_is_in_it(tmp_path: Path, database_url: str) -> None:
    """And neither the other environments, nor gateways that are in none of its own."""
    (tmp_path / "auth.yaml").write_text("schemes: {guests: {anonymous: {consumer: guest}}}\nconsumers: [{name: guest}]")
    roles = "roles: [{role: viewer, consumers: [guest], environments: [staging]}]"
    async with control_plane(tmp_path, roles, database_url, now=lambda: NOW) as plane:
        scene = await _made(plane)
        async with client_of(plane, {}) as client:
            seen = (await client.get("/api/v1/overview")).json()
    assert [environment["name"] for environment in seen["environments"]] == ["staging"]
    assert [(gateway["name"], gateway["environments"]) for gateway in seen["gateways"]] == [
        ("edge", [str(scene.staging)])
    ]
