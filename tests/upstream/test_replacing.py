"""Sets of endpoints that are replaced in steps, given up and replaced again: all becomes what the last of them says."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.algorithms.outlier_detection import OutlierSettings
from gateway.balancing.hashing import Hashing, HashKey
from gateway.balancing.table import BALANCERS
from gateway.deadlines import Deadlines
from gateway.http.messages import Attempt
from gateway.http.testing import make_exchange
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Signal
from gateway.upstream.levels import Rules, Zones, levels_in_steps
from gateway.upstream.member import Address, Member
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.transport import Connector, Resolver
from tests.support import eventually

ADDRESSES = [Address(f"10.0.{number // 250}.{number % 250}", 80) for number in range(1500)]
MEMBERS = [Member(address) for address in ADDRESSES]


def upstream_of(members: list[Member]) -> Upstream:
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    return Upstream("s", connector, Settings(BALANCERS["random"], outliers=OutlierSettings()), members)


def picked(upstream: Upstream) -> Endpoint | None:
    return upstream.pick(make_exchange(), time.perf_counter(), ())


async def turns(number: int = 200) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def is_out(endpoint: Endpoint) -> bool:
    """Whether it takes nothing new, and keeps nothing."""
    return endpoint.retired and endpoint.judge is None


async def test_an_abandoned_set_does_not_keep_removed_endpoints() -> None:
    """An endpoint that has left with a request in flight stays on its way out, though a set with it was begun."""
    upstream = upstream_of(MEMBERS)
    leaving = upstream.endpoints[0]
    attempt = leaving.begin(time.perf_counter())
    upstream.replace(MEMBERS[1:])
    begun = upstream.replacing(MEMBERS)
    for _ in range(8):
        next(begun)
    upstream.replace(MEMBERS[2:])
    assert list(begun) in ([], [None])
    assert is_out(leaving)
    attempt.end()


async def test_nothing_is_said_by_a_set_that_is_not_used() -> None:
    """Neither before it is, nor where it is given up: then all of it is new with the next."""
    upstream = upstream_of(MEMBERS)
    drained = [Member(MEMBERS[0].address, weight=0), *MEMBERS[1:]]
    begun = upstream.replacing(drained)
    for _ in range(8):
        next(begun)
    assert upstream.endpoints[0].member.weight == 1
    upstream.replace(drained)

    def choice() -> int:
        return len(upstream.chosen_from(time.perf_counter())[0][0].weighted)

    await eventually(lambda: choice() == len(MEMBERS) - 1)


async def test_a_set_that_is_used_is_used_to_its_end() -> None:
    """Also if the caller is cancelled: removed endpoints keep no connection, and are remembered."""
    upstream = upstream_of(MEMBERS)
    former = upstream.endpoints
    upstream.report(former[1000], Signal.OUTLIERS, up=False, reason="it failed", now=time.perf_counter())
    begun: Iterator[None] = upstream.replacing([])
    while upstream.endpoints:
        next(begun, None)
    del begun
    upstream.replace(MEMBERS)  # at once
    assert not upstream.endpoints[0].retired
    assert upstream.endpoints[1000].health.out(time.perf_counter()) is not None
    upstream.replace([])
    await turns()
    assert all(is_out(each) for each in former)


async def test_an_endpoint_that_returns_while_it_leaves_is_in_again() -> None:
    """With its streams, and judged by what becomes of its requests."""
    upstream = upstream_of(MEMBERS)
    returning = upstream.endpoints[700]
    attempt = returning.begin(time.perf_counter())
    upstream.replace(MEMBERS[:700])  # which is done in steps
    upstream.replace(MEMBERS)
    await turns()
    assert upstream.endpoints[700] is returning
    assert (returning.retired, returning.judge) == (False, upstream.ejection)
    attempt.end()


@pytest.mark.parametrize("balance", [*sorted(BALANCERS), "hash"])
async def test_no_request_does_the_work_of_all_where_some_have_left(balance: str) -> None:
    """Whichever endpoint it would have got, also by the hash of its key."""
    hashing = Hashing(HashKey("query", "key"), lambda work: work())
    upstream = upstream_of(MEMBERS)
    upstream.configure(Settings(BALANCERS.get(balance, hashing)))
    upstream.chosen_from(time.perf_counter())
    await turns()
    upstream.replace(MEMBERS[150:])
    for number in range(300):
        exchange = make_exchange(path=f"/?key={number}")
        endpoint = upstream.pick(exchange, time.perf_counter(), ())
        assert endpoint is not None
        assert upstream.has(endpoint)
    assert len(upstream.levels[0].weighted) == len(MEMBERS)  # as far as balancers know


@pytest.mark.parametrize("said", [{"weight": 0}, {"zone": "b"}, {"priority": 3}, {"up": False}])
@pytest.mark.parametrize("begun", range(0, 40, 3))
async def test_what_is_said_while_balancers_learn(begun: int, said: dict[str, Any]) -> None:
    """A set that comes while thousands of endpoints are looked at breaks nothing off."""
    rules = Rules(slow_start=10.0, zones=Zones("a"))
    upstream = upstream_of([replace(member, zone="a") for member in MEMBERS])
    upstream.configure(Settings(BALANCERS["peak_ewma"], rules=rules))
    others = [Member(Address(f"10.9.0.{number}", 80)) for number in range(2)]
    new = [*others, *(replace(member, **said) for member in MEMBERS)]
    replacing = upstream.replacing(new)
    for _ in range(begun):
        next(replacing, None)
    steps = levels_in_steps(upstream.endpoints, rules, time.perf_counter() + 5)
    weighted: Sequence[tuple[Endpoint, float]] = ()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            weighted = [pair for level in end.value[0] for pair in level.weighted]
            break
        next(replacing, None)
    assert weighted
    assert all(weight > 0 for _, weight in weighted)


@pytest.mark.parametrize("seed", range(12))
async def test_any_order_of_sets(seed: int) -> None:
    """Begun, interrupted by requests, given up, done at once: in the end all is as the last one says."""
    draw = random.Random(seed)
    addresses = ADDRESSES[: draw.choice([20, 700, 1500])]
    upstream = upstream_of([Member(address) for address in addresses])
    seen, begun, attempts = set(upstream.endpoints), list[Iterator[None]](), list[Attempt]()

    def members() -> list[Member]:
        some = draw.sample(addresses, draw.choice([0, 3, len(addresses) // 2, len(addresses)]))
        return [
            Member(address, draw.choice([0, 1, 2]), "", draw.choice([0, 1]), draw.random() > 0.1) for address in some
        ]

    for _ in range(60):
        what = draw.choice(["set", "set", "go on", "go on", "give up", "request", "answer", "turn"])
        if what == "set":
            begun.append(upstream.replacing(members()))
        elif what == "go on" and begun:
            for _ in range(draw.choice([1, 3, 20])):
                next(begun[-1], None)
        elif what == "give up" and begun:
            begun.pop()
        elif what == "request" and (endpoint := picked(upstream)) is not None:
            assert upstream.has(endpoint)
            attempts.append(endpoint.begin(time.perf_counter()))
        elif what == "answer" and attempts:
            attempts.pop().end()
        else:
            await asyncio.sleep(0)
        seen.update(upstream.endpoints)
    last = members()
    upstream.replace(last)
    await turns()
    now = time.perf_counter()
    assert {each.address: each.member for each in upstream.endpoints} == {each.address: each for each in last}
    assert all((each.retired, each.judge) == (False, upstream.ejection) for each in upstream.endpoints)
    says = [each.health.verdict(Signal.SOURCE, now) for each in upstream.endpoints]
    assert [said is None or said.up for said in says] == [each.member.up for each in upstream.endpoints]
    assert all(is_out(each) for each in seen - set(upstream.endpoints))
    for attempt in attempts:
        attempt.end()
