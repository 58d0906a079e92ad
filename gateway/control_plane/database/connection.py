"""The database: its engine, transactions, and what differs between PostgreSQL and SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from gateway.control_plane.database.sqlite import READING, sqlite_engine, to_its_end

_DRIVERS: Final = {"postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}
CONNECT_SECONDS: Final = 5.0  # to a server
ANSWER_SECONDS: Final = 10.0  # of a server, to one statement
SQLITE_SECONDS: Final = 5.0  # that a transaction waits for another one
# Classes of SQLSTATE: the connection, conflicts, no room, the operator, the system.
_PASSING_STATES: Final = ("08", "40", "53", "57", "58")


class DatabaseUnavailable(Exception):
    """The database is away, does not answer, or is busy: the same may work a little later. Nothing was written."""


class Database:
    """All access to what is kept. `close` at the end.

    `failures` counts what ended in DatabaseUnavailable.
    """

    audit_key: bytes | None = None  # of the hashes of the audit log

    def __init__(self, url: str, seconds: float = ANSWER_SECONDS) -> None:
        """`url`: `postgresql://user:password@host/name`, `postgresql+psycopg://...`, `sqlite:///path`.

        `seconds`: that one statement may take; of SQLite, that it waits for another process that writes.
        """
        self.url = with_driver(url)
        self.failures = 0
        self.engine = _engine(self.url, seconds)
        self._reading = self.engine.execution_options(**{READING: True})
        self._one_writer = asyncio.Lock() if self.is_sqlite else None

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of this machine."""
        return self.url.get_backend_name() == "sqlite"

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A transaction that writes. It ends with the block: well, or undone where it raises.

        In SQLite one at a time, from its beginning: what it has read is so until it ends. So nothing slow stands
        inside, and none inside another one. Raises DatabaseUnavailable.
        """
        async with self._turn(), self._session(self.engine) as session:
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads, and waits for none that write. Raises DatabaseUnavailable."""
        async with self._session(self._reading) as session:
            yield session

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()

    @asynccontextmanager
    async def _session(self, engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
        session = AsyncSession(engine, expire_on_commit=False, info={"audit_key": self.audit_key})
        try:
            try:
                await to_its_end(session.connection())  # now, so that an OSError below is not the database's
            except (OSError, TimeoutError, DBAPIError, TypeError) as error:
                # A password that is wrong, too, and what a driver does not know of the URL (a TypeError).
                raise self._unavailable(error) from error
            yield session
            await to_its_end(session.commit())
        except (DBAPIError, PoolTimeout) as error:
            if _passes(error):
                raise self._unavailable(error) from error
            raise
        finally:
            await to_its_end(session.close())

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._one_writer is None:
            yield
            return
        try:
            async with asyncio.timeout(SQLITE_SECONDS):
                await self._one_writer.acquire()
        except TimeoutError as error:
            raise self._unavailable(error) from error
        try:
            yield
        finally:
            self._one_writer.release()

    def _unavailable(self, error: Exception) -> DatabaseUnavailable:
        self.failures += 1
        cause = error.orig if isinstance(error, DBAPIError) else error
        return DatabaseUnavailable(f"{self.url.render_as_string()} cannot be used now: {cause or type(cause).__name__}")


def with_driver(url: str) -> URL:
    """The URL with the driver that is used where it names none. Raises sqlalchemy.exc.ArgumentError.

    libpq's `sslmode` is understood for either driver.
    """
    try:
        made = make_url(url)
    except ValueError:  # the port is no number
        raise ArgumentError("the URL of the database has no port that there is") from None
    made = made.set(drivername=_DRIVERS.get(made.drivername, made.drivername))
    if made.drivername not in (*_DRIVERS.values(), "postgresql+psycopg"):
        raise ArgumentError(f"{made.drivername} is not supported: expected postgresql, postgresql+psycopg or sqlite")
    if not 0 <= (made.port or 0) <= 65535:
        raise ArgumentError("the URL of the database has no port that there is")
    if made.get_backend_name() == "sqlite" and made.database in {None, "", ":memory:"}:
        raise ArgumentError("SQLite needs a file: sqlite:///PATH")
    if made.drivername == "postgresql+asyncpg" and "sslmode" in made.query:
        return made.difference_update_query(["sslmode"]).update_query_dict({"ssl": made.query["sslmode"]})
    return made


def _engine(url: URL, seconds: float) -> AsyncEngine:
    if url.get_backend_name() == "sqlite":
        return sqlite_engine(url, seconds)
    return create_async_engine(
        url,
        pool_pre_ping=True,
        pool_size=20,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
        connect_args=_arguments(url, seconds),
    )


def _arguments(url: URL, seconds: float) -> Mapping[str, Any]:
    if url.get_driver_name() == "asyncpg":
        return {"timeout": CONNECT_SECONDS, "command_timeout": seconds}
    # Nothing is prepared on the server, so that PgBouncer may give each transaction another connection.
    milliseconds = int(seconds * 1000)
    return {"connect_timeout": int(CONNECT_SECONDS), "tcp_user_timeout": milliseconds, "prepare_threshold": None}


def _passes(error: DBAPIError | PoolTimeout) -> bool:
    """Whether the same may work later."""
    if isinstance(error, PoolTimeout):
        return True
    if isinstance(error, IntegrityError) or isinstance(getattr(error.orig, "__cause__", None), ValueError):
        return False  # what is wrong is a value
    if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
        return True
    return str(getattr(error.orig, "sqlstate", None)).startswith(_PASSING_STATES)
