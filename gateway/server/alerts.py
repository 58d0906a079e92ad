"""Alerts of this gateway: what looks at them is imported for those who have some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gateway.bus.bus import Bus
from gateway.config.problems import ConfigError
from gateway.config.secrets import KnownSecrets
from gateway.families import Family
from gateway.http import Report
from gateway.live import Plan
from gateway.monitor.watch import Monitor
from gateway.outside.redis_link import RedisLink
from gateway.reload import Reloader
from gateway.roles import Roles
from gateway.snapshot import Snapshot

if TYPE_CHECKING:
    from gateway.server.alert_looking import Looking


@dataclass(frozen=True, slots=True)
class AlertSending:
    """The alerts of the process. `acting` says whether it is this one that sends, and none that
    has taken over from it; `shown`: whether a port shows alerts, and their metrics, where there are none, too."""

    secrets: KnownSecrets
    roles: Roles
    acting: Callable[[], bool]
    shown: bool = True


class AlertsOfGateway:
    """The alerts of one process, which follow the configuration."""

    def __init__(self, reloader: Reloader, monitor: Monitor, reports: list[Report], sending: AlertSending) -> None:
        """`reports` are what learns of each request."""
        self._reloader = reloader
        self._monitor = monitor
        self._reports = reports
        self._sending = sending
        self._looking: Looking | None = self._begin() if sending.shown else None

    def metrics(self) -> Iterator[Family]:
        """How many there are, and how they are sent. None while nothing looks at alerts."""
        if self._looking is not None:
            yield from self._looking.metrics()

    def check(self, snapshot: Snapshot) -> None:
        """Raises ConfigError where a sender names certificates that are not there."""
        configuration = snapshot.configuration
        message = "the file does not exist; put the certificates of the authorities there, in PEM"
        problems = [
            configuration.problem("middleware.yaml", ("alerts", "send", name, "ca"), message)
            for name, sender in configuration.middleware.alerts.send.items()
            if sender.ca is not None and not (configuration.base / sender.ca).is_file()
        ]
        if problems:
            raise ConfigError(problems)

    def plan(self, snapshot: Snapshot, plan: Plan, link: RedisLink | None, bus: Bus, *, exported: bool) -> None:
        """Changes for a new configuration, of which `link` is the Redis. Alerts are messages on the bus, too.
        `exported`: metrics are sent somewhere, those of alerts among them."""
        config = snapshot.configuration.middleware.alerts
        if self._looking is not None or config.anything or exported:
            plan.after_adoption(partial(self._follow, snapshot, link, bus))

    def _follow(self, snapshot: Snapshot, link: RedisLink | None, bus: Bus) -> None:
        if self._looking is None:
            self._looking = self._begin()
        routes = tuple(handler.route.id for handler in snapshot.handlers)
        self._looking.follow(snapshot.configuration, routes, link, bus)

    def _begin(self) -> Looking:
        from gateway.server.alert_looking import Looking  # noqa: PLC0415  for those who have some; see parts.py

        return Looking(self._reloader, self._monitor, self._reports, self._sending)
