"""The databases of these tests: SQLite, or the PostgreSQL that `make test-control-plane` names."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.migrating import upgrade
from gateway.control_plane.plane import Plane
from tests.control_plane.postgres import Postgres, running_postgres
from tests.control_plane.support import DATABASE, TEMPLATE, client_of, control_plane

SETTINGS = """\
gateway:
  adapter:
    type: on-premise
    onPremise:
      retryPolicy: {maxAttempts: 1}
      healthCheck: {timeout: 20s}
networks: [private, names, loopback]
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres | None]:
    """The server of this run, with a database `template1` at the newest step. None: the tests use SQLite."""
    version = os.environ.get("CONTROL_PLANE_POSTGRESQL")
    if version is None:
        yield None
        return
    with running_postgres(version) as server:
        asyncio.run(upgrade(server.url("template1")))
        yield server


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of SQLite at the newest step."""
    path = tmp_path_factory.mktemp("migrated") / "control-plane.db"
    asyncio.run(upgrade(f"sqlite:///{path}"))
    return path


@pytest.fixture(autouse=True)
def database_of_control_planes(
    postgres: Postgres | None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Control planes that a test starts in this process use PostgreSQL where it is asked for (support.py)."""
    if postgres is None:
        monkeypatch.setenv(TEMPLATE, str(request.getfixturevalue("migrated_file")))
        yield
        return
    if "database_url" in request.fixturenames:
        monkeypatch.setenv(DATABASE, request.getfixturevalue("database_url"))
        yield
        return
    with postgres.database("template1") as url:
        monkeypatch.setenv(DATABASE, url)
        yield


@pytest.fixture
def empty_database_url(postgres: Postgres | None, tmp_path: Path) -> Iterator[str]:
    """A database for one test, without any table."""
    if postgres is None:
        yield f"sqlite:///{tmp_path / 'control-plane.db'}"
        return
    with postgres.database("template0") as url:
        yield url


@pytest.fixture
def database_url(postgres: Postgres | None, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database for one test, at the newest step and empty."""
    if postgres is None:
        path = tmp_path / "control-plane.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        yield f"sqlite:///{path}"
        return
    with postgres.database("template1") as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The same, open."""
    opened = Database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def plane(database_url: str, tmp_path: Path) -> AsyncIterator[Plane]:
    """A control plane whose gateways may be on this machine, without its jobs."""
    async with control_plane(tmp_path, SETTINGS, database_url) as made:
        yield made


@pytest.fixture
async def client(plane: Plane) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of it, which may do everything."""
    async with client_of(plane) as made:
        yield made
