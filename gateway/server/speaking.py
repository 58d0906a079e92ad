"""Publications and subscriptions of this process's roles on the bus, and which roles it may have."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.bus.configured import PLACE, bus_identity, bus_of
from gateway.config.models.agents import Agents
from gateway.config.problems import ConfigError, Problem
from gateway.context import Context
from gateway.events import ApiAlert, HealthFeedback, RequestReport, ServiceRegistry
from gateway.http import Report
from gateway.live import Owner, Plan
from gateway.monitor.agents import AgentStandings
from gateway.monitor.over_bus import CredentialListener, RouterListener
from gateway.registry.discovery import Discovery
from gateway.registry.feedback import FeedbackListener
from gateway.roles import ALL, Roles, named
from gateway.server.observed import Observed
from gateway.snapshot import Snapshot
from gateway.upstream.service import Upstream

if TYPE_CHECKING:  # what a bus between processes and a bridge need is imported for those who have one: see parts.py
    from gateway.monitor.publishing import AccessPublisher
    from gateway.server.agent_reports import RequestReporter

logger = logging.getLogger("gateway.roles")

T = TypeVar("T")

SENT: Final = (ServiceRegistry, RequestReport, HealthFeedback, ApiAlert)
"""Messages to the bridge to an agent network."""


class Speaking:
    """`refusal` says why the process must not start with these roles, if so."""

    def __init__(self, roles: Roles, owner: Owner, observed: Observed, reports: list[Report]) -> None:
        """`reports` are what learns of each request."""
        self.refusal: str | None = None
        self._roles = roles
        self._owner = owner
        self._observed = observed
        self._reports = reports
        self._publisher: AccessPublisher | None = None  # of each request
        self._reporter: RequestReporter | None = None  # the same, for the bridge to an agent network
        owner.hold(("roles",), self)
        if roles != ALL:
            logger.info("the roles of this process are %s", named(roles))
        for trouble in self.troubles():
            logger.warning("%s", trouble)

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if "router" in self._roles and "auth" not in self._roles:
            yield (
                "this process has the role router without auth: it enforces auth.yaml all the same, because every "
                f"router decides about its own requests; say --roles {named(self._roles | {'auth'})}"
            )

    def check(self, snapshot: Snapshot) -> None:
        """Raises ConfigError where a configuration has no bus by which these roles could reach the others."""
        self.refusal = None
        if self._roles != ALL and snapshot.configuration.middleware.bus == "memory":
            self.refusal = (
                f"the roles of this process are {named(self._roles)}, and the others cannot be reached; add bus: redis "
                "and redis: {url: ...} to middleware.yaml, or start it without --roles"
            )
            line, column = snapshot.configuration.locate(*PLACE)
            raise ConfigError([Problem("middleware.yaml", line, column, "bus", self.refusal)])

    def plan(self, snapshot: Snapshot, plan: Plan) -> None:
        """Plan the publishers and subscribers."""
        context = Context(snapshot.configuration, plan, self._roles)
        if "discovery" in self._roles:
            self._plan_discovery(context)
        publisher = self._plan_others(context) if context.configuration.middleware.bus == "redis" else None
        plan.after_adoption(partial(self._use, publisher))
        agents, reporter, standings = context.configuration.middleware.agents, None, None
        if agents is not None:
            standings = _need(context, "bridges", lambda: AgentStandings(bus_of(context)))
            reporter = self._plan_bridge(context, agents)
        plan.after_adoption(partial(self._report_to, reporter))
        plan.after_adoption(partial(self._show, standings))

    def _plan_others(self, context: Context) -> AccessPublisher | None:
        """Plan the messages to and from other processes. Answers what says each request to them."""
        from gateway.monitor.publishing import AccessPublisher, TrafficPublisher  # noqa: PLC0415

        heard = self._observed.monitor.heard
        if "auth" in self._roles:
            _need(context, "what routers are shown", lambda: CredentialListener(bus_of(context), heard))
        if "monitor" in self._roles:
            _need(context, "what routers say", lambda: RouterListener(bus_of(context), heard))
        elif "router" in self._roles and context.configuration.middleware.monitor.enabled:
            traffic, upstreams = self._observed.traffic, partial(self._owner.all, Upstream)
            auth = "auth" in self._roles
            _need(context, "traffic counts", lambda: TrafficPublisher(bus_of(context), traffic, upstreams))
            return _need(context, "requests one by one", lambda: AccessPublisher(bus_of(context), auth=auth))
        return None

    def _plan_bridge(self, context: Context, agents: Agents) -> RequestReporter | None:
        """Plan the messages to the bridge to an agent network. Answers what says each request to it."""
        from gateway.bus.outbox import Outbox  # noqa: PLC0415
        from gateway.server.agent_reports import Places, RequestReporter  # noqa: PLC0415

        configuration, reporter = context.configuration, None
        if "router" in self._roles:
            reporter = _need(context, "requests for the bridge", lambda: RequestReporter(bus_of(context)))
            places, in_clear = Places.of(configuration.auth), agents.send_credentials
            context.plan.after_adoption(partial(reporter.configure, places, send_credentials=in_clear))
        if configuration.middleware.bus == "memory":
            _need(context, "messages to the bridge", lambda: Outbox(bus_of(context), SENT))
        return reporter

    def _show(self, standings: AgentStandings | None) -> None:
        """Add them to `/health`."""
        if standings is None:
            self._observed.beside.pop("agents", None)
        else:
            self._observed.beside["agents"] = standings.summary

    def _report_to(self, reporter: RequestReporter | None) -> None:
        former, self._reporter = self._reporter, reporter
        if former is not None and former is not reporter:
            self._reports.remove(former.report)
        if reporter is not None and former is not reporter:
            self._reports.append(reporter.report)

    def _plan_discovery(self, context: Context) -> None:
        upstreams, discoveries = partial(self._owner.all, Upstream), partial(self._owner.all, Discovery)
        listener = _need(context, "feedback", lambda: FeedbackListener(bus_of(context), upstreams))
        agents = context.configuration.middleware.agents
        context.plan.after_adoption(partial(listener.heed_agents, 1 if agents is None else agents.min_endpoints))
        if context.configuration.middleware.bus == "redis" or agents is not None:
            from gateway.registry.publishing import RegistryPublisher  # noqa: PLC0415

            make = partial(RegistryPublisher, upstreams=upstreams, discoveries=discoveries)
            publisher = _need(context, "publishing services", lambda: make(bus_of(context)))
            context.plan.after_adoption(publisher.follow)

    def _use(self, publisher: AccessPublisher | None) -> None:
        """Report each request to this from now on."""
        former, self._publisher = self._publisher, publisher
        if former is not None and former is not publisher:
            self._reports.remove(former.report)
        if publisher is not None and former is not publisher:
            self._reports.append(publisher.report)


def _need(context: Context, name: str, make: Callable[[], T]) -> T:
    """Live objects that depend on the bus."""
    return context.plan.need((name, bus_identity(context)), make, PLACE)
