"""Applies the wanted revision: fetches it, tries it like any change, serves it, and stores it on disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.algorithms.backoff import doubled
from gateway.bundles import Bundle
from gateway.config.history import Version
from gateway.config.problems import ConfigError
from gateway.config.watch import Contents
from gateway.managed.bundle_store import Applied, BundleStore, fingerprint
from gateway.managed.counting import Counting
from gateway.managed.deciding import Step, is_older, next_step
from gateway.managed.errors import CallError
from gateway.managed.running import Running, run_error, running, version_of
from gateway.reload import CONTROL_PLANE, Reloader

if TYPE_CHECKING:  # a gateway without a control plane has neither messages nor an HTTP client
    from gateway.control_messages import RunError, Source, Wanted
    from gateway.managed.calls import Calls

logger = logging.getLogger("gateway.managed")

LOOK_SECONDS: Final = 0.25
FIRST_PAUSE: Final = 1.0  # until what failed is tried again; doubled each time
LONGEST_PAUSE: Final = 60.0
MOST_SENT: Final = 16
OLDER: Final = (
    "it was wanted before the one that runs: was the database of the control plane restored? Roll it out again if it "
    "is meant"
)
REFUSED_SECONDS: Final = 300.0  # until a revision that was refused here is tried again: variables may be set meanwhile


class Applying:
    """Of one gateway. `news` is called whenever there is something to report; `calls` are None while there is no
    connection. On the loop."""

    def __init__(self, reloader: Reloader, counting: Counting, news: Callable[[], None]) -> None:
        self.wanted: Wanted | None = None
        self.calls: Calls | None = None
        self.running = Running()
        self.since: datetime | None = None  # it runs
        self.failure: str | None = None  # why what is wanted could not be fetched, kept or sent
        self._reloader = reloader
        self._counting = counting
        self._news = news
        self._store: BundleStore | None = None
        self._applied: Applied | None = None
        self._seen: Version | None = None
        self._confirmed: str | None = None  # the revision that the control plane has wanted since the start
        self._refused: tuple[RunError, float] | None = None  # and until when it is not tried again
        self._changed = asyncio.Event()
        self._managed = asyncio.Event()
        self._sent: tuple[str, ...] = ()  # digests of local files that the control plane has had
        self._failures = 0
        self._not_before = 0.0

    @property
    def source(self) -> Source | None:
        """Where what runs has come from."""
        if self.running.digest is None:
            return None
        if not self.running.sent:
            return "local file"
        return "control-plane" if self._confirmed == self.running.digest else "last good"

    @property
    def error(self) -> RunError | None:
        """The error of the wanted revision, or else of the local files."""
        wanted = self.wanted.revision if self.wanted is not None else None
        if self._refused is not None and self._refused[0].revision == wanted:
            return self._refused[0]
        error = self._reloader.error
        if error is None or self.running.sent:
            return None
        first = error.problems[0]
        return run_error(first, len(error.problems), self._reloader.hidden(str(first)), None)

    async def go_on(self, state: Path | None) -> None:
        """Bundles are kept in this state directory. None: there is no control plane, and nothing is wanted."""
        if state is None:
            self.wanted = None
            self._managed.clear()
            return
        store = BundleStore(state)
        if self._store is None or self._store.path != store.path:
            self._applied = await asyncio.to_thread(store.applied)
            self._store = store
        self._managed.set()

    def want(self, wanted: Wanted) -> None:
        """The control plane has said this."""
        former = self.wanted
        before = (None, None) if former is None else (former.revision, former.wanted_at)
        if before != (wanted.revision, wanted.wanted_at):
            self._failures, self._not_before, self.failure = 0, 0.0, None
            if self._refused is not None:  # it is wanted anew, and tried once more
                self._refused = self._refused[0], 0.0
        self.wanted = wanted
        self._changed.set()

    async def work(self) -> None:
        """Without end: see what runs, and do what is wanted."""
        while True:
            await self._managed.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            await self.look()
            step = self._next()
            if step is not None and time.monotonic() >= self._not_before:
                assert self.wanted is not None
                try:
                    if step == "apply":
                        await self._apply(self.wanted)
                    elif step == "upload":
                        await self._upload()
                    else:
                        await self._confirm(self.wanted)
                except CallError as error:
                    reason = f"{step}: {error}"
                    self._failures += 1
                    self._not_before = time.monotonic() + doubled(FIRST_PAUSE, self._failures, LONGEST_PAUSE)
                    if self.failure != reason:
                        logger.warning("what the control plane wants cannot be done: %s; what runs goes on", reason)
                    self.failure = reason
                else:
                    self._failures, self.failure = 0, None

    async def look(self) -> None:
        """See what runs now, which may have been changed here."""
        version = self._reloader.serving
        if version is self._seen:
            return
        self._seen = version
        self._counting.swapped()
        self.running = await asyncio.to_thread(running, version)
        self.since = None if version is None else datetime.fromtimestamp(version.loaded_at, UTC)
        if version is not None:
            await self._note_edits(version)
        self._news()

    async def _note_edits(self, version: Version) -> None:
        """The local files serve again, because they were changed: they do so after a restart, too."""
        applied, store = self._applied, self._store
        if applied is None or store is None or applied.superseded or version.cause == CONTROL_PLANE:
            return
        if version.cause == "start" and fingerprint(version.files) == applied.local:
            return  # the bundle could not be served at the start
        logger.warning("the local files serve in place of revision %s, which was applied before", applied.digest[:12])
        self._applied = noted = replace(applied, superseded=True)
        await self._kept(lambda: store.note(noted))

    def _next(self) -> Step | None:
        applied, wanted = self._applied, self.wanted
        if wanted is None:
            return None
        edited = applied is not None and applied.superseded and applied.digest == wanted.revision
        sent = self.running.bundle is None or self.running.digest in self._sent
        refused = self._is_refused(wanted) or self._is_older(wanted)
        return next_step(wanted, self.running.digest, edited=edited, refused=refused, sent=sent)

    def _is_refused(self, wanted: Wanted) -> bool:
        if self._refused is None or self._refused[0].revision != wanted.revision:
            return False
        return time.monotonic() < self._refused[1]

    def _is_older(self, wanted: Wanted) -> bool:
        applied = self._applied
        older = applied is not None and is_older(wanted, applied.digest, moment(applied.wanted_at))
        if older and self.failure != OLDER:
            logger.error("revision %s is not applied: %s", (wanted.revision or "")[:12], OLDER)
            self.failure = OLDER
        return older

    async def _apply(self, wanted: Wanted) -> None:
        """Raises CallError."""
        digest, store = wanted.revision or "", self._store
        bundle = await asyncio.to_thread(store.bundle, digest) if store is not None else None
        if bundle is None:
            if self.calls is None:
                raise CallError("there is no connection")
            bundle = await self.calls.bundle(digest)
        error = await self._serve(bundle)
        if self.wanted is not None and self.wanted.revision == digest:
            self._refused = None if error is None else (error, time.monotonic() + REFUSED_SECONDS)
        if error is None:
            await self._keep(bundle, self._reloader.instead_of, wanted)
            self._confirmed = digest
        await self.look()
        self._news()
        await self._acknowledge(wanted, error)

    async def _serve(self, bundle: Bundle) -> RunError | None:
        try:
            version = await asyncio.to_thread(version_of, bundle, self._reloader.directory)
            refused = await self._reloader.apply(version)
        except ConfigError as error:
            refused = error
        if refused is None:
            return None
        first = refused.problems[0]
        return run_error(first, len(refused.problems), self._reloader.hidden(str(first)), bundle.digest)

    async def _confirm(self, wanted: Wanted) -> None:
        """It runs already. Local files that are what is wanted are what is kept from now on."""
        if self._confirmed != wanted.revision:
            self._confirmed = wanted.revision
            self._refused = None
            self._news()
        applied, bundle, version = self._applied, self.running.bundle, self._seen
        known = applied is not None and applied.digest == wanted.revision and not applied.superseded
        if not known and bundle is not None and version is not None:
            await self._keep(bundle, version.files, wanted)
        elif applied is not None and known and (at := instant(wanted.wanted_at)) != applied.wanted_at:
            self._applied = noted = replace(applied, wanted_at=at or applied.wanted_at)
            if (store := self._store) is not None and noted != applied:
                await self._kept(lambda: store.note(noted))

    async def _keep(self, bundle: Bundle, local: Contents | None, wanted: Wanted) -> None:
        store = self._store
        if store is None or local is None:
            return
        at = instant(wanted.wanted_at)
        applied = await asyncio.to_thread(lambda: Applied(bundle.digest, fingerprint(local), wanted_at=at))
        self._applied = applied
        await self._kept(lambda: store.save(bundle, applied))

    async def _kept(self, write: Callable[[], None]) -> None:
        """Store it. If that fails, a restart serves the local files."""
        try:
            await asyncio.to_thread(write)
        except OSError as error:
            logger.warning("the last good revision cannot be kept: %s; make the state directory writable", error)

    async def _upload(self) -> None:
        """Send the local files, each state of them once: those that cannot be kept are not asked for again. Raises
        CallError."""
        bundle = self.running.bundle
        if bundle is None or self.calls is None:
            raise CallError("there is no connection")
        try:
            await self.calls.upload(bundle)
        except CallError as error:
            if error.status not in (400, 413):
                raise
            logger.warning("the control plane does not keep the local files: %s", error)
        self._sent = (*self._sent, bundle.digest)[-MOST_SENT:]

    async def _acknowledge(self, wanted: Wanted, error: RunError | None) -> None:
        from gateway.control_messages import DeploymentAck  # noqa: PLC0415  as above

        ack = DeploymentAck(
            deployment_id=wanted.deployment_id or "",
            artifact_id=wanted.revision or "",
            status="success" if error is None else "failed",
            performed_at=datetime.now(UTC),
            error_code=None if error is None else "CONFIGURATION_REFUSED",
            error=error,
        )
        if self.calls is not None:
            try:
                await self.calls.acknowledge(ack)
            except CallError:
                return  # the heartbeat says the same


def instant(at: datetime | None) -> str | None:
    """As it is kept."""
    return None if at is None else at.isoformat()


def moment(text: str | None) -> datetime | None:
    """A stored time; None if there is none."""
    try:
        read = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if read is None or read.tzinfo is None else read
