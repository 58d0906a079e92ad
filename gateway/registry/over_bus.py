"""Services as discovery publishes them on the bus: what this process knows of them where it is not discovery itself.

A message has all instances of a service, with what discovery's source, its health checks and the monitor say of each.
What only requests show (outliers, breakers) every router finds out itself. While nothing comes, the last set stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any, Final, Protocol

from gateway.bus.bus import Bus, Received, Subscription
from gateway.bus.configured import PLACE, bus_identity, bus_of
from gateway.config.models.health import Health
from gateway.context import Context
from gateway.events import ServiceRegistry
from gateway.live import Place, Tasks
from gateway.registry.instances import parse_instance
from gateway.registry.parsing import parsed
from gateway.registry.source import Instances, Sink, one_line
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import NOT_CHECKED, Signal
from gateway.upstream.member import Address, Member
from gateway.upstream.service import Upstream
from gateway.upstream.steps import STEP, Stepwise, in_steps

LOOK_SECONDS: Final = 1.0
JOIN_SECONDS: Final = 0.02  # in which new subscribers are answered together
SILENT_SECONDS: Final = 10.0  # without a sign of life of discovery, until what it said is stale
INSTANCE_BYTES: Final = 100  # about what one takes, as it is written
SAID: Final = {each.value: each for each in (Signal.PROBE, Signal.FEEDBACK, Signal.AGENTS)}
"""Health signals in messages; the source's own signal and heartbeats are part of an instance."""

Down = Mapping[Address, tuple[Signal, str]]
Read = tuple[Member, tuple[Signal, str] | None]
"""An instance, and what a signal says of it if that is down."""

Written = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A message, as it was understood."""

    members: Sequence[Member]
    down: Down  # what a signal says of those that are down, and why
    sender: str
    revision: str
    happened: float  # time.perf_counter()
    wrong: Sequence[str]  # instances that cannot be used
    read: Mapping[Written, Read]  # by how they are written


class Listener(Protocol):
    """Who wants to know of one service."""

    def take(self, said: Said) -> None:
        """This is all of it from now on."""
        ...

    def look(self, lost: str) -> None:
        """Once a second. `lost`: why nothing can come; empty where it can."""
        ...


class BusRegistry:
    """All services that others publish, as far as they are wanted here."""

    def __init__(self, bus: Bus) -> None:
        self.tasks = Tasks()
        self._bus = bus
        self._listeners: dict[str, list[Listener]] = {}
        self._said: dict[str, Said] = {}
        self._heard: dict[str, float] = {}  # when senders said something; time.perf_counter()
        self._wanted = asyncio.Event()  # there are services of which nothing was heard
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self.tasks.supervise("the registry of the bus", self._subscribe)
        self.tasks.supervise("the watch over discovery on the bus", self._watch)

    async def stop(self) -> None:
        """Listen no more."""
        await self.tasks.end()
        if self._subscription is not None:
            self._subscription.end()

    def join(self, service: str, listener: Listener) -> None:
        """Pass it the current state, and changes."""
        self._listeners.setdefault(service, []).append(listener)
        said = self._said.get(service)
        if said is None:
            self._wanted.set()
        else:
            listener.take(said)

    def leave(self, service: str, listener: Listener) -> None:
        """Stop passing it changes."""
        listeners = self._listeners.get(service, [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners:
            self._listeners.pop(service, None)
            self._said.pop(service, None)

    async def _subscribe(self) -> None:
        """Messages about services without a listener are not kept: they are requested again."""
        while True:
            await self._wanted.wait()
            await asyncio.sleep(JOIN_SECONDS)
            self._wanted.clear()
            if self._subscription is not None:
                self._subscription.end()
            self._subscription = self._bus.subscribe(ServiceRegistry, self._take)

    async def _take(self, message: ServiceRegistry, received: Received) -> None:
        if message.service not in self._listeners:
            return
        happened = time.perf_counter() - received.age
        former = self._said.get(message.service)
        read = partial(_read, message, received, happened, former.read if former is not None else {})
        said = await parsed("bus-registry", read, INSTANCE_BYTES * len(message.instances))
        if message.service in self._listeners:
            self._said[message.service] = said
            self._heard[said.sender] = happened
            for listener in list(self._listeners[message.service]):
                listener.take(said)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            silences: dict[str | None, str] = {}
            for number, (service, listeners) in enumerate(list(self._listeners.items())):
                said = self._said.get(service)
                sender = None if said is None else said.sender
                if sender not in silences:
                    silences[sender] = self._silence(sender)
                for listener in list(listeners):
                    listener.look(silences[sender])
                if number % STEP == 0:
                    await asyncio.sleep(0)
            self._heard = {sender: at for sender, at in self._heard.items() if sender in silences}

    def _silence(self, sender: str | None) -> str:
        """Why nothing can come; empty where it can."""
        if not self._bus.connected:
            return "Redis does not answer"
        if sender is None:
            return "no gateway with the role discovery has published it; start one"
        heard = time.perf_counter() - self._heard.get(sender, -inf)
        if min(heard, self._bus.silence(sender)) < SILENT_SECONDS:
            return ""
        return f"discovery ({sender}) is not heard of any more; start a gateway with that role"


class BusSource:
    """The instances of one service. See `Source`."""

    place: Final = "discovery (over the bus)"

    def __init__(self, registry: BusRegistry, service: str) -> None:
        self._registry = registry
        self._service = service
        self._sink: Sink | None = None
        self._lost = ""

    async def watch(self, sink: Sink) -> None:
        """See `Source`. It goes on by itself, whatever it misses."""
        self._sink = sink
        self._registry.join(self._service, self)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._registry.leave(self._service, self)

    def take(self, said: Said) -> None:
        """See `Listener`."""
        if self._sink is None:
            return
        for wrong in said.wrong:
            self._sink.fault(wrong)
        self._lost = ""
        self._sink.deliver(Instances(said.members, said.revision, said.happened))

    def look(self, lost: str) -> None:
        """See `Listener`."""
        if self._sink is None:
            return
        if not lost:
            self._sink.alive()
        elif lost != self._lost:
            self._sink.failing(lost)
        self._lost = lost


class BusHealth:
    """Results of discovery's health checks, and of monitors, for the endpoints of one service."""

    def __init__(self, registry: BusRegistry, upstream: Upstream, *, initially_up: bool, alone: bool = False) -> None:
        """`initially_up`: whether endpoints are asked of which nothing was said yet. `alone`: nothing else of the
        service comes over the bus, so that this says when nothing comes."""
        self._registry = registry
        self._upstream = upstream
        self._initially_up = initially_up
        self._alone = alone
        self._said: Said | None = None
        self._known: frozenset[Address] = frozenset()
        self._lost = ""
        self._heard_at = time.perf_counter()

    async def start(self) -> None:
        """Begin."""
        self._upstream.followers.append(self)
        self._registry.join(self._upstream.name, self)
        self.follow(self._upstream.endpoints)

    def retire(self) -> None:
        """Stop listening."""
        self._registry.leave(self._upstream.name, self)
        with contextlib.suppress(ValueError):
            self._upstream.followers.remove(self)
        Stepwise(self._forget()).begin(len(self._upstream.endpoints))

    def _forget(self) -> Iterator[None]:
        for some in in_steps(self._upstream.endpoints):
            for endpoint in some:
                for signal in SAID.values():
                    self._upstream.forget(endpoint, signal)
            yield

    def take(self, said: Said) -> None:
        """See `Listener`."""
        self._said = said
        self._known = frozenset(member.address for member in said.members)
        self.follow(self._upstream.endpoints)

    def look(self, lost: str) -> None:
        """See `Listener`. The last state stays valid: there is no better information."""
        self._lost = lost
        if not lost:
            self._heard_at = time.perf_counter()

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if self._alone and self._lost:
            age = time.perf_counter() - self._heard_at
            yield f"the health of the endpoints of {self._upstream.name} is that of {age:.0f} s ago: {self._lost}"

    def follow(self, changed: Sequence[Endpoint]) -> None:
        """See `Follower`."""
        Stepwise(self._follow(changed, time.perf_counter())).begin(len(changed))

    def _follow(self, changed: Sequence[Endpoint], now: float) -> Iterator[None]:
        for some in in_steps(changed):
            for endpoint in some:
                if self._upstream.has(endpoint):
                    down = self._said.down.get(endpoint.address) if self._said is not None else None
                    for signal in SAID.values():
                        verdict = endpoint.health.verdict(signal, now)
                        if down is not None and down[0] is signal:
                            self._upstream.report(endpoint, signal, up=False, reason=down[1], now=now)
                        elif verdict is not None and not verdict.up and endpoint.address in self._known:
                            self._upstream.report(endpoint, signal, up=True, reason="discovery says so", now=now)
                    if not self._initially_up and endpoint.address not in self._known:
                        self._upstream.report(endpoint, Signal.PROBE, up=False, reason=NOT_CHECKED, now=now)
            yield


