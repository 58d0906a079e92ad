"""What there is to choose from, as arithmetic on endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.deadlines import Deadlines
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import FOREVER, Signal
from gateway.upstream.levels import Rules, Zones, levels
from gateway.upstream.member import Address, Member
from gateway.upstream.pool import PoolLimits
from gateway.upstream.transport import Connector, Resolver

NOW = 10_000.0


def endpoints(*members: Member) -> list[Endpoint]:
    """Long in the set, and up."""
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    made = [Endpoint(member, connector, PoolLimits()) for member in members]
    for endpoint in made:
        endpoint.started = 0.0
    return made


def member(number: int, *, weight: int = 1, zone: str = "", priority: int = 0) -> Member:
    return Member(Address(f"10.0.0.{number}", 80), weight, zone, priority)


def down(endpoint: Endpoint, until: float = FOREVER) -> None:
    endpoint.health.report(Signal.PROBE, up=False, reason="a test", now=NOW, until=until)


def up(endpoint: Endpoint) -> None:
    endpoint.health.report(Signal.PROBE, up=True, reason="a test", now=NOW)


def weights(among: Sequence[Endpoint], rules: Rules, now: float = NOW) -> list[float]:
    """Of the only level."""
    ((level,), _) = levels(among, rules, now)
    return [weight for _, weight in level.weighted]


async def test_each_priority_takes_what_the_one_before_cannot() -> None:
    """With half of its endpoints up the first priority takes 70%, and the second the rest."""
    among = endpoints(*(member(number, priority=number % 2) for number in range(8)))
    down(among[0])
    down(among[2])
    found, _ = levels(among, Rules(), NOW)
    assert [(level.priority, level.load.percent, len(level.weighted)) for level in found] == [(0, 70, 2), (1, 30, 4)]


async def test_a_level_in_panic_uses_all_it_has() -> None:
    """With less than half of the endpoints up all are used; with panic turned off, only those that are up."""
    among = endpoints(*(member(number) for number in range(5)))
    for endpoint in among[:3]:
        down(endpoint)
    assert len(weights(among, Rules())) == 5
    assert len(weights(among, Rules(panic_below=0))) == 2


async def test_panic_leaves_out_endpoints_that_do_not_listen() -> None:
    """Those that do not accept a connection relieve no other, unless all are like that."""
    among = endpoints(*(member(number) for number in range(4)))
    for endpoint in among[:3]:
        down(endpoint)
        endpoint.connections.unreachable = True
    assert len(weights(among, Rules())) == 1
    down(among[3])
    among[3].connections.unreachable = True
    assert len(weights(among, Rules())) == 4


async def test_a_new_endpoint_gets_its_share_gradually() -> None:
    """It begins at a tenth, and has all of it after the time of the slow start."""
    among = endpoints(member(1, weight=4), member(2, weight=4))
    among[1].started = NOW
    rules = Rules(slow_start=30.0)
    assert weights(among, rules, NOW) == pytest.approx([4, 0.4])
    assert weights(among, rules, NOW + 15) == pytest.approx([4, 2])
    assert weights(among, rules, NOW + 30) == [4, 4]


async def test_the_weights_of_a_slow_start_are_looked_at_again() -> None:
    """They are true for a thirtieth of its time, and for ever once it is over."""
    among = endpoints(member(1), member(2))
    among[1].started = NOW
    assert levels(among, Rules(slow_start=30.0), NOW)[1] == NOW + 1
    assert levels(among, Rules(slow_start=0.5), NOW)[1] == NOW + 0.1
    assert levels(among, Rules(slow_start=30.0), NOW + 30)[1] == FOREVER


async def test_one_that_recovers_starts_slowly_again() -> None:
    """An endpoint that was down begins at a tenth when it is up."""
    among = endpoints(member(1), member(2))
    down(among[1])
    weights(among, Rules(slow_start=30.0), NOW)
    up(among[1])
    assert weights(among, Rules(slow_start=30.0), NOW) == pytest.approx([1, 0.1])


async def test_where_all_are_new_none_is_held_back() -> None:
    """Endpoints that begin together share evenly from the start, and keep their shares when another joins."""
    among = endpoints(member(1), member(2), member(3))
    for endpoint in among[:2]:
        endpoint.started = NOW
    assert weights(among[:2], Rules(slow_start=30.0), NOW) == [1, 1]
    among[2].started = NOW + 5
    assert weights(among, Rules(slow_start=30.0), NOW + 5) == pytest.approx([1, 1, 0.1])


async def test_zones_get_what_they_can_take() -> None:
    """Of two zones one has a sixth of the endpoints: a third of its traffic stays, the rest goes to the other."""
    among = endpoints(member(1, zone="a"), *(member(number, zone="b") for number in range(2, 7)))
    shares = weights(among, Rules(zones=Zones("a")))
    assert shares[0] / sum(shares) == pytest.approx(1 / 3)
    assert shares[1:] == pytest.approx([shares[1]] * 5)


async def test_weights_count_within_a_zone() -> None:
    """A zone is as large as its endpoints weigh, and gives each its share by weight."""
    among = endpoints(member(1, zone="a", weight=5), *(member(number, zone="b") for number in range(2, 7)))
    shares = weights(among, Rules(zones=Zones("a", {"a": 1, "b": 1})))
    assert shares[0] / sum(shares) == pytest.approx(1, abs=1e-4)
    assert min(shares) > 0  # the others are still there for what fails


@pytest.mark.parametrize("number", [5, 6])
async def test_zones_need_endpoints(number: int) -> None:
    """With fewer than six endpoints zones make no difference."""
    among = endpoints(member(0, zone="a"), *(member(each, zone="b") for each in range(1, number)))
    shares = weights(among, Rules(zones=Zones("a")))
    assert (shares[0] == shares[1]) == (number < 6)


async def test_in_panic_zones_make_no_difference() -> None:
    """Where most are down, all endpoints of all zones share the traffic."""
    among = endpoints(*(member(number, zone="ab"[number % 2]) for number in range(10)))
    for endpoint in among[:6]:
        down(endpoint)
    assert weights(among, Rules(zones=Zones("a"))) == [1] * 10


async def test_a_verdict_that_ends_is_looked_at_then() -> None:
    """What is true ends when the first verdict does."""
    among = endpoints(member(1), member(2), member(3))
    down(among[0], NOW + 5)
    assert levels(among, Rules(), NOW)[1] == NOW + 5
