"""What the roles of this process say and hear on the bus, and which roles it may have."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

from gateway.build import Snapshot
from gateway.bus.configured import PLACE, bus_identity, bus_of
from gateway.config.problems import ConfigError, Problem
from gateway.context import Context
from gateway.live import Owner, Plan
from gateway.registry.discovery import Discovery
from gateway.registry.feedback import FeedbackListener
from gateway.registry.publishing import RegistryPublisher
from gateway.roles import ALL, Roles, named
from gateway.upstream.service import Upstream

logger = logging.getLogger("gateway.roles")


class Speaking:
    """`refusal` says why the process must not start with these roles, if so."""

    def __init__(self, roles: Roles, owner: Owner) -> None:
        self.refusal: str | None = None
        self._roles = roles
        self._owner = owner
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
        """Have what speaks and listens live."""
        context, owner = Context(snapshot.configuration, plan, self._roles), self._owner
        identity, upstreams = bus_identity(context), partial(owner.all, Upstream)
        if "discovery" not in self._roles:
            return
        plan.need(("feedback", identity), lambda: FeedbackListener(bus_of(context), upstreams), PLACE)
        if identity is not None:
            discoveries = partial(owner.all, Discovery)
            publisher = plan.need(
                ("publishing", identity), lambda: RegistryPublisher(bus_of(context), upstreams, discoveries), PLACE
            )
            plan.after_adoption(publisher.follow)
