"""What there is to choose from: the endpoints of each priority, their weights as of now, and how much each takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.algorithms import priorities, slow_start, zones
from gateway.algorithms.priorities import Load
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import FOREVER

_STEPS: Final = 30  # in which slow start raises a weight, but not more often than every _SHORTEST_STEP
_SHORTEST_STEP: Final = 0.1
_PANIC_STEP: Final = 1.0  # seconds, after which it is looked again which can be reached
_LEAST: Final = 1e-6
"""Of a weight, for endpoints of zones that get nothing: they are for requests that the others have failed."""


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


def levels(endpoints: Sequence[Endpoint], rules: Rules, now: float) -> tuple[list[Level], float]:
    """The levels, the most preferred first, and until when they are true if no one says anything new.

    Endpoints of weight 0 take no part: no one new goes there.
    """
    members: dict[int, list[Endpoint]] = {}
    until = FOREVER
    for endpoint in endpoints:
        out = endpoint.health.out(now) is not None
        if endpoint.out and not out:
            endpoint.started = now
        endpoint.out = out
        if out:
            until = min(until, endpoint.health.changes_at(now))
        if endpoint.member.weight > 0:
            members.setdefault(endpoint.member.priority, []).append(endpoint)
    numbers = sorted(members)
    healthy = {number: [endpoint for endpoint in members[number] if not endpoint.out] for number in numbers}
    counts = [priorities.Level(len(healthy[number]), len(members[number])) for number in numbers]
    found = []
    for number, load in zip(numbers, priorities.loads(counts, rules.panic_below), strict=True):
        usable = healthy[number]
        if load.panic:  # one that accepts no connection relieves no other
            asked = [each for each in members[number] if not each.health.awaits_check(now)]
            usable = [each for each in asked if not (each.out and each.unreachable)] or asked
            until = min(until, now + _PANIC_STEP)
        weights = [float(endpoint.member.weight) for endpoint in usable]
        if rules.slow_start:
            until = min(until, _start_slowly(usable, weights, rules.slow_start, now))
        if rules.zones is not None and not load.panic and len(usable) >= zones.FEWEST:
            _share_by_zone(usable, weights, rules.zones)
        found.append(Level(number, load, list(zip(usable, weights, strict=True))))
    return found, until


def _start_slowly(endpoints: Sequence[Endpoint], weights: list[float], window: float, now: float) -> float:
    """Lower the weights of those that started lately. Answers when to look again."""
    if all(now - endpoint.started < window for endpoint in endpoints):
        for endpoint in endpoints:  # where all are new, none could relieve another
            endpoint.started = now - window
        return FOREVER
    for index, endpoint in enumerate(endpoints):
        weights[index] *= slow_start.factor(now - endpoint.started, window)
    if all(now - endpoint.started >= window for endpoint in endpoints):
        return FOREVER
    return now + max(_SHORTEST_STEP, window / _STEPS)


def _share_by_zone(endpoints: Sequence[Endpoint], weights: list[float], rules: Zones) -> None:
    """Make the weights of each zone add up to its share."""
    capacity: dict[str, float] = {}
    for endpoint, weight in zip(endpoints, weights, strict=True):
        capacity[endpoint.member.zone] = capacity.get(endpoint.member.zone, 0.0) + weight
    gateways = rules.gateways or dict.fromkeys((*capacity, rules.own), 1.0)
    shares = zones.shares(rules.own, gateways, capacity)
    total = sum(weights)
    for index, endpoint in enumerate(endpoints):
        zone = endpoint.member.zone
        weights[index] *= max(_LEAST, shares.get(zone, 0.0) * total / capacity[zone])
