"""What looks at the alerts of this gateway, imported for those who have some: what rules look at, and what a
configuration says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final, cast

from gateway.bus.bus import Bus
from gateway.config.models import Configuration
from gateway.families import Family
from gateway.http import Report
from gateway.monitor.alerts.metrics import alert_metrics
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
from gateway.server.alerts import AlertSending
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

    @property
    def since(self) -> float:
        """See `Source`."""
        return self._monitor.since

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


class Looking:
    """Looks at alerts from now on, as the configuration in force says."""

    def __init__(self, reloader: Reloader, monitor: Monitor, reports: list[Report], sending: AlertSending) -> None:
        """`reports` are what learns of each request."""
        self._source = GatewaySource(reloader, monitor)
        self._alerting = reloader.owner.hold(SERVICE, Alerting(self._source, sending.acting))
        self._reports = reports
        self._sending = sending
        self._voice: Voice | None = None
        self._alerting.begin()
        monitor.after_slice.append(lambda _: self._alerting.look_soon())

    def metrics(self) -> Iterator[Family]:
        """How many there are, and how they are sent."""
        return alert_metrics(self._alerting)

    def follow(self, configuration: Configuration, routes: tuple[str, ...], link: RedisLink | None, bus: Bus) -> None:
        """Changes for a configuration with these routes, of which `link` is the Redis. Alerts are messages on the bus,
        too."""
        config, roles = configuration.middleware.alerts, self._sending.roles
        if link is None or not config.anything:
            self._voice = None
        elif self._voice is None or self._voice.link is not link:
            self._voice = Voice(link, mute="monitor" not in roles)
        file = configuration.base / configuration.middleware.state_directory / FILE
        for sender in config.send.values():
            self._sending.secrets.add(sender.url)
            if sender.credentials is not None:
                self._sending.secrets.add(sender.credentials[1])
        self._alerting.configure(
            Settings(config, routes, configuration.base, file, self._voice, monitors="monitor" in roles)
        )
        self._alerting.publish = bus.publish
        report = self._alerting.objectives.report
        others = [each for each in self._reports if each != report]
        self._reports[:] = [*others, report] if self._alerting.objectives.any else others
        if "certificate_expiring" in config.builtin:
            look = partial(self._source.findings_of.read_certificates, configuration)
            self._alerting.tasks.supervise("the look at certificates", look)
