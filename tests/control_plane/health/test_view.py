"""How a gateway is shown: both inputs, and how old they are."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.tables import Gateway, GatewayHealth, GatewayInstance, Organization
from gateway.control_plane.health.view import HealthView, view

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    """So long before now."""
    return NOW - timedelta(seconds=seconds)


def probed(seconds: float, **values: Any) -> GatewayHealth:
    """A probe of so long ago, that succeeded unless it says otherwise."""
    values = {"succeeded_at": ago(seconds), "failures": 0, "response_ms": 45.0, **values}
    return GatewayHealth(checked_at=ago(seconds), probed_url="http://gw:9092/health", **values)


def spoke(name: str, seconds: float) -> GatewayInstance:
    """A heartbeat of so long ago."""
    return GatewayInstance(id=name, last_heartbeat_at=ago(seconds), report={})


async def shown(database: Database, *rows: GatewayHealth | GatewayInstance, status: str = "ACTIVE") -> HealthView:
    """How a gateway of which this is known is shown."""
    async with database.transaction() as session:
        organization = Organization(name="default")
        session.add(organization)
        await session.flush()
        gateway = Gateway(organization_uuid=organization.uuid, name="one", display_name="One", status=status)
        session.add(gateway)
        await session.flush()
        for row in rows:
            row.gateway_uuid = gateway.uuid
            session.add(row)
    async with database.reading() as session:
        return await view(session, gateway, NOW)


async def test_both_inputs_are_shown_apart(database: Database) -> None:
    """A probe that fails hides no heartbeat, nor a heartbeat the failure."""
    found = await shown(
        database,
        probed(10, succeeded_at=ago(70), failures=2, reason="timeout", error_message="no answer", response_ms=None),
        spoke("a", 5),
        spoke("b", 500),
        status="ERROR",
    )
    assert found.probe is not None
    assert found.heartbeat is not None
    assert (found.status, found.error_message, found.last_heartbeat) == ("ERROR", "no answer", ago(5))
    assert (found.probe.healthy, found.probe.fresh, found.probe.failures) == (False, True, 2)
    assert (found.heartbeat.fresh, found.heartbeat.instances) == (True, 1)


async def test_without_heartbeats_the_last_probe_that_succeeded_counts(database: Database) -> None:
    """A gateway that sends none has the time of that as its last heartbeat."""
    found = await shown(database, probed(10))
    assert (found.last_heartbeat, found.response_ms, found.error_message) == (ago(10), 45.0, None)
    assert found.heartbeat is None


async def test_a_gateway_that_was_never_seen_has_nothing_to_show(database: Database) -> None:
    """Nothing is made up for it."""
    found = await shown(database, status="INACTIVE")
    assert found == HealthView("INACTIVE", None, None, None, None, None, None)


@pytest.mark.parametrize(("seconds", "status"), [(30, "ACTIVE"), (46, "ERROR"), (-3600, "ERROR")])
async def test_a_gateway_that_cannot_be_probed_is_judged_by_its_last_heartbeat(
    database: Database, seconds: float, status: str
) -> None:
    """It is an error as soon as three heartbeats are missing, and one of the future counts for none."""
    found = await shown(database, probed(5, succeeded_at=None, response_ms=None), spoke("a", seconds))
    assert found.status == status
    assert (found.error_message is None) == (status == "ACTIVE")


async def test_a_probe_of_long_ago_is_said_to_be_so(database: Database) -> None:
    """Where the job does not run, the status stays, and the answer says since when it has not been checked."""
    found = await shown(database, probed(400))
    assert found.probe is not None
    assert not found.probe.fresh
    assert found.status == "ACTIVE"
    assert found.error_message is not None
    assert found.error_message.startswith("not probed since 2026-11-26T11:53:20Z")
