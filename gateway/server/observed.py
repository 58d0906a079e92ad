"""All that learns from requests and tells of the gateway, put together."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache, partial

from gateway.auth.metrics import FetchedKeys, issuer_metrics
from gateway.build import Snapshot
from gateway.bus.bus import Bus
from gateway.bus.configured import bus_of
from gateway.config.models import RouteConfig
from gateway.context import Context
from gateway.http import Report
from gateway.limits.quota_report import PATH as QUOTA_PATH
from gateway.live import Owner, Plan
from gateway.monitor.endpoint_metrics import endpoint_metrics
from gateway.monitor.metrics import Metrics, plain
from gateway.monitor.readings import Counted
from gateway.monitor.recent_requests import RecentRequests
from gateway.monitor.resilience_metrics import resilience_metrics
from gateway.monitor.traffic import NONE, Traffic, upstream_name
from gateway.monitor.watch import SERVICE as MONITOR
from gateway.monitor.watch import Monitor
from gateway.outside.redis_link import RedisLink, redis_link
from gateway.registry.discovery import Discovery
from gateway.registry.metrics import discovery_metrics
from gateway.reload import Reloader
from gateway.roles import Roles
from gateway.server.loop_watch import LoopTroubles, LoopWatch
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.service import Upstream
from gateway.upstream.steps import Stepwise


class Observed:
    """What one process counts, remembers and tells. It outlives every configuration."""

    def __init__(self, owner: Owner, reports: list[Report], roles: Roles) -> None:
        """`reports` are what learns of each request; what is here is among them while it is wanted."""
        self.traffic = Traffic()
        self.monitor = owner.hold(MONITOR, Monitor(self.traffic, lambda: owner.all(Upstream), _group))
        self._reports = reports
        self._roles = roles
        self.recent = RecentRequests()
        self.metrics = Metrics(self.traffic)

    def plan(self, snapshot: Snapshot, plan: Plan) -> None:
        """What changes with a new configuration, once it is sure that it will be served."""
        plan.after_adoption(partial(follow, self.traffic, snapshot))
        context = Context(snapshot.configuration, plan, self._roles)
        link = redis_link(context) if snapshot.configuration.middleware.redis is not None else None
        plan.after_adoption(partial(self._watch, snapshot, link, bus_of(context)))

    def _watch(self, snapshot: Snapshot, link: RedisLink | None, bus: Bus) -> None:
        middleware = snapshot.configuration.middleware
        enabled, count = middleware.monitor.enabled, self.traffic.report
        if enabled and count not in self._reports:
            self._reports.append(count)
        elif not enabled:
            self._reports[:] = [report for report in self._reports if report != count]
        self.monitor.send = bus.publish
        state_directory = snapshot.configuration.base / middleware.state_directory
        self.monitor.configure(state_directory, link, enabled=enabled and "monitor" in self._roles)

    def add_sources(self, reloader: Reloader, loop_watch: LoopWatch) -> None:
        """Have the metrics tell of all that lives."""
        owner, metrics = reloader.owner, self.metrics
        owner.hold(("event_loop",), LoopTroubles(loop_watch))
        metrics.add_source(lambda: [*discovery_metrics(owner.all(Discovery)), *endpoint_metrics(owner.all(Upstream))])
        metrics.add_source(lambda: plain(reloader.measures() | owner.measures() | loop_watch.measures()))
        metrics.add_source(partial(resilience_metrics, owner))
        metrics.add_source(lambda: issuer_metrics(owner.all(FetchedKeys)))


def _group(endpoint: Counted) -> Hashable:
    """What makes endpoints peers: those of another zone may well take longer."""
    return (endpoint.member.zone, endpoint.member.priority) if isinstance(endpoint, Endpoint) else None


def follow(traffic: Traffic, snapshot: Snapshot) -> None:
    """Let go what was counted of routes, ways and callers that this configuration has not."""
    consumers = snapshot.configuration.auth.consumers
    tenants = [consumer.tenant for consumer in consumers if consumer.tenant]
    ending = traffic.configure(_existing(snapshot), tenants, [consumer.name for consumer in consumers])
    Stepwise(ending).begin(len(traffic.flows))


def _existing(snapshot: Snapshot) -> Callable[[str, str], bool]:
    """Whether there is a route of this name, with a way to an upstream of that name."""
    routes = {handler.route.id: handler.route for handler in snapshot.handlers}
    named = lru_cache(maxsize=None)(upstream_name)

    def exists(route: str, upstream: str) -> bool:
        if upstream == NONE:
            return route in routes or route in (NONE, QUOTA_PATH)
        config = routes.get(route)
        return config is not None and any(named(target) == upstream for target in _targets(config))

    return exists


def _targets(route: RouteConfig) -> list[str]:
    """All that requests of a route may be sent to, but for copies of them."""
    targets = [route.target, *(entry.target for entry in route.split)]
    if route.fallback is not None and route.fallback.target is not None:
        targets.append(route.fallback.target)
    return targets
