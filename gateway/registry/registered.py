"""Instances that are registered by the admin API: kept in the state directory, and shared over Redis, if there is one.

A service is one document, which is replaced as a whole and numbered. While Redis answers, a change is made there first,
and only if no other gateway has made one meanwhile; otherwise it is made on what they have. While it does not, changes
are made here, and published when it is back: of two documents of one service the higher number counts, then the later
time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from gateway.context import Context
from gateway.live import Place, Tasks
from gateway.outside.redis_link import redis_identity, redis_link
from gateway.outside.sqlite_file import SqliteFile
from gateway.outside.throttled_log import ThrottledLog
from gateway.registry.documents import UNKNOWN, Document, SharedDocuments
from gateway.registry.source import Instances, Sink
from gateway.upstream.member import Member

logger = logging.getLogger("gateway.registry")

FILE: Final = "registry.sqlite"
PLACE: Final[Place] = ("routes.yaml", ("services",))
ROUND_SECONDS: Final = 0.5
ALIVE_SECONDS: Final = 5.0  # between two signs of life of a source in this process
ATTEMPTS: Final = 10  # at a change that others make at the same time
LOG_SECONDS: Final = 60.0

Change = Callable[[Sequence[Member]], Sequence[Member]]
"""Makes the instances that there are to be from those that there are."""

_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS services (name TEXT PRIMARY KEY, document TEXT) WITHOUT ROWID"


class Registered:
    """All of them. They outlive reloads, and a restart."""

    def __init__(self, path: Path, shared: SharedDocuments | None) -> None:
        self.shared = shared
        self.tasks = Tasks()
        self._documents: dict[str, Document] = {}
        self._changes: dict[str, asyncio.Event] = {}  # of the services that have a source
        self._unsaved: set[str] = set()
        self._unpublished: set[str] = set()
        self._wanted = asyncio.Event()
        self._busy = asyncio.Lock()
        log = ThrottledLog(logger.error, LOG_SECONDS)
        self._file = SqliteFile(path, "registry", _prepare, log, "registered instances are only kept in memory")

    async def start(self) -> None:
        """Read the file, so that what it says holds from the first request on, and begin to share."""
        for name, text in await self._file.run(_read, create=False) or ():
            try:
                self._documents[name] = Document.parse(text)
            except ValueError as error:
                logger.warning("%s: the instances of %s are left out: %s", self._file.path, name, error)
        self.tasks.supervise("the writing and sharing of registered instances", self._work)

    async def stop(self) -> None:
        """Write and publish what is left."""
        await self.tasks.end()
        await self._settle()
        await self._file.close()

    def document(self, service: str) -> Document:
        """The registered instances."""
        return self._documents.get(service, UNKNOWN)

    async def ask(self, service: str) -> None:
        """Read what other gateways have registered, where nothing is known here."""
        if self.shared is not None and service not in self._documents:
            for name, document in (await self.shared.pull({service: UNKNOWN}) or {}).items():
                self._take(name, document)

    def change(self, service: str) -> asyncio.Event:
        """Is set when something is registered."""
        return self._changes.setdefault(service, asyncio.Event())

    @property
    def kept(self) -> bool:
        """Whether all of it would be there after a restart."""
        return not self._unsaved

    @property
    def published(self) -> bool | None:
        """Whether the other gateways know all of it, or can. None: there are none."""
        return None if self.shared is None else self.shared.available and not self._unpublished

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if self.published is False:
            yield "the instances that the admin API registers are not shared with other gateways: Redis does not answer"
        if self._unsaved and not self._busy.locked():
            yield f"the instances that the admin API registers are only kept in memory: {self._file.path} is not usable"

    async def register(self, service: str, change: Change) -> Document:
        """Change the instances of a service; what there is afterwards. `change` may raise, and then nothing changes."""
        for _ in range(ATTEMPTS):
            known = self.document(service)
            made = Document(known.revision + 1, max(time.time(), known.changed), tuple(change(known.members)))
            if self.shared is None:
                break
            published, other = await self.shared.publish(service, made, known)
            if other is None:
                if not published:
                    self._unpublished.add(service)
                break
            self._take(service, other)
        else:
            self._unpublished.add(service)
        self._take(service, made)
        async with self._busy:
            await self._save()
        return made

    def _take(self, service: str, document: Document) -> None:
        if not self.document(service).version < document.version:
            return
        self._documents[service] = replace(document, happened=time.perf_counter())
        self._unsaved.add(service)
        if service in self._changes:
            self._changes[service].set()
        self._wanted.set()

    # Beside the requests.

    async def _work(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUND_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()
            await self._settle()

    async def _settle(self) -> None:
        """Publish and read what is new, write what is not written."""
        async with self._busy:
            if self.shared is not None:
                await self._share(self.shared)
            await self._save()

    async def _share(self, shared: SharedDocuments) -> None:
        names = {*self._documents, *self._changes}
        heard = await shared.pull({name: self.document(name) for name in sorted(names)})
        if heard is None:
            return
        for name, document in heard.items():
            if document.version < self.document(name).version:
                self._unpublished.add(name)
            else:
                self._take(name, document)
        for name in sorted(self._unpublished):
            published, other = await shared.publish(name, self.document(name), None)
            if other is not None:
                self._take(name, other)
            elif not published:
                if shared.available:  # what is there cannot be read, and is newer: perhaps of a newer gateway
                    continue
                return
            self._unpublished.discard(name)

    async def _save(self) -> None:
        names, self._unsaved = self._unsaved, set()
        documents = {name: self.document(name) for name in names}
        if names and await self._file.run(lambda connection: _write(connection, documents)) is None:
            self._unsaved |= names


class RegisteredSource:
    """The registered instances of one service."""

    place: Final = "the admin API"

    def __init__(self, registered: Registered, service: str) -> None:
        self._registered = registered
        self._service = service

    async def watch(self, sink: Sink) -> None:
        """See `Source`. It is never lost: what is not shared is still right here."""
        change = self._registered.change(self._service)
        await self._registered.ask(self._service)
        while True:
            change.clear()
            document = self._registered.document(self._service)
            sink.deliver(Instances(document.members, str(document.revision), document.happened))
            while not change.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ALIVE_SECONDS):
                        await change.wait()
                sink.alive()


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute(_SCHEMA)


def _read(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, document FROM services").fetchall()


def _write(connection: sqlite3.Connection, documents: Mapping[str, Document]) -> bool:
    with connection:
        written = [(name, document.text()) for name, document in documents.items()]
        connection.executemany("INSERT OR REPLACE INTO services VALUES (?, ?)", written)
    return True


# From a configuration.


def registered_identity(context: Context) -> Hashable:
    """The settings that identify a registry: the file, and the Redis."""
    config = context.configuration.middleware
    return config.state_directory, redis_identity(context) if config.redis is not None else None


def registered_of(context: Context) -> Registered:
    """All that is registered, in the state directory, and in Redis where there is one."""
    config = context.configuration.middleware
    path = context.base / config.state_directory / FILE

    def make() -> Registered:
        return Registered(path, SharedDocuments(redis_link(context)) if config.redis is not None else None)

    return context.plan.need(("registered", registered_identity(context)), make, PLACE)
