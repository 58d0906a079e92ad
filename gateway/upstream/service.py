"""One service, live: its endpoints, and which of them is next. It outlives a reload."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.algorithms import priorities
from gateway.algorithms.outlier_detection import OutlierSettings
from gateway.algorithms.percentiles import Sketch
from gateway.http.messages import Exchange
from gateway.upstream.affinity import Affinity
from gateway.upstream.balancer import Balancer
from gateway.upstream.ejection import Ejection
from gateway.upstream.endpoint import Endpoint, EndpointCounts, Said
from gateway.upstream.health import FOREVER, Signal
from gateway.upstream.levels import Level, Rules, levels_in_steps
from gateway.upstream.member import Address, Member, add_members
from gateway.upstream.pool import PoolLimits
from gateway.upstream.remembered import Remembered
from gateway.upstream.steps import Stepwise, done, in_steps
from gateway.upstream.sticky import StickyCookie
from gateway.upstream.tls import EndpointTls, TlsSettings
from gateway.upstream.transport import Connector

logger = logging.getLogger("gateway.upstream")

HANGING: Final = frozenset({Signal.PROBE, Signal.OUTLIERS, Signal.HEARTBEAT})
"""The signals by which an endpoint may not answer what it was asked already."""

TRIES: Final = 8  # picks among endpoints of which some may have left, before the rest is not waited for

Endpoints = dict[Address, Endpoint]
Change = tuple[Endpoint, Member]
Heard = tuple[Endpoint, Said]


class Follower(Protocol):
    """Learns when the set of endpoints has changed."""

    def follow(self, changed: Sequence[Endpoint]) -> None:
        """These have joined the service, or left it. Must not take long."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a service, beside its identity. A reload may change all of it."""

    balancing: Callable[[], Balancer]  # makes the balancer; kept while this is equal
    limits: PoolLimits = field(default_factory=PoolLimits)
    rules: Rules = field(default_factory=Rules)
    outliers: OutlierSettings | None = None  # None: what becomes of requests has no consequences
    sticky: StickyCookie | None = None
    tls: TlsSettings | None = None  # None: endpoints are spoken to in plain text, as long as the service lives


