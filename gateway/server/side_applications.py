"""What is served beside the routes: the admin port, and the port of metrics. Each is imported where it listens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.app import Gateway
from gateway.app.health import PROBES, probe
from gateway.config.secrets import KnownSecrets
from gateway.monitor.audit_log import AdminChange
from gateway.server.listen import Kind
from gateway.server.observed import Observed
from gateway.server.succession import Places
from gateway.snapshot import Snapshot

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from gateway.monitor.recent_requests import RecentRequests
    from gateway.server.admin import AdminAccess


class SideApplications:
    """Those that listen somewhere. To be made first: they are imported then, and hold up nothing. `recent`: the last
    requests, which are kept where they can be shown."""

    def __init__(self, places: Places, directory: Path, secrets: KnownSecrets) -> None:
        self._admin = self._metrics = None
        self._access: AdminAccess | None = None
        self.recent: RecentRequests | None = None
        if (address := places.address("admin")) is not None:
            from gateway.admin.app import admin_app  # noqa: PLC0415  a tenth of all modules, for those who have the port
            from gateway.admin.listening import Listening  # noqa: PLC0415
            from gateway.monitor.recent_requests import RecentRequests  # noqa: PLC0415
            from gateway.server.admin import AdminAccess  # noqa: PLC0415

            listening = Listening(*address)
            self._access = AdminAccess(directory, listening, secrets)
            self._admin = partial(admin_app, listening=listening, credentials=self._access.credentials)
            self.recent = RecentRequests()
        if places.address("metrics") is not None:
            from gateway.admin.metrics_page import metrics_app  # noqa: PLC0415  the same

            self._metrics = metrics_app
        self.any = self._admin is not None or self._metrics is not None
        if self.any:
            import_module("gateway.server.side_connections")  # what serves them

    @property
    def refusal(self) -> str | None:
        """Why the process must not start with them, if so."""
        return None if self._access is None else self._access.refusal

    def check(self, snapshot: Snapshot) -> None:
        """Raises ConfigError where a new configuration would open the admin port to every client."""
        if self._access is not None:
            self._access.check(snapshot)

    def follow(self, snapshot: Snapshot) -> None:
        """Use the credentials of a new configuration, which was checked."""
        if self._access is not None:
            self._access.take_over(snapshot)

    def made(self, gateway: Gateway, observed: Observed, report: Callable[[AdminChange], None]) -> dict[Kind, ASGIApp]:
        """The applications of a gateway. `report`: see `admin_app`."""
        beside: dict[Kind, ASGIApp] = {}
        reloader = gateway.reloader
        if self._admin is not None and (recent := self.recent) is not None:
            beside["admin"] = self._admin(reloader, observed.metrics, recent, report=report)
        if self._metrics is not None:
            beside["metrics"] = self._metrics(
                observed.metrics, lambda path: probe(path, reloader, draining=gateway.draining), PROBES
            )
        return beside
