"""A control plane with gateways that are well, silent, failing and on their way: what there is to see on its page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from gateway.bundles import Bundle
from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.tables import (
    Environment,
    EnvironmentSettings,
    Gateway,
    GatewayEnvironment,
    GatewayInstance,
    Organization,
    Revision,
    Rollout,
    now,
)
from tests.control_plane.process import ControlPlaneProcess, running_control_plane

_ROUTE = "routes: [{path: /, respond: %d}]\n"
BUNDLES = [Bundle({"routes.yaml": (_ROUTE % status).encode()}) for status in (200, 204)]
OLD, NEW = (bundle.digest for bundle in BUNDLES)
MARKUP = "<img src=x onerror=alert(1)>"
LATER = timedelta(hours=6)  # as if heard of in the future, so that what is fresh stays so while the tests run


@contextmanager
def scene(directory: Path) -> Iterator[ControlPlaneProcess]:
    """The control plane, and what is in its database."""
    rarely = "gateway: {adapter: {onPremise: {healthCheck: {interval: 1h}}}}"  # so that what is shown stays as it is
    (directory / "control-plane.yaml").write_text(rarely)
    with running_control_plane(directory) as plane:
        file = directory / "state" / "control-plane.sqlite"
        with ThreadPoolExecutor(1) as thread:  # Playwright has the loop of this one
            thread.submit(lambda: asyncio.run(_fill(file))).result()
        yield plane


async def _fill(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    async with database.transaction() as session:
        organization = (await session.scalars(select(Organization.uuid))).one()
        mine: dict[str, Any] = {"organization_uuid": organization}
        staging = Environment(**mine, name="staging", display_name="Staging")
        production = Environment(**mine, name="production", display_name="Production")
        revisions = [
            Revision(**mine, digest=bundle.digest, files=bundle.pack(), size=bundle.size, author="alice")
            for bundle in BUNDLES
        ]
        session.add_all([staging, production, *revisions])
        await session.flush()
        session.add(EnvironmentSettings(environment_uuid=production.uuid, digest=NEW, drift_policy="report"))
        rollout = Rollout(
            **mine, environment_uuid=production.uuid, digest=NEW, previous=OLD, state="paused", created_by="alice"
        )
        rollout.strategy, rollout.reason = {}, f"waits for approval {MARKUP}"
        rollout.progress = {"phase": "judging", "canaries": [], "assigned": []}
        session.add(rollout)
        for name, status, revision in (
            ("edge-1", "ACTIVE", NEW),
            ("edge-2", "ACTIVE", OLD),
            ("edge-3", "ACTIVE", NEW),
            ("far", "INACTIVE", None),
        ):
            gateway = Gateway(**mine, name=name, display_name=f"{name} {MARKUP}", gateway_type="EGRESS", status=status)
            session.add(gateway)
            await session.flush()
            session.add(GatewayEnvironment(gateway_uuid=gateway.uuid, environment_uuid=production.uuid))
            if name == "edge-1":
                rollout.progress = {
                    **rollout.progress,
                    "canaries": [str(gateway.uuid)],
                    "assigned": [str(gateway.uuid)],
                }
                session.add(GatewayEnvironment(gateway_uuid=gateway.uuid, environment_uuid=staging.uuid))
            if revision is not None:
                session.add(_instance(gateway, name, revision))
    await database.close()


def _instance(gateway: Gateway, name: str, revision: str) -> GatewayInstance:
    silent = name == "edge-3"
    error = {"message": f"unknown key {MARKUP}", "file": "routes.yaml", "line": 7, "column": 3}
    report = {
        "version": "2.0",
        "requestRate": 12.5,
        "errorRate": 0.8,
        "p95Ms": 41.0,
        "endpointsUp": 2,
        "endpointsTotal": 3,
    }
    return GatewayInstance(
        gateway_uuid=gateway.uuid,
        id=f"{name}-a",
        last_heartbeat_at=now() - timedelta(minutes=5) if silent else now() + LATER,
        revision=revision,
        source="control-plane",
        drifted_since=now() - timedelta(minutes=3) if revision == OLD else None,
        report={**report, "lastError": error} if name == "edge-2" else report,
    )
