"""The SQL of the proposal, as it stands there, and the schema that the steps make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from gateway.control_plane.database.migrating import downgrade, upgrade
from tests.control_plane.postgres import VERSIONS, Postgres, running_postgres

PROPOSAL = (Path(__file__).parents[1] / "data" / "proposal.sql").read_text()
pytestmark = pytest.mark.control_plane


@pytest.fixture(scope="module", params=VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A PostgreSQL of each version."""
    with running_postgres(request.param) as running:
        yield running


async def test_its_sql_makes_the_same_schema_as_ours(server: Postgres) -> None:
    """On the base, the proposal's statements and our steps up to 003 give the same dump."""
    with server.database() as theirs, server.database() as ours:
        await upgrade(theirs, "000")
        with psycopg.connect(theirs, autocommit=True) as connection:
            connection.execute(PROPOSAL.encode())
        await upgrade(ours, "003")
        assert _statements(server.dump(theirs)) == _statements(server.dump(ours))
        assert "CREATE TABLE public.gateway_environment_mappings" in server.dump(ours)


async def test_the_dump_of_the_newest_step_is_that_of_going_back_and_forth(server: Postgres) -> None:
    """Nothing of a step is left behind on the way back, and nothing is missing on the way forth."""
    with server.database() as url:
        await upgrade(url)
        whole = server.dump(url)
        await downgrade(url, "base")
        assert "CREATE" not in re.sub(r"CREATE TABLE public\.alembic_version", "", server.dump(url))
        await upgrade(url)
        assert _statements(server.dump(url)) == _statements(whole)


async def test_the_triggers_do_not_go_by_the_time_zone_of_a_session(server: Postgres) -> None:
    """`updated_at` is in UTC, whatever the time zone of the client."""
    with server.database() as url:
        await upgrade(url)
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            connection.execute("SET TIME ZONE 'Pacific/Kiritimati'")
            connection.execute("INSERT INTO organizations (uuid, name) VALUES (gen_random_uuid(), 'default')")
            connection.execute(
                "INSERT INTO environments (uuid, organization_uuid, name, display_name) "
                "SELECT gen_random_uuid(), uuid, 'dev', 'Dev' FROM organizations"
            )
            connection.execute("UPDATE environments SET display_name = 'Other'")
            age = connection.execute("SELECT timezone('utc', now()) - updated_at AS age FROM environments").fetchone()
        assert age is not None
        assert abs(age["age"].total_seconds()) < 30


def _statements(dump: str) -> list[str]:
    """What a dump makes, without what differs between any two: comments, and the key of psql's restricted mode."""
    lines = (line for line in dump.splitlines() if line and not line.startswith(("--", "\\")))
    return sorted(re.sub(r"\s+", " ", statement).strip() for statement in "\n".join(lines).split(";"))
