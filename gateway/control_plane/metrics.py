"""Metrics of the control plane itself, for `GET /metrics`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.control_plane.database.connection import Database
from gateway.live.tasks import Tasks

_PROBE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """All of them. Their label sets are bounded: types, statuses and reasons are enumerations."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.gateways = Gauge(
            "control_plane_gateways", "Gateways that are known.", ("type", "status"), registry=self.registry
        )
        self.probe_seconds = Histogram(
            "control_plane_probe_seconds",
            "How long probes of gateways took, failures included.",
            buckets=_PROBE_BUCKETS,
            registry=self.registry,
        )
        self.probe_failures = Counter(
            "control_plane_probe_failures", "Probes that failed, by why.", ("reason",), registry=self.registry
        )
        self.probes_in_flight = Gauge("control_plane_probes_in_flight", "Probes under way.", registry=self.registry)
        self.transitions = Counter(
            "control_plane_status_transitions", "Changes of gateways' status.", ("status",), registry=self.registry
        )
        self.lag = Gauge(
            "control_plane_job_lag_seconds",
            "How late the work that is most overdue is, where this process does it.",
            ("job",),
            registry=self.registry,
        )
        self.lease_held = Gauge(
            "control_plane_lease_held",
            "1 where this process does the work of that name.",
            ("work",),
            registry=self.registry,
        )
        self.database_up = Gauge(
            "control_plane_database_up", "1 where the database answered this scrape.", registry=self.registry
        )
        self._process = _Process()
        self.registry.register(self._process)

    def follow_lease(self, work: str, held: Callable[[], bool]) -> None:
        """Show whether this process does the work."""
        self.lease_held.labels(work).set_function(lambda: float(held()))

    def follow_process(self, database: Database, tasks: Tasks) -> None:
        """Show what failed of the database, and of the jobs, from now on."""
        self._process.followed = database, tasks

    def set_gateways(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Show these, by type and status."""
        self.gateways.clear()
        for labels, count in counts.items():
            self.gateways.labels(*labels).set(count)


class _Process(Collector):
    followed: tuple[Database, Tasks] | None = None

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        if self.followed is None:
            return
        database, tasks = self.followed
        failures = CounterMetricFamily(
            "control_plane_database_failures", "Transactions that failed because the database was away or busy."
        )
        failures.add_metric((), database.failures)
        yield failures
        deaths = CounterMetricFamily("control_plane_job_deaths", "How often a job died and was begun again.")
        deaths.add_metric((), tasks.deaths)
        yield deaths
        troubled = GaugeMetricFamily("control_plane_jobs_troubled", "Jobs that died a moment ago.")
        troubled.add_metric((), len(tasks.troubles()))
        yield troubled