def _read(message: ServiceRegistry, received: Received, happened: float, known: Mapping[Written, Read]) -> Said:
    """Most instances of a message are those of the former one (`known`), and reading them takes longest."""
    members: list[Member] = []
    down: dict[Address, tuple[Signal, str]] = {}
    wrong: list[str] = []
    read: dict[Written, Read] = {}
    for instance in message.instances:
        try:
            written = tuple(instance.items()) if isinstance(instance, dict) else ((instance, None),)
            member, signal = read[written] = known.get(written) or _instance(instance)
        except (ValueError, TypeError) as error:
            wrong.append(f"the instance {instance!r:.100} is left out: {error}")
            continue
        members.append(member)
        if signal is not None:
            down[member.address] = signal
    return Said(tuple(members), down, received.sender, received.id.rpartition(".")[2], happened, wrong, read)


def _instance(written: str | Mapping[str, Any]) -> Read:
    """Raises ValueError."""
    if isinstance(written, str):
        return parse_instance(written), None
    signal, reason = written.get("signal"), one_line(str(written.get("reason", "")))[:256]
    member = parse_instance({key: value for key, value in written.items() if key not in ("signal", "reason")})
    if member.up:
        return member, None
    if signal == Signal.HEARTBEAT.value:
        return replace(member, up=True, reason="", late=True), None
    if signal in SAID:
        return replace(member, up=True, reason=""), (SAID[signal], reason)
    return replace(member, reason=reason or member.reason), None


# From a configuration.


def bus_registry(context: Context) -> BusRegistry:
    """The same for all services."""
    key = ("registry over the bus", bus_identity(context))
    return context.plan.need(key, lambda: BusRegistry(bus_of(context)), PLACE)


def plan_remote_health(
    upstream: Upstream, config: Health | None, context: Context, at: Place, *, discovered: bool
) -> None:
    """Plan a subscription to health that another process determines, for a service with these health checks."""
    initially_up, alone = config is None or config.initial == "healthy", config is not None and not discovered
    make = partial(BusHealth, upstream=upstream, initially_up=initially_up, alone=alone)
    context.plan.need(("bus health", upstream, config, alone), lambda: make(bus_registry(context)), at)
