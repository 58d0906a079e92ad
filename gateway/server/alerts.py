"""Alerts of this gateway: what rules look at, and what a configuration says of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Final, cast

from gateway.build import Snapshot
from gateway.bus.bus import Bus
from gateway.config.models import Configuration
from gateway.config.problems import ConfigError
from gateway.config.secrets import KnownSecrets
from gateway.http import Report
from gateway.live import Plan, on_thread
from gateway.monitor.alerts.runner import SERVICE, Alerting, Settings
from gateway.monitor.alerts.sight import Figures, Finding, Subject
from gateway.monitor.alerts.store import FILE
from gateway.monitor.alerts.summary import Day, Totals
from gateway.monitor.alerts.voice import Voice
from gateway.monitor.tallies import ALL, Kind, Tally
from gateway.monitor.tallies import Subject as Measured
from gateway.monitor.watch import Monitor
from gateway.outside.redis_link import RedisLink
from gateway.reload import Reloader
from gateway.roles import Roles
from gateway.server.findings import Findings
from gateway.upstream.service import Upstream

DAY: Final = 86400
MOST_ROUTES: Final = 200  # of which a summary looks at the day: the busiest of the last hour


class GatewaySource:
    """See `Source`."""

    def __init__(self, reloader: Reloader, monitor: Monitor) -> None:
        self.findings_of = Findings(reloader)
        self._reloader = reloader
        self._monitor = monitor
        self._since = math.inf

    def follow(self) -> None:
        """A configuration is in force, which switches the monitor on or off."""
        if not self._monitor.enabled:
            self._since = math.inf
        elif self._since == math.inf:
            self._since = time.time()

    @property
    def since(self) -> float:
        """See `Source`."""
        return self._since

    async def refresh(self, now: float) -> None:
        """See `Source`."""
        await self._monitor.catch_up(now)

    def subjects(self, kind: str) -> Iterable[str]:
        """Those that the configuration has, or that had requests lately."""
        if kind == "route":
            snapshot = self._reloader.current
            return [] if snapshot is None else [handler.route.id for handler in snapshot.handlers]
        measured = [name for name, _ in self._monitor.names(cast(Kind, kind))]
        if kind != "upstream":
            return measured
        return dict.fromkeys([*(upstream.name for upstream in self._reloader.owner.all(Upstream)), *measured])

    def figures(self, subject: Subject, seconds: float, now: float) -> Figures:
        """See `Source`."""
        return self._monitor.figures(Measured(cast(Kind, subject.kind), subject.name), int(seconds), now)

    def counts(self, subject: Subject, seconds: float, now: float) -> tuple[int, int]:
        """See `Source`."""
        number = self._monitor.subjects.find(Measured(cast(Kind, subject.kind), subject.name))
        return (0, 0) if number is None else self._monitor.counts(number, int(seconds), now)

    def findings(self, builtins: Iterable[str], now: float) -> Iterator[Finding | None]:
        """See `Source`."""
        return self.findings_of.of(builtins, now)

    async def day(self, now: float) -> Day | None:
        """See `Source`."""
        if not self._monitor.enabled:
            return None
        whole, seconds = await self._totals(ALL, now)
        monitor = self._monitor
        busy = sorted(monitor.names("route"), key=lambda each: -monitor.counts(each[1], 3600, now)[0])[:MOST_ROUTES]
        routes = [(name, (await self._totals(Measured("route", name), now))[0]) for name, _ in busy]
        return Day(seconds, whole, routes)

    async def _totals(self, subject: Measured, now: float) -> tuple[Totals, float]:
        """Results of a subject in the last 24 hours, and in how many seconds."""
        total, watched = Tally(), 0.0
        for point in await self._monitor.days(subject, now):
            if point.tally is not None and point.start >= now - DAY:
                watched += point.seconds
                total.requests += point.tally.requests
                total.errors += point.tally.errors
                for index, count in point.tally.buckets.items():
                    total.buckets[index] = total.buckets.get(index, 0) + count
        return Totals(total.requests, total.errors, total.figures(watched or 1.0).p99 or 0.0), watched


@dataclass(frozen=True, slots=True)
class AlertSending:
    """The alerts of the process. `acting` says whether it is this one that sends, and none that
    has taken over from it."""

    secrets: KnownSecrets
    roles: Roles
    acting: Callable[[], bool]


class SenderLibraries:
    """Libraries of senders, imported on a thread before senders are made on the loop."""

    async def start(self) -> None:
        """See `Startable`."""
        await on_thread("senders", partial(import_module, "gateway.monitor.alerts.senders.table"))


class AlertsOfGateway:
    """The alerts of one process, which follow the configuration."""

    def __init__(self, reloader: Reloader, monitor: Monitor, reports: list[Report], sending: AlertSending) -> None:
        """`reports` are what learns of each request."""
        self._source = GatewaySource(reloader, monitor)
        self.alerting = reloader.owner.hold(SERVICE, Alerting(self._source, sending.acting))
        self._reports = reports
        self._sending = sending
        self._voice: Voice | None = None
        self.alerting.begin()
        monitor.after_slice.append(lambda _: self.alerting.look_soon())

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

    def plan(self, snapshot: Snapshot, plan: Plan, link: RedisLink | None, bus: Bus) -> None:
        """Changes for a new configuration, of which `link` is the Redis. Alerts are messages on the bus, too."""
        configuration, roles = snapshot.configuration, self._sending.roles
        config, voice = configuration.middleware.alerts, self._voice
        if link is None or not config.anything:
            voice = None
        elif voice is None or voice.link is not link:
            voice = Voice(link, mute="monitor" not in roles)
        file = configuration.base / configuration.middleware.state_directory / FILE
        routes = tuple(handler.route.id for handler in snapshot.handlers)
        settings = Settings(config, routes, configuration.base, file, voice, monitors="monitor" in roles)
        if config.send and settings.monitors:
            plan.need(SenderLibraries, SenderLibraries, ("middleware.yaml", ("alerts", "send")))
        plan.after_adoption(partial(self._follow, settings, configuration, bus))

    def _follow(self, settings: Settings, configuration: Configuration, bus: Bus) -> None:
        for sender in settings.config.send.values():
            self._sending.secrets.add(sender.url)
            if sender.credentials is not None:
                self._sending.secrets.add(sender.credentials[1])
        self._voice = settings.voice
        self._source.follow()
        self.alerting.configure(settings)
        self.alerting.publish = bus.publish
        report = self.alerting.objectives.report
        others = [each for each in self._reports if each != report]
        self._reports[:] = [*others, report] if self.alerting.objectives.any else others
        if "certificate_expiring" in settings.config.builtin:
            look = partial(self._source.findings_of.read_certificates, configuration)
            self.alerting.tasks.supervise("the look at certificates", look)
