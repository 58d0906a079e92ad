"""The candidates of balancers: endpoints of each priority, their current weights, and the share of each priority."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from gateway.algorithms import priorities, slow_start, zones
from gateway.algorithms.priorities import Load
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import FOREVER
from gateway.upstream.member import Member
from gateway.upstream.steps import in_steps

T = TypeVar("T")

_STEPS: Final = 30  # in which slow start raises a weight, but not more often than every _SHORTEST_STEP
_SHORTEST_STEP: Final = 0.1
_PANIC_STEP: Final = 1.0  # seconds, after which it is looked again which can be reached
_LEAST: Final = 1e-6
"""The factor of weights in zones without a share: their endpoints are for retries."""


@dataclass(frozen=True, slots=True)
class Zones:
    """Where this gateway stands, and how its traffic is spread over the zones."""

    own: str
    gateways: Mapping[str, float] = field(default_factory=dict)  # in each zone; none: the same in each


@dataclass(frozen=True, slots=True)
class Rules:
    """How the endpoints of a service share its requests, whatever its balancer."""

    slow_start: float = 0.0  # seconds, in which one that is new or well again gets its whole share
    panic_below: float = priorities.PANIC_BELOW  # per cent of the endpoints of a level that must be up
    zones: Zones | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """The endpoints of one priority that may be chosen, with their weights."""

    priority: int
    load: Load
    weighted: Sequence[tuple[Endpoint, float]]


Steps = Generator[None, None, T]
"""Something that is computed in steps, between which requests may be served."""

Listed = tuple[Endpoint, Member]
"""An endpoint, and what its source said of it at first: a set that comes between two steps may say something else."""


def levels(endpoints: Sequence[Endpoint], rules: Rules, now: float) -> tuple[list[Level], float]:
    """The levels, the most preferred first, and until when they are true if no one says anything new.

    Endpoints of weight 0 take no part: no one new goes there.
    """
    steps = levels_in_steps(endpoints, rules, now)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def levels_in_steps(endpoints: Sequence[Endpoint], rules: Rules, now: float) -> Steps[tuple[list[Level], float]]:
    """The same in steps (see `steps.py`)."""
    members: dict[int, list[Listed]] = {}
    healthy: dict[int, list[Listed]] = {}
    until = FOREVER
    for some in in_steps(endpoints):
        for endpoint in some:
            out = endpoint.health.out(now) is not None
            if endpoint.out and not out:
                endpoint.started = now
            endpoint.out = out
            if out:
                until = min(until, endpoint.health.changes_at(now))
            member = endpoint.member
            if member.weight > 0:
                members.setdefault(member.priority, []).append((endpoint, member))
                if not out:
                    healthy.setdefault(member.priority, []).append((endpoint, member))
        yield
    numbers = sorted(members)
    counts = [priorities.Level(len(healthy.get(number, ())), len(members[number])) for number in numbers]
    found = []
    for number, load in zip(numbers, priorities.loads(counts, rules.panic_below), strict=True):
        usable = healthy.get(number, [])
        if load.panic:
            usable = yield from _usable_in_panic(members[number], now)
            until = min(until, now + _PANIC_STEP)
        weights = [float(member.weight) for _, member in usable]
        yield
        if rules.slow_start:
            until = min(until, (yield from _start_slowly(usable, weights, rules.slow_start, now)))
        if rules.zones is not None and not load.panic and len(usable) >= zones.FEWEST:
            yield from _share_by_zone(usable, weights, rules.zones)
        found.append(Level(number, load, [(pair[0], weight) for pair, weight in zip(usable, weights, strict=True)]))
        yield
    return found, until


def _usable_in_panic(listed: Sequence[Listed], now: float) -> Steps[list[Listed]]:
    """All but those that accept no connection, and relieve no other."""
    asked: list[Listed] = []
    usable: list[Listed] = []
    for some in in_steps(listed):
        for pair in some:
            endpoint = pair[0]
            if not endpoint.health.awaits_check(now):
                asked.append(pair)
                if not (endpoint.out and endpoint.connections.unreachable):
                    usable.append(pair)
        yield
    return usable or asked


def _start_slowly(listed: Sequence[Listed], weights: list[float], window: float, now: float) -> Steps[float]:
    """Lower the weights of those that started lately. Answers when to look again."""
    if all(now - endpoint.started < window for endpoint, _ in listed):
        for endpoint, _ in listed:  # where all are new, none could relieve another
            endpoint.started = now - window
        return FOREVER
    yield
    until, latest = FOREVER, now + max(_SHORTEST_STEP, window / _STEPS)
    for some in in_steps(range(len(listed))):
        for index in some:
            age = now - listed[index][0].started
            if age < window:
                weights[index] *= slow_start.factor(age, window)
                until = latest
        yield
    return until


def _share_by_zone(listed: Sequence[Listed], weights: list[float], rules: Zones) -> Steps[None]:
    """Make the weights of each zone add up to its share."""
    capacity: dict[str, float] = {}
    for some in in_steps(range(len(listed))):
        for index in some:
            zone = listed[index][1].zone
            capacity[zone] = capacity.get(zone, 0.0) + weights[index]
        yield
    gateways = rules.gateways or dict.fromkeys((*capacity, rules.own), 1.0)
    shares = zones.shares(rules.own, gateways, capacity)
    total = sum(weights)
    factors = {zone: max(_LEAST, shares.get(zone, 0.0) * total / amount) for zone, amount in capacity.items()}
    for some in in_steps(range(len(listed))):
        for index in some:
            weights[index] *= factors[listed[index][1].zone]
        yield
