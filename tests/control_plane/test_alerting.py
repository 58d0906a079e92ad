"""Alerts about gateways that fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.config.problems import ConfigError
from gateway.control_plane import alerting
from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.tables import (
    Environment,
    Gateway,
    GatewayHealth,
    GatewayInstance,
    Organization,
    Revision,
    Rollout,
    now,
)
from gateway.control_plane.events import Event
from tests.control_plane.support import control_plane
from tests.support import eventually


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[int, list[dict[str, Any]]]]:
    """A server that takes messages: its port, and what it was sent."""
    taken: list[dict[str, Any]] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        taken.append(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1")
    async with server:
        yield server.sockets[0].getsockname()[1], taken


async def test_an_alert_is_sent_when_a_gateway_fails_and_when_it_recovers(tmp_path: Path) -> None:
    """The webhook gets the name of the gateway, the cause and how urgent it is, soon after the event."""
    async with receiver() as (port, taken):
        settings = f"alerts:\n  send:\n    ops: {{webhook: 'http://127.0.0.1:{port}/hook'}}\n"
        async with control_plane(tmp_path, settings) as plane:
            organization = plane.organizations["default"]
            async with plane.database.transaction() as session:
                gateway = Gateway(organization_uuid=organization, name="one", display_name="One", status="ERROR")
                session.add(gateway)
                await session.flush()
                session.add(
                    GatewayHealth(
                        gateway_uuid=gateway.uuid, checked_at=now(), failures=2, error_message="http://gw is refused"
                    )
                )
            task = asyncio.create_task(alerting.run(plane))
            try:
                plane.events.publish(Event("gateway.status", organization, now(), gateway.uuid))
                await eventually(lambda: len(taken) == 1)
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
    (alert,) = taken[0]["alerts"]
    assert (alert["alert"], alert["state"], alert["severity"]) == ("gateway_error", "firing", "page")
    assert (alert["subject"], alert["summary"]) == ("gateway one", "http://gw is refused")


async def test_what_alerts_report(database: Database) -> None:
    """Gateways in error, those that drift for more than a minute, and last rollouts that failed."""
    async with database.transaction() as session:
        organization = Organization(name="default")
        session.add(organization)
        await session.flush()
        uuid = organization.uuid
        gateways = [
            Gateway(organization_uuid=uuid, name=name, display_name=name, status=status)
            for name, status in (
                ("well", "ACTIVE"),
                ("failing", "ERROR"),
                ("drifting", "ACTIVE"),
                ("late", "ACTIVE"),
                ("gone", "ACTIVE"),
            )
        ]
        environments = [Environment(organization_uuid=uuid, name=name, display_name=name) for name in ("dev", "prod")]
        session.add_all([*gateways, *environments])
        session.add(Revision(organization_uuid=uuid, digest="a" * 64, files=b"", size=0, author="x"))
        await session.flush()
        for gateway, seconds, heard in ((gateways[2], 90, 5), (gateways[3], 30, 5), (gateways[4], 90, 80)):
            since = now() - timedelta(seconds=seconds)
            last = now() - timedelta(seconds=heard)
            session.add(
                GatewayInstance(
                    gateway_uuid=gateway.uuid, id="i", last_heartbeat_at=last, drifted_since=since, report={}
                )
            )
        for number, (environment, state) in enumerate(
            [(environments[0], "rolled_back"), (environments[0], "done"), (environments[1], "rolled_back")]
        ):
            session.add(
                Rollout(
                    organization_uuid=uuid,
                    environment_uuid=environment.uuid,
                    digest="a" * 64,
                    state=state,
                    strategy={},
                    progress={},
                    reason="error rate 12% > 5%",
                    created_by="x",
                    created_at=now() + timedelta(seconds=number),
                )
            )
    async with database.reading() as session:
        found = await alerting.findings(session, now())
    assert [(each.builtin, each.subject.name) for each in found] == [
        ("gateway_error", "failing"),
        ("gateway_drift", "drifting"),
        ("rollout_failed", "prod"),
    ]
    assert found[2].says == "aaaaaaaaaaaa was rolled back: error rate 12% > 5%"


async def test_a_sender_that_cannot_be_is_refused_with_its_place(tmp_path: Path) -> None:
    """An unknown kind of finding, and a URL that is none, are errors with file, line and column."""
    with pytest.raises(ConfigError) as caught:
        async with control_plane(tmp_path, "alerts:\n  builtin: [breaker_open]\n  send:\n    ops: {slack: none}\n"):
            pass
    places = [(problem.line, problem.column) for problem in caught.value.problems]
    assert places == [(2, 13), (4, 11)]
