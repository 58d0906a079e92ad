"""Everything that observes requests and reports on the gateway, put together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.app import Gateway
from gateway.auth.metrics import FetchedKeys, issuer_metrics
from gateway.bus.bus import Bus
from gateway.bus.configured import bus_of
from gateway.bus.memory import MemoryBus
from gateway.bus.metrics import bus_metrics
from gateway.bus.redis import RedisBus
from gateway.context import Context
from gateway.families import Family, gauge
from gateway.http import Report
from gateway.live import LoopLag, Owner, Plan
from gateway.managed.gateway import SERVICE as CONTROL_PLANE
from gateway.managed.gateway import ManagedGateway
from gateway.monitor.agents import AgentStandings
from gateway.monitor.exposition.page import Exposition
from gateway.monitor.known import Known
from gateway.monitor.metrics import plain
from gateway.monitor.model_traffic import ModelTraffic, model_metrics
from gateway.monitor.over_bus import heard_metrics
from gateway.monitor.readings import Counted
from gateway.monitor.resilience_metrics import resilience_metrics
from gateway.monitor.telemetry.exports import plan_metrics
from gateway.monitor.traffic import Traffic
from gateway.monitor.traffic_metrics import traffic_metrics
from gateway.monitor.upstream_metrics import upstream_metrics
from gateway.monitor.watch import SERVICE as MONITOR
from gateway.monitor.watch import Monitor
from gateway.outside.redis_link import RedisLink, redis_link
from gateway.registry.discovery import Discovery
from gateway.registry.metrics import discovery_metrics
from gateway.roles import Roles
from gateway.server.alerts import AlertSending, AlertsOfGateway
from gateway.server.loop_watch import LoopTroubles, LoopWatch
from gateway.server.process_metrics import build_metrics, config_metrics, process_metrics
from gateway.snapshot import Snapshot
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.service import Upstream
from gateway.upstream.steps import Stepwise

if TYPE_CHECKING:
    from gateway.monitor.telemetry.methods import ByMethod

ACTIVE = "Requests that have begun and are not over, WebSockets included."


class Observed:
    """Everything that one process counts, remembers and reports. It outlives every configuration."""

    def __init__(self, owner: Owner, reports: list[Report], roles: Roles) -> None:
        """`reports` are what learns of each request; what is here is among them while it is wanted."""
        self.traffic = Traffic()
        self.monitor = owner.hold(MONITOR, Monitor(self.traffic, lambda: owner.all(Upstream), _group))
        self._reports = reports
        self._roles = roles
        self.metrics = Exposition()
        self._by_method: ByMethod | None = None  # where metrics are exported
        self._owner = owner
        self._lag = owner.hold(("loop lag",), LoopLag())  # which load shedding asks for by this name
        self._known = Known()
        self.alerts: AlertsOfGateway
        self.beside: dict[str, Callable[[], Any]] = {}  # what `/health` of the admin port says, by its key there

    async def start(self, loop_watch: LoopWatch) -> None:
        """Begin to measure the loop."""
        loop_watch.start()
        await self._lag.start()

    def plan(self, snapshot: Snapshot, plan: Plan) -> None:
        """Changes for a new configuration, applied once it will be served. Raises ConfigError."""
        self.alerts.check(snapshot)
        plan.after_adoption(partial(self._follow, snapshot.known))
        by_method = plan_metrics(snapshot.configuration, plan, self.metrics.families)
        context = Context(snapshot.configuration, plan, self._roles)
        link = redis_link(context) if snapshot.configuration.middleware.redis is not None else None
        plan.after_adoption(partial(self._watch, snapshot, by_method, link, bus := bus_of(context)))
        self.alerts.plan(snapshot, plan, link, bus, exported=by_method is not None)

    def _watch(self, snapshot: Snapshot, by_method: ByMethod | None, link: RedisLink | None, bus: Bus) -> None:
        middleware = snapshot.configuration.middleware
        enabled = middleware.monitor.enabled
        self._count(self.traffic.report, enabled=enabled)
        former, self._by_method = self._by_method, by_method
        if former is not None and former is not by_method:
            self._count(former.report, enabled=False)
        if by_method is not None:
            self._count(by_method.report, enabled=enabled)
            Stepwise(by_method.keep(snapshot.known.leads)).begin(len(by_method))
        self.monitor.send = bus.publish
        state_directory = snapshot.configuration.base / middleware.state_directory
        self.monitor.configure(state_directory, link, enabled=enabled and "monitor" in self._roles)

    def _count(self, count: Report, *, enabled: bool) -> None:
        if enabled and count not in self._reports:
            self._reports.append(count)
        elif not enabled:
            self._reports[:] = [report for report in self._reports if report != count]

    def _follow(self, known: Known) -> None:
        """Drop counts of routes, targets and callers that are not in this configuration."""
        self._known = known
        for traffic in (self.traffic, self.monitor.heard.traffic):
            traffic.keep_rules(known.has_rule)
            ending = traffic.configure(known.leads, known.tenants, known.consumers)
            Stepwise(ending).begin(len(traffic.flows) + len(traffic.consumers))
        for models in self._owner.all(ModelTraffic):
            models.keep(known)

    def include(self, gateway: Gateway, loop_watch: LoopWatch, managed: ManagedGateway, sending: AlertSending) -> None:
        """Add all live objects to the metrics and the alerts."""
        self.alerts = AlertsOfGateway(gateway.reloader, self.monitor, self._reports, sending)
        owner, reloader, add = self._owner, gateway.reloader, self.metrics.add_source
        self.beside = reloader.beside
        owner.hold(("event_loop",), LoopTroubles(loop_watch))
        add(owner.hold(CONTROL_PLANE, managed).metrics)
        add(partial(traffic_metrics, self.traffic))
        add(lambda: model_metrics(owner.all(ModelTraffic)))
        add(partial(_active, gateway))
        add(lambda: upstream_metrics(owner.all(Upstream)))
        add(partial(resilience_metrics, owner))
        add(lambda: discovery_metrics(owner.all(Discovery)))
        add(lambda: issuer_metrics(owner.all(FetchedKeys)))
        add(partial(heard_metrics, self.monitor.heard))
        add(lambda: (family for each in owner.all(AgentStandings) for family in each.metrics()))
        add(lambda: bus_metrics([*owner.all(MemoryBus), *owner.all(RedisBus)]))
        add(self._ends)
        add(self.alerts.metrics)
        add(partial(config_metrics, reloader))
        add(lambda: plain(reloader.measures() | owner.measures() | loop_watch.measures()))
        add(build_metrics)
        add(process_metrics)

    def _ends(self) -> Iterator[Family]:
        return self._known.metrics()


def _group(endpoint: Counted) -> Hashable:
    """The key of peers among endpoints: those of another zone may well take longer."""
    return (endpoint.member.zone, endpoint.member.priority) if isinstance(endpoint, Endpoint) else None


def _active(gateway: Gateway) -> Iterator[Family]:
    yield gauge("http_server_active_requests", ACTIVE, {(): gateway.active})
