"""A gateway that belongs to a control plane, put together; it does nothing where no file and no variable names one."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gateway.config.history import Version
from gateway.config.problems import ConfigError
from gateway.config.secrets import KnownSecrets
from gateway.config.values.instants import format_instant
from gateway.config.watch import Contents
from gateway.families import Family, gauge
from gateway.http import Report
from gateway.live.tasks import Tasks
from gateway.managed.applying import Applying
from gateway.managed.bundle_store import BundleStore, fingerprint
from gateway.managed.counting import Counting
from gateway.managed.link import Link
from gateway.managed.reporting import Reporting
from gateway.managed.running import version_of
from gateway.managed.settings import Settings, read_settings
from gateway.reload import Reloader

logger = logging.getLogger("gateway.managed")

SERVICE: Final = ("control plane",)
"""The one identity under which it lives."""
LOST_SECONDS: Final = 60.0  # without a connection, from which on it is a trouble
CONNECTED: Final = "1 while this gateway is connected to its control plane."
IN_SYNC: Final = "1 while this gateway runs the revision that its control plane wants, as far as it knows."
REVISION: Final = "1, for the revision that this gateway runs, and where it has come from."


class ManagedGateway:
    """The part of a gateway that its control plane is the other side of. `tasks` are supervised by the owner."""

    def __init__(
        self,
        reloader: Reloader,
        environment: Mapping[str, str],
        secrets: KnownSecrets,
        reports: list[Report],
    ) -> None:
        self.tasks = Tasks()
        self.counting = Counting()
        self.applying = Applying(reloader, self.counting, self._news)
        reporting = Reporting(reloader.owner, self.applying, self.counting)
        self.link = Link(reloader.directory, environment, secrets, self.applying, reporting, self._settings)
        self._reloader = reloader
        self._environment = environment
        self._secrets = secrets
        self._reports = reports

    def kept(self, contents: Contents, refused: bool) -> Version | None:
        """The last good revision, where it is to be served in place of the local files: they have not changed since it
        was applied, or cannot be served. Not for the event loop."""
        try:
            settings = read_settings(self._reloader.directory, self._environment, self._secrets)
            if settings.url is None:
                return None
            store = BundleStore(settings.state)
            applied = store.applied()
            if applied is None or not (refused or (not applied.superseded and applied.local == fingerprint(contents))):
                return None
            bundle = store.bundle(applied.digest)
            return None if bundle is None else version_of(bundle, self._reloader.directory)
        except ConfigError as error:
            logger.warning("the last good revision is not used: %s", self._secrets.hide(str(error)))
            return None

    def begin(self) -> None:
        """Call the control plane from now on, if there is one."""
        self.tasks.supervise("what the control plane wants", self.applying.work)
        self.tasks.supervise("the connection to the control plane", self.link.work)

    async def stop(self) -> None:
        """End, and say good-bye."""
        await self.tasks.end()
        await self.link.leave()

    @property
    def connected(self) -> bool:
        """Whether it is."""
        return self.link.how is not None

    @property
    def in_sync(self) -> bool:
        """Whether it runs what is wanted, as far as that is known."""
        wanted = self.applying.wanted
        return wanted is None or wanted.revision is None or wanted.revision == self.applying.running.digest

    def lost(self, now: float) -> str | None:
        """Why there has been no connection for a while; None: there is one, or none is wanted."""
        link = self.link
        if link.settings.url is None or self.connected or now - link.since < LOST_SECONDS:
            return None
        return f"no connection to {link.settings.url} since {format_instant(link.since)}: {link.failure or 'unknown'}"

    def refusal(self) -> str | None:
        """Why it does not run what is wanted; None: it does, or has not tried yet."""
        wanted, error = self.applying.wanted, self.applying.error
        if wanted is None or wanted.revision is None or self.in_sync:
            return None
        if error is not None and error.revision == wanted.revision:
            return f"revision {wanted.revision[:12]} was refused: {error.message}"
        return self.applying.failure

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if (lost := self.lost(time.time())) is not None:
            yield f"the control plane cannot be reached, so this gateway keeps its configuration: {lost}"
        if (refusal := self.refusal()) is not None:
            yield f"what the control plane wants is not served: {refusal}"
        if self.link.settings_error is not None:
            yield f"control_plane cannot be read, so that the former settings hold: {self.link.settings_error}"

    def summary(self) -> dict[str, Any]:
        """Its part of `/health` of the admin port."""
        link, applying = self.link, self.applying
        return {
            "url": link.settings.url,
            "gateway": link.gateway,
            "connected": self.connected,
            "by": link.how,
            "since": format_instant(link.since),
            "failure": link.failure,
            "wanted": applying.wanted.revision if applying.wanted is not None else None,
            "revision": applying.running.digest,
            "source": applying.source,
            "refusal": self.refusal(),
        }

    def metrics(self) -> Iterator[Family]:
        """Without numbers where there is no control plane."""
        there = self.link.settings.url is not None
        running, source = self.applying.running.digest, self.applying.source
        runs = {(running[:12], source): 1.0} if running is not None and source is not None else {}
        yield gauge("gateway_control_plane_connected", CONNECTED, {(): float(self.connected)} if there else {})
        yield gauge("gateway_control_plane_in_sync", IN_SYNC, {(): float(self.in_sync)} if there else {})
        yield gauge("gateway_control_plane_revision", REVISION, runs if there else {}, ("revision", "source"))

    def _settings(self, settings: Settings) -> None:
        """These hold from now on. A gateway without a control plane counts nothing for it."""
        count = self.counting.report
        if settings.url is None:
            self._reloader.beside.pop("control_plane", None)
            self._reports[:] = [report for report in self._reports if report != count]
        elif count not in self._reports:
            self._reloader.beside["control_plane"] = self.summary
            self._reports.append(count)

    def _news(self) -> None:
        self.link.news.set()
