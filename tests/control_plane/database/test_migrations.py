"""The steps from each schema to the next, with data, in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Row, select, text
from sqlalchemy.exc import IntegrityError

from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.migrating import (
    SchemaMismatch,
    current,
    differences,
    downgrade,
    newest,
    require_newest,
    steps,
    upgrade,
)
from gateway.control_plane.database.tables import Environment, Gateway, GatewayEnvironment, Organization

OLD = "2020-01-02 03:04:05"


async def run(url: str, *statements: str) -> Sequence[Row[Any]]:
    """The rows of the last of these statements."""
    database = Database(url)
    try:
        async with database.transaction() as session:
            for statement in statements:
                result = await session.execute(text(statement))
            return result.all() if result.returns_rows else []  # type: ignore[attr-defined]
    finally:
        await database.close()


def old_gateways(*names: str) -> list[str]:
    """SQL that makes an organization with these gateways, as they were before environments."""
    organization = uuid4().hex
    gateways = [
        f"INSERT INTO gateways (uuid, organization_uuid, name, display_name) "
        f"VALUES ('{uuid4().hex}', '{organization}', '{name}', '{name}')"
        for name in names
    ]
    return [f"INSERT INTO organizations (uuid, name) VALUES ('{organization}', 'org-{organization}')", *gateways]


async def test_the_newest_step_is_what_the_code_means(database_url: str) -> None:
    """No table, column, index or default of the database differs from the tables of the code."""
    assert await differences(database_url) == []


async def test_each_step_goes_back_and_forth(empty_database_url: str) -> None:
    """From the first step to the newest, each is left and entered again; at last nothing is there."""
    for before, step in zip([None, *steps()], steps(), strict=False):
        await upgrade(empty_database_url, step)
        assert await current(empty_database_url) == step
        await downgrade(empty_database_url, before or "base")
        assert await current(empty_database_url) == before
        await upgrade(empty_database_url, step)
    assert await differences(empty_database_url) == []
    await downgrade(empty_database_url, "base")
    with pytest.raises(Exception, match="organizations"):
        await run(empty_database_url, "SELECT * FROM organizations")


@pytest.mark.parametrize("step", ["000", "001", "002", "003"])
async def test_gateways_from_before_are_in_production(empty_database_url: str, step: str) -> None:
    """Whatever step they were made at, they are active, of type INGRESS, and in production."""
    await upgrade(empty_database_url, step)
    await run(empty_database_url, *old_gateways("one", "two"), *old_gateways("one"))
    await upgrade(empty_database_url)
    database = Database(empty_database_url)
    try:
        async with database.reading() as session:
            found = await session.execute(
                select(Gateway, Environment)
                .join(GatewayEnvironment, GatewayEnvironment.gateway_uuid == Gateway.uuid)
                .join(Environment, GatewayEnvironment.environment_uuid == Environment.uuid)
            )
            rows = found.all()
    finally:
        await database.close()
    assert sorted(gateway.name for gateway, _ in rows) == ["one", "one", "two"]
    assert all(gateway.organization_uuid == environment.organization_uuid for gateway, environment in rows)
    assert {(environment.name, environment.display_name) for _, environment in rows} == {("production", "Production")}
    assert len({environment.uuid for _, environment in rows}) == 2
    assert {(gateway.gateway_type, gateway.status, gateway.adapter_config) for gateway, _ in rows} == {
        ("INGRESS", "ACTIVE", None)
    }


async def test_what_was_filled_in_is_not_filled_in_twice(empty_database_url: str) -> None:
    """Where production and its gateways are there already, the step changes nothing."""
    await upgrade(empty_database_url, "003")
    await run(empty_database_url, *old_gateways("one"))
    await upgrade(empty_database_url, "004")
    everything = "SELECT * FROM gateway_environment_mappings JOIN environments ON environment_uuid = uuid"
    first = await run(empty_database_url, everything)
    await downgrade(empty_database_url, "003")
    await upgrade(empty_database_url)
    assert len(first) == 1
    assert await run(empty_database_url, everything) == first


async def test_data_survive_the_way_back_to_the_base_and_forth(empty_database_url: str) -> None:
    """Going back to the base keeps organizations and gateways, also those that have all that was added."""
    await upgrade(empty_database_url)
    await run(
        empty_database_url,
        *old_gateways("one"),
        "UPDATE gateways SET gateway_type = 'EGRESS', adapter_config = '{\"a\": 1}', region = 'r'",
    )
    await downgrade(empty_database_url, "000")
    await upgrade(empty_database_url)
    assert [row.name for row in await run(empty_database_url, "SELECT name FROM gateways")] == ["one"]


@pytest.mark.parametrize("column", ["gateway_type", "status"])
async def test_a_value_that_is_none_of_the_enumeration_is_refused(database_url: str, column: str) -> None:
    """The database itself takes no other type or status."""
    with pytest.raises(IntegrityError):
        await run(database_url, *old_gateways("one"), f"UPDATE gateways SET {column} = 'OTHER'")


async def test_mappings_end_with_either_side(database: Database) -> None:
    """Neither a gateway nor an environment that is deleted leaves a mapping behind."""
    for deleted in (Gateway, Environment):
        async with database.transaction() as session:
            organization = Organization(name=deleted.__tablename__)
            session.add(organization)
            await session.flush()
            gateway = Gateway(organization_uuid=organization.uuid, name="one", display_name="One")
            environment = Environment(organization_uuid=organization.uuid, name="dev", display_name="Dev")
            session.add_all([gateway, environment])
            await session.flush()
            session.add(GatewayEnvironment(gateway_uuid=gateway.uuid, environment_uuid=environment.uuid))
            await session.flush()
            await session.delete(gateway if deleted is Gateway else environment)
        async with database.reading() as session:
            assert (await session.scalars(select(GatewayEnvironment))).all() == []


@pytest.mark.parametrize("table", ["gateways", "environments"])
async def test_a_change_by_hand_moves_updated_at(empty_database_url: str, table: str) -> None:
    """SQL that says nothing of `updated_at` sets it to now, in UTC, and SQL that sets it is believed."""
    await upgrade(empty_database_url, "003")
    await run(empty_database_url, *old_gateways("one"))
    await upgrade(empty_database_url)
    before = datetime.now().astimezone()
    moment = f"SELECT updated_at FROM {table}"
    (set_by_hand,) = await run(empty_database_url, f"UPDATE {table} SET updated_at = '{OLD}'", moment)
    (moved,) = await run(empty_database_url, f"UPDATE {table} SET display_name = 'Other'", moment)
    assert str(set_by_hand.updated_at).startswith(OLD)
    since = datetime.fromisoformat(f"{moved.updated_at}+00:00") - before
    assert -1 < since.total_seconds() < 30


async def test_what_a_program_writes_is_what_it_reads(database: Database) -> None:
    """After a change through the tables, `updated_at` in memory is the one that is stored."""
    async with database.transaction() as session:
        organization = Organization(name="default")
        session.add(organization)
        await session.flush()
        environment = Environment(organization_uuid=organization.uuid, name="dev", display_name="Dev")
        session.add(environment)
    made = environment.updated_at
    async with database.transaction() as session:
        changed = (await session.scalars(select(Environment))).one()
        changed.display_name = "Development"
    async with database.reading() as session:
        read = (await session.scalars(select(Environment))).one()
    assert read.updated_at == changed.updated_at > made


async def test_of_several_that_begin_at_once_one_migrates(empty_database_url: str) -> None:
    """Three replicas that start on an empty database all find it at the newest step."""
    await asyncio.gather(*(require_newest(empty_database_url, migrate=True) for _ in range(3)))
    assert await current(empty_database_url) == newest()
    assert await differences(empty_database_url) == []


async def test_a_step_that_fails_leaves_the_database_as_it_was(empty_database_url: str) -> None:
    """Where the third step cannot be made, those before it are not there either."""
    await run(empty_database_url, "CREATE TABLE gateway_environment_mappings (a INTEGER)")
    with pytest.raises(Exception, match="gateway_environment_mappings"):
        await upgrade(empty_database_url)
    assert await current(empty_database_url) is None
    await run(empty_database_url, "DROP TABLE gateway_environment_mappings")
    await upgrade(empty_database_url)


async def test_a_database_that_is_behind_is_refused(empty_database_url: str) -> None:
    """Without leave to migrate it, the error names both steps and the command."""
    with pytest.raises(SchemaMismatch, match=f"empty.*step {newest()}.*gateway control-plane migrate"):
        await require_newest(empty_database_url, migrate=False)
    await upgrade(empty_database_url, "003")
    with pytest.raises(SchemaMismatch, match="at step 003"):
        await require_newest(empty_database_url, migrate=False)
    await require_newest(empty_database_url, migrate=True)
    await require_newest(empty_database_url, migrate=False)


async def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    """It is not touched, also where it might be migrated."""
    await run(database_url, "UPDATE alembic_version SET version_num = '999'")
    with pytest.raises(SchemaMismatch, match=r"step 999.*run the version that made it"):
        await require_newest(database_url, migrate=True)


async def test_tables_that_no_migration_made_are_refused(empty_database_url: str) -> None:
    """A foreign table of the same name is not taken for ours."""
    await run(empty_database_url, "CREATE TABLE gateways (a INTEGER)")
    with pytest.raises(SchemaMismatch, match="no migration has made"):
        await require_newest(empty_database_url, migrate=True)


def test_the_steps_are_one_line() -> None:
    """Each step stands on the one before it, and they are numbered in order."""
    assert steps() == sorted(steps())
    assert steps()[:6] == ["000", "001", "002", "003", "004", "005"]


def test_a_file_of_sqlite_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """It is made with mode 0600, whatever the umask, in a directory with 0700."""
    path = tmp_path / "state" / "control-plane.db"
    Database(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
