"""Services as an agent of an agent network publishes them: the bridge (`agents/`) brings what counts, over the bus.

Whom to believe is decided by the bridge. While nothing comes, the last set stays, and is stale after a while.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from gateway.bus.bus import Bus, Received, Subscription
from gateway.bus.configured import PLACE, bus_identity, bus_of
from gateway.config.problems import suggest
from gateway.context import Context
from gateway.events import AgentRegistry
from gateway.live import Tasks
from gateway.registry.instances import parse_instance
from gateway.registry.parsing import parsed
from gateway.registry.source import Instances, Sink, one_line
from gateway.upstream.member import Member

LOOK_SECONDS: Final = 1.0
INSTANCE_BYTES: Final = 100  # about what one takes, as it is written
STALE_SECONDS: Final = 75.0  # agents say it again every half a minute
MOST_KEPT: Final = 1000  # services that are remembered, for sources that come later
MOST_INSTANCES: Final = 100_000  # of all of them


class AgentRegistries:
    """What agents have said of all services. It outlives reloads."""

    def __init__(self, bus: Bus) -> None:
        self.tasks = Tasks()
        self._bus = bus
        self._subscription: Subscription | None = None
        self._said: dict[str, tuple[AgentRegistry, float]] = {}
        self._sources: dict[str, list[AgentsSource]] = {}

    async def start(self) -> None:
        """Begin to listen."""
        self._subscription = self._bus.subscribe(AgentRegistry, self._take)

    async def stop(self) -> None:
        """Listen no more."""
        if self._subscription is not None:
            self._subscription.end()

    async def join(self, source: AgentsSource) -> None:
        """Pass it the current state, and changes."""
        self._sources.setdefault(source.key, []).append(source)
        if source.key in self._said:
            await source.take(*self._said[source.key])

    def leave(self, source: AgentsSource) -> None:
        """Stop passing it changes."""
        self._sources[source.key].remove(source)
        if not self._sources[source.key]:
            del self._sources[source.key]

    def services(self, prefix: str) -> list[str]:
        """What agents of a prefix have published."""
        return [said.service for said, _ in self._said.values() if said.prefix == prefix]

    @property
    def known(self) -> int:
        """How many services of all agents."""
        return len(self._said)

    async def _take(self, message: AgentRegistry, received: Received) -> None:
        key = f"{message.prefix}/{message.service}"
        heard = time.perf_counter() - received.age - message.age
        others = sum(len(said.instances) for name, (said, _) in self._said.items() if name != key)
        if len(self._said.keys() | {key}) <= MOST_KEPT and others + len(message.instances) <= MOST_INSTANCES:
            self._said[key] = message, heard
        else:
            self._said.pop(key, None)
        for source in list(self._sources.get(key, ())):
            await source.take(message, heard)


class AgentsSource:
    """The instances of one service. See `Source`."""

    def __init__(self, registries: AgentRegistries, prefix: str, service: str, stale_after: float) -> None:
        self.key = f"{prefix}/{service}"
        self.place = f"the agent {prefix}-discovery"
        self._prefix = prefix
        self._registries = registries
        self._service = service
        self._stale_after = stale_after
        self._sink: Sink | None = None
        self._heard: float | None = None
        self._lost: str | int | None = None  # what the last complaint went by: "stale", or how many services were known

    async def watch(self, sink: Sink) -> None:
        """See `Source`. It goes on by itself, whatever it misses."""
        self._sink = sink
        await self._registries.join(self)
        try:
            while True:
                self._look(sink)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._registries.leave(self)

    async def take(self, message: AgentRegistry, heard: float) -> None:
        """These are all instances. `heard`: time.perf_counter()."""
        sink = self._sink
        if sink is None:
            return
        members, wrong = await parsed(
            "agents", lambda: _members(message.instances), INSTANCE_BYTES * len(message.instances)
        )
        for each in wrong:
            sink.fault(each)
        self._heard, self._lost = heard, None
        sink.deliver(Instances(members, "", heard, wrong))
        self._look(sink)

    def _look(self, sink: Sink) -> None:
        """Mark the set as stale if it is."""
        if self._heard is not None and time.perf_counter() - self._heard < self._stale_after:
            return
        lost = "stale" if self._heard is not None else self._registries.known
        if lost != self._lost:
            self._lost = lost
            sink.failing(self._stale() if self._heard is not None else self._never())

    def _stale(self) -> str:
        return (
            f"no service-registry of {self._service} for {self._stale_after:g} s; who publishes it says it again more "
            "often; see gateway agents status"
        )

    def _never(self) -> str:
        none = f"no service-registry of {self._service} has come"
        others = self._registries.services(self._prefix)
        if not others:
            return f"{none}; start the agent, and the bridge of the router"
        meant = suggest(self._service, others)
        said = f"did you mean {meant}?" if meant else f"it publishes {', '.join(sorted(others)[:3])}."
        return one_line(
            f"{none}, and the agent is heard: {said} This gateway does not publish {self._service}, as it looks for it "
            "here; another one does, or pilotctl publish"
        )


def _members(instances: tuple[dict[str, Any], ...]) -> tuple[tuple[Member, ...], list[str]]:
    members: dict[Any, Member] = {}
    wrong: list[str] = []
    for instance in instances:
        try:
            member = parse_instance(instance)
            members.setdefault(member.address, member)
        except (ValueError, TypeError) as error:
            wrong.append(one_line(f"the instance {instance!r:.100} is left out: {error}"))
    return tuple(members.values()), wrong


def agent_registries(context: Context) -> AgentRegistries:
    """The same for all services."""
    key = ("registries of agents", bus_identity(context))
    return context.plan.need(key, lambda: AgentRegistries(bus_of(context)), PLACE)


def stale_after(context: Context) -> float:
    """After how many seconds what an agent has said is stale."""
    agents = context.configuration.middleware.agents
    return STALE_SECONDS if agents is None else agents.stale_after
