"""`gateway control-plane serve`: from a directory to a process that answers, until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import uvicorn
from sqlalchemy.exc import ArgumentError

from gateway.admin.listening import Listening
from gateway.config.secrets import KnownSecrets
from gateway.control_messages import DEAD_SECONDS, MOST_BYTES, PING_SECONDS
from gateway.control_plane.access import Access
from gateway.control_plane.adapters.factory import UnusableAdapter, create_adapter
from gateway.control_plane.app import create_app
from gateway.control_plane.connections import AnswerLimit, Connection, WebSocketConnection
from gateway.control_plane.credentials import UnusableKey, any_sealed, load_keys
from gateway.control_plane.database.connection import Database, DatabaseUnavailable
from gateway.control_plane.database.migrating import SchemaMismatch, current, require_newest
from gateway.control_plane.listening import allow_files, bound, listen, shown
from gateway.control_plane.organizations import DEFAULT, ensure
from gateway.control_plane.plane import Plane
from gateway.control_plane.refusals import Refusals
from gateway.control_plane.rules import RuleFiles
from gateway.control_plane.settings.file import ControlPlaneFile
from gateway.control_plane.settings.reading import read_settings
from gateway.reading.clocked import Unread

MOST_HEAD: Final = 64 * 1024  # bytes of a request line and its headers
MOST_CONNECTIONS: Final = 20_000
MOST_UNREAD: Final = 256 * 1024 * 1024  # bytes of answers that wait for their clients; then no more are made
END_SECONDS: Final = 10  # for requests in flight
DATABASE_FILE: Final = "control-plane.sqlite"


class StartError(Exception):
    """Why it cannot be served, and what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `serve`. `database` replaces that of control-plane.yaml."""

    directory: Path
    host: str
    port: int
    database: str | None
    migrate: bool
    secrets: KnownSecrets


def database_url(settings: ControlPlaneFile, state: Path, given: str | None) -> str:
    """Of where everything is kept."""
    if given is not None:
        return given
    if settings.database is not None:
        return settings.database.get_secret_value()
    return f"sqlite:///{(state / DATABASE_FILE).resolve()}"


@dataclass(frozen=True, slots=True)
class Kept:
    """The persistent parts: state directory and database, with their settings."""

    settings: ControlPlaneFile
    state: Path
    database: Database


@asynccontextmanager
async def kept(options: Options) -> AsyncIterator[Kept]:
    """Opens the storage of a directory, migrated. Raises ConfigError and StartError."""
    if (
        not options.directory.is_dir()
    ):  # a mistyped name would begin an empty control plane beside the one that is meant
        raise StartError(f"there is no directory {options.directory}; make it, or name another one with --config")
    settings = read_settings(options.directory, os.environ, options.secrets)
    state = options.directory / settings.state_directory
    try:
        state.mkdir(0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"{state} cannot be made: {error.strerror}; make its directory writable") from None
    url = database_url(settings, state, options.database)
    options.secrets.add(url)
    try:
        database = Database(url)
        if settings.audit.key is not None:
            database.audit_key = settings.audit.key.get_secret_value().encode()
    except ArgumentError:
        raise StartError(
            "the URL of the database is invalid; expected postgresql://user:password@host/name, or sqlite:///PATH"
        ) from None
    except (OSError, ValueError) as error:
        raise StartError(f"the file of the database cannot be made: {error}; name another one") from None
    try:
        await require_newest(url, migrate=options.migrate or _is_ours(database, state))
        yield Kept(settings, state, database)
    except DatabaseUnavailable as error:
        raise StartError(f"{error}; start the database, or correct its URL") from None
    except SchemaMismatch as error:
        raise StartError(str(error)) from None
    finally:
        await database.close()


@asynccontextmanager
async def opened(options: Options) -> AsyncIterator[Plane]:
    """The control plane of a directory, without a server. Raises ConfigError and StartError."""
    async with kept(options) as found:
        settings, state, database = found.settings, found.state, found.database
        listening = Listening(options.host, options.port)
        rules = RuleFiles(options.directory, state, listening, os.environ, options.secrets)
        try:
            async with database.reading() as session:
                sealed = await any_sealed(session)
            keys = await asyncio.to_thread(load_keys, state, os.environ, make=not sealed)
            adapter = await create_adapter(settings.gateway.adapter, settings.networks, options.directory)
        except (UnusableAdapter, UnusableKey, OSError) as error:
            raise StartError(str(error)) from None
        try:
            await rules.start()
            organizations = await ensure(database, [grant.organization for grant in settings.roles])
            yield Plane(
                settings=settings,
                directory=options.directory,
                state=state,
                database=database,
                adapter=adapter,
                keys=keys,
                organizations=organizations,
                access=Access(rules.rules, listening, organizations, Refusals(database, organizations[DEFAULT])),
            )
        finally:
            await rules.stop()
            await adapter.close()


def _is_ours(database: Database, state: Path) -> bool:
    """Whether it is the file in the state directory, which is migrated automatically since no other process uses it."""
    file = database.url.database
    return database.is_sqlite and file is not None and Path(file).resolve().is_relative_to(state.resolve())


async def migrate(options: Options) -> str:
    """Bring the database of a directory up to date; the step that it is at then. Raises ConfigError and StartError."""
    async with kept(replace(options, migrate=True)) as found:
        return await current(found.database.url.render_as_string(hide_password=False)) or ""


class _Server(uvicorn.Server):
    """One that says that it ends before it waits for what is in flight, and leaves the process to its owner."""

    def __init__(self, config: uvicorn.Config, ending: asyncio.Event) -> None:
        super().__init__(config)
        self._ending = ending

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn raises them again at the end, which would end the process before all is closed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending.set()
        await super().shutdown(sockets)


def server_of(plane: Plane) -> uvicorn.Server:
    """The server of a control plane; its `serve` takes the sockets that it listens on."""
    unread = Unread(MOST_UNREAD)
    config = uvicorn.Config(
        cast(Any, AnswerLimit(create_app(plane), unread)),
        http=cast(Any, partial(Connection, unread=unread)),
        h11_max_incomplete_event_size=MOST_HEAD,
        ws=WebSocketConnection,
        ws_max_size=MOST_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=DEAD_SECONDS - PING_SECONDS,
        limit_concurrency=MOST_CONNECTIONS,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # access.py reads them, from proxies that are trusted
        server_header=False,
        timeout_graceful_shutdown=END_SECONDS,
    )
    return _Server(config, plane.ending)


async def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError, StartError and CannotListenError."""
    allow_files()
    with bound(options.host, options.port) as listeners:
        async with opened(replace(options, port=listeners[0].getsockname()[1])) as plane:
            listen(listeners)  # only now, when requests can be answered
            print(f"control plane on http://{shown(listeners[0])}", flush=True)
            await server_of(plane).serve(list(listeners))