class Upstream:
    """The endpoints of one service, their health, and the balancers that choose among them.

    The set of endpoints is replaced as a whole, by the source of the service, on the event loop. An endpoint is known
    by its address: while that is in the set, it keeps its counters and its connections. What is wrong with it is
    remembered for a while after it left. Times are those of time.perf_counter().
    """

    __slots__ = (
        "_balancers",
        "_by_address",
        "_leaving",
        "_offered_until",
        "_offering",
        "_only",
        "_order",
        "_remembered",
        "_replacements",
        "_shared",
        "_tls",
        "affinity",
        "configured_at",
        "connector",
        "durations",
        "ejection",
        "endpoints",
        "file",
        "followers",
        "host_name",
        "left",
        "levels",
        "members",
        "name",
        "replaced",
        "said",
        "settings",
    )

    def __init__(
        self,
        name: str,
        connector: Connector,
        settings: Settings,
        members: Sequence[Member] = (),
        host_name: str | None = None,
        file: str = "routes.yaml",
        tls: EndpointTls | None = None,
    ) -> None:
        """`host_name`: what all endpoints are asked for; None: each by its address. `file`: that names it.
        `tls`: what its connections need of it, which others may share."""
        self.name = name
        self.configured_at = time.perf_counter()  # when the configuration last said something else of it
        self.file = file
        self.settings = settings
        self.affinity: Affinity | None = None  # where clients stay with their endpoints
        self.members: tuple[Member, ...] = ()
        self.endpoints: tuple[Endpoint, ...] = ()
        self.connector = connector
        self.host_name = host_name
        self._tls = tls
        self._by_address: Endpoints = {}
        self._leaving: Endpoints = {}  # not in the set any more, with requests in flight or not retired
        self._replacements = 0  # begun so far
        self.left = EndpointCounts()  # what endpoints have counted that are not here any more
        self.durations = Sketch()  # of all attempts, those at endpoints that left included; see `Endpoint.durations`
        self.replaced = 0  # times that the set, or what is said of an endpoint, became another
        self.said = 0  # times that a signal changed its mind about an endpoint
        self._remembered = Remembered()
        self.levels: list[Level] = []  # as the balancers know them
        self._balancers: dict[int, Balancer] = {}  # by priority, the most preferred first
        self._order: list[Balancer] = []  # the same
        self._only: Endpoint | None = None  # where there is nothing to choose
        self._shared = False  # whether several priorities take part of the requests
        self._offered_until = 0.0  # from then on, the balancers have to learn what there is to choose from
        self._offering = done()  # has them learn it
        self.ejection = Ejection(self)  # of outliers
        self.followers: list[Follower] = []
        self.ejection.configure(settings.outliers)
        self.replace(members)
        self._bind()
        self._offer(self.configured_at)  # here, where it is made, and not on the way of the first request
        self._offering.finish()

    def configure(self, settings: Settings, tls: EndpointTls | None = None) -> None:
        """Take what a new configuration says. `tls`: its TLS, where that is another one than before."""
        self.configured_at = time.perf_counter()
        if tls is not None:
            self._tls = tls
            for endpoint in (*self.endpoints, *self._leaving.values()):
                endpoint.renew(tls, settings.tls.server_name if settings.tls else None)
        if settings.balancing != self.settings.balancing:
            self._balancers = {}
        self._offering.over = True
        self.settings = settings
        self._bind()
        for endpoint in self.endpoints:
            endpoint.configure(settings.limits)
        self.ejection.configure(settings.outliers)
        self._offered_until = 0.0

    def _bind(self) -> None:
        cookie = self.settings.sticky
        if cookie is None:
            self.affinity = None
        elif self.affinity is None or self.affinity.cookie != cookie:
            self.affinity = Affinity(self.name, cookie)

    def replace(self, members: Sequence[Member]) -> None:
        """Make these the endpoints of the service. Where an address is listed twice, the weights add up.

        What goes takes no new requests, finishes those that it has, and keeps no connection.
        """
        for _ in self.replacing(members):
            pass

    def replacing(self, members: Sequence[Member]) -> Iterator[None]:
        """The same in steps, between which requests may be served: thousands of endpoints take some milliseconds. A
        replacement that is begun later takes the place of one that is under way."""
        self._replacements += 1
        replacement, now = self._replacements, time.perf_counter()
        merged: dict[Address, Member] = {}
        for some in in_steps(members):
            add_members(merged, some)
            yield
        endpoints: Endpoints = {}
        joined: list[Endpoint] = []
        changed: list[Change] = []
        for some in in_steps(list(merged.values())):
            if self._replacements != replacement:
                return
            for member in some:
                endpoint = self._by_address.get(member.address)
                if endpoint is None:
                    endpoint = self._leaving.get(member.address) or self._endpoint(member, now)
                    joined.append(endpoint)
                if endpoint.retired or (endpoint.member is not member and endpoint.member != member):
                    changed.append((endpoint, member))  # with all others, or never
                endpoints[member.address] = endpoint
            yield
        gone: Endpoints = {}
        for left in in_steps(self.endpoints):
            gone.update([(each.address, each) for each in left if each.address not in endpoints])
            yield
        if self._replacements == replacement:
            self.members = tuple(members)
            if changed or joined or gone:
                self._install(endpoints, joined, changed, gone, now)

    def _install(
        self, endpoints: Endpoints, joined: list[Endpoint], changed: Sequence[Change], gone: Endpoints, now: float
    ) -> None:
        """Use these from now on. The steps below run to their end even if the caller is cancelled."""
        self.endpoints, self._by_address = tuple(endpoints.values()), endpoints
        self.replaced += 1
        heard: list[Heard] = []
        for endpoint, member in changed:
            if endpoint.retired:  # it was on its way out
                endpoint.configure(self.settings.limits)
                endpoint.judge = self.ejection
            for said in endpoint.take_over(member, now):
                heard.append((endpoint, said))
        # Those whose connections are not closed yet have their judge still.
        leaving: Endpoints = {}
        for address, each in self._leaving.items():
            if self.has(each):
                continue
            if each.in_flight or each.judge is not None:
                leaving[address] = each
            else:
                self.left += each.let_go()
        self._leaving, left = leaving | gone, [*gone.values()]
        for endpoint in left:
            endpoint.retired = True
        self._offered_until = 0.0
        for follower in self.followers:
            follower.follow(joined + left)
        Stepwise(self._follow_up(heard, left, now)).begin(len(heard) + len(left))

    def _follow_up(self, heard: Sequence[Heard], gone: Sequence[Endpoint], now: float) -> Iterator[None]:
        for some in in_steps(heard):
            for endpoint, (signal, up, reason) in some:
                self._heed(endpoint, signal, up, reason)
            yield
        for left in in_steps(gone):
            for endpoint in left:
                if not self.has(endpoint):  # it may have come back
                    endpoint.retire()
                    self._remembered.keep(endpoint, now)
                    if not endpoint.in_flight and self._leaving.get(endpoint.address) is endpoint:
                        del self._leaving[endpoint.address]
                        self.left += endpoint.let_go()
            yield

    @property
    def leaving(self) -> tuple[Endpoint, ...]:
        """Those that are not in the set any more, and may still have requests."""
        return tuple(each for each in self._leaving.values() if not self.has(each))

    def had(self) -> EndpointCounts:
        """The totals of all its endpoints, including removed ones; they never decrease."""
        counts = self.left
        for endpoint in (*self.endpoints, *self.leaving):
            counts += endpoint.counts()
        return counts

    def has(self, endpoint: Endpoint) -> bool:
        """Whether it is in the set."""
        return self._by_address.get(endpoint.address) is endpoint

    def retire(self) -> None:
        """No route leads here any more: finish what is in flight, keep nothing."""
        for endpoint in self.endpoints:
            endpoint.retire()
        self.ejection.retire()

    def _endpoint(self, member: Member, now: float) -> Endpoint:
        settings, tls = self.settings, self._tls
        server_name = settings.tls.server_name if settings.tls else None
        made = Endpoint(member, self.connector, settings.limits, tls, server_name, self.host_name)
        self._remembered.recall(made, now)
        made.judge = self.ejection
        made.service_durations = self.durations
        made.take_over(member, now)
        return made

    # What is wrong with them.

    def report(
        self, endpoint: Endpoint, signal: Signal, *, up: bool, reason: str, now: float, until: float = FOREVER
    ) -> bool:
        """A signal says that an endpoint is up or down. Answers whether it says something else than before."""
        changed = endpoint.health.report(signal, up=up, reason=reason, now=now, until=until)
        self._offered_until = 0.0 if changed else min(self._offered_until, until)
        if changed:
            self.said += 1
            self._heed(endpoint, signal, up, reason)
        return changed

    def _heed(self, endpoint: Endpoint, signal: Signal, up: bool, reason: str) -> None:
        level, state = (logging.INFO, "up") if up else (logging.WARNING, "down")
        logger.log(level, "%s: %s is %s (%s): %s", self.name, endpoint.label, state, signal.value, reason)
        if not up and signal in HANGING:
            self.move_waiting(endpoint)

    def move_waiting(self, endpoint: Endpoint, seconds: float = 0.0) -> None:
        """Retry requests that have waited for a hanging endpoint for so long elsewhere, if that is safe."""
        if endpoint.in_flight and any(not each.out for each in self.endpoints if each is not endpoint):
            endpoint.abandon(time.perf_counter() - seconds)

    def forget(self, endpoint: Endpoint, signal: Signal) -> None:
        """A signal says nothing of an endpoint any more."""
        endpoint.health.forget(signal)
        self.said += 1
        self._offered_until = 0.0

    # Which one is next.

    def pick(self, exchange: Exchange, now: float, excluded: Collection[Endpoint]) -> Endpoint | None:
        """The endpoint to try next, or None where none is left."""
        if now >= self.ejection.due:
            self.ejection.look(now)
        if now >= self._offered_until:
            self._offer(now)
        only = self._only
        if only is not None and not excluded and not only.retired:
            return only
        if self.affinity is not None:
            bound = self.affinity.bound(exchange)
            if bound is not None and not bound.out and not bound.retired and bound not in excluded:
                return bound
        order = self._order
        if self._shared and order:
            loads = [level.load for level in self.levels]
            picked = order[priorities.drawn(loads, order[0].draw(exchange))].pick(exchange, now, excluded)
            if picked is not None and (self._offering.over or not picked.retired):
                return picked
        for balancer in order:
            picked = balancer.pick(exchange, now, excluded)
            if picked is not None and (self._offering.over or not picked.retired):
                return picked
        if not self._offering.over:
            return self._pick_meanwhile(exchange, now, excluded)
        return self._last_resort(excluded) if excluded else None

    def _pick_meanwhile(self, exchange: Exchange, now: float, excluded: Collection[Endpoint]) -> Endpoint | None:
        """While the balancers learn what there is: one that has not left, of those that they know."""
        left = set(excluded)
        for _ in range(TRIES):
            for balancer in self._order:
                picked = balancer.pick(exchange, now, left)
                if picked is not None:
                    if not picked.retired:
                        return picked
                    left.add(picked)  # a hash would pick it again
        left.update(each for level in self.levels for each, _ in level.weighted if each.retired)
        for balancer in self._order:  # in whose order many that have left may follow each other
            picked = balancer.pick(exchange, now, left)
            if picked is not None:
                return picked
        self._offering.finish()  # all have left, or it is the first set
        return self.pick(exchange, now, excluded)

    def _last_resort(self, excluded: Collection[Endpoint]) -> Endpoint | None:
        """Where all that are up have failed one request: one that is out for what became of requests, if there is."""
        for endpoint in self.endpoints:
            if endpoint.health.record.ejected and endpoint.member.weight > 0 and endpoint not in excluded:
                return endpoint
        return None

    def chosen_from(self, now: float) -> list[tuple[Level, Balancer]]:
        """The current candidates and balancer of each priority; the most preferred first."""
        if now >= self._offered_until:
            self._offer(now)
        return list(zip(self.levels, self._order, strict=True))

    def _offer(self, now: float) -> None:
        """Say to the balancers what there is to choose from, for as long as that is true. Of many endpoints, that takes
        several turns of the loop, in which the balancers go by what they knew."""
        if not self._offering.over:  # another one follows it
            return
        self._offering = Stepwise(self._offer_in_steps(now))
        self._offering.begin(len(self.endpoints))

    def _offer_in_steps(self, now: float) -> Iterator[None]:
        self._offered_until = FOREVER
        endpoints, affinity, make, known = self.endpoints, self.affinity, self.settings.balancing, self._balancers
        found, until = yield from levels_in_steps(endpoints, self.settings.rules, now)
        balancers = {level.priority: known.get(level.priority) or make() for level in found}
        for level, balancer in zip(found, balancers.values(), strict=True):
            yield from balancer.replacing(level.weighted)
        if affinity is not None:
            yield from affinity.offer(endpoints)
        self.levels, self._balancers, self._order = found, balancers, list(balancers.values())
        sole = found[0].weighted if len(found) == 1 else ()
        self._only = sole[0][0] if len(sole) == 1 and affinity is None else None
        self._shared = any(0 < level.load.percent < 100 for level in found)
        self._offered_until = min(self._offered_until, until)
