"""Brings a database to a schema, on a thread: Alembic blocks, and requests do not wait for it.

All steps are one transaction, so that a database has the old schema or the new one. Of several that begin at once, one
does the work, and the others find it done.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.tables import Table
from gateway.live.thread import on_thread

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_SECONDS: Final = 600.0  # for one statement, or to wait for another process that migrates
_POSTGRESQL_LOCK: Final = 0x666C6F77  # a number that only migrations use
_ALEMBIC: Final = threading.Lock()  # the operations of a step are those of the process, not of its thread

logger = logging.getLogger("gateway.control_plane")

T = TypeVar("T")


class SchemaMismatch(Exception):
    """The database has not the schema that this version needs; the text says what to do."""


async def require_newest(url: str, *, migrate: bool) -> None:
    """Bring the database to the newest step, or raise SchemaMismatch where `migrate` is False and it is behind.

    Raises DatabaseUnavailable.
    """
    found, has_tables = await _with_connection(url, _state)
    if found == newest():
        return
    if found is None and has_tables:
        raise SchemaMismatch(
            "the database has tables of these names that no migration has made; use another one, or, where they are "
            "those of a step, write its number into a table alembic_version (version_num varchar(32))"
        )
    if found is not None and found not in steps():
        raise SchemaMismatch(
            f"the database is at step {found}, and this version knows those up to {newest()}; run the version that "
            "made it, or restore a backup from before"
        )
    at = "empty" if found is None else f"at step {found}"
    if not migrate:
        raise SchemaMismatch(
            f"the database is {at}, and this version needs step {newest()}; make a backup, then run "
            "`gateway control-plane migrate --config DIRECTORY`, where control-plane.yaml is, or serve with --migrate"
        )
    await upgrade(url)
    logger.info("the database was %s, and is at step %s now", at, newest())


async def upgrade(url: str, to: str = "head") -> None:
    """Go forward to this step, such as "004". Raises DatabaseUnavailable."""
    await _with_connection(url, partial(_run, command.upgrade, to))


async def downgrade(url: str, to: str) -> None:
    """Go back to this step; "base" empties the database. What the steps behind it have added is lost."""
    await _with_connection(url, partial(_run, command.downgrade, to))


async def current(url: str) -> str | None:
    """The step that the database is at. None: at none yet."""
    found, _ = await _with_connection(url, _state)
    return found


async def differences(url: str) -> list[Any]:
    """How the tables of the database differ from those that the code means, as Alembic describes it."""
    return await _with_connection(url, _differences)


def steps() -> list[str]:
    """All steps, from the first on."""
    return [script.revision for script in ScriptDirectory(str(_SCRIPTS)).walk_revisions()][::-1]


def newest() -> str:
    """The step that this version needs."""
    return steps()[-1]


async def _with_connection(url: str, work: Callable[[Connection], T]) -> T:
    return await on_thread("migrations", lambda: asyncio.run(_connected(url, work)))


async def _connected(url: str, work: Callable[[Connection], T]) -> T:
    database = Database(url, _SECONDS)
    try:
        async with database.transaction() as session:
            return await (await session.connection()).run_sync(work)
    finally:
        await database.close()


def _run(step: Callable[[Config, str], None], to: str, connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _POSTGRESQL_LOCK})
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _ALEMBIC:
        step(config, to)


def _state(connection: Connection) -> tuple[str | None, bool]:
    tables = set(inspect(connection).get_table_names())
    step = text("SELECT version_num FROM alembic_version")
    found = connection.execute(step).scalar() if "alembic_version" in tables else None
    return found, not tables.isdisjoint(Table.metadata.tables)


def _differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_server_default": True})
    return list(compare_metadata(context, Table.metadata))
