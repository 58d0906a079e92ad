from __future__ import annotations

import math
import random
from collections import Counter, deque

import pytest

from gateway.algorithms.held_slots import HeldSlots
from gateway.balancing.least_request import LeastRequest
from tests.balancing.support import NOW, Picks


async def picks_of(*weights: float, seed: int = 1) -> Picks:
    return Picks(LeastRequest(random.Random(seed).random), weights)


def place(picks: Picks, requests: int) -> list[int]:
    """Requests that do not end; how many each endpoint has."""
    for _ in range(requests):
        number = picks()
        assert number is not None
        picks.endpoints[number].in_flight += 1
    return [endpoint.in_flight for endpoint in picks.endpoints]


@pytest.mark.parametrize("seed", range(3))
async def test_the_published_bound(seed: int) -> None:
    """With n requests on n endpoints the fullest has at most ln ln n / ln 2 + O(1); one random choice gives more."""
    number = 1000
    busiest = max(place(await picks_of(*[1] * number, seed=seed), number))
    assert busiest <= math.log(math.log(number)) / math.log(2) + 2
    chance = random.Random(seed)
    assert max(Counter(chance.randrange(number) for _ in range(number)).values()) > busiest


@pytest.mark.parametrize("weights", [[1, 1, 1], [1, 2, 4]])
async def test_requests_in_flight_even_out_by_weight(weights: list[float]) -> None:
    """With seventy times as many requests as there is weight, each endpoint is as busy as its weight says."""
    loads = place(await picks_of(*weights), 70 * int(sum(weights)))
    assert loads == pytest.approx([70 * weight for weight in weights], rel=0.05)


async def test_one_that_hangs_gets_hardly_anything() -> None:
    """Of three endpoints one never answers: it gets no more than a few requests while the others get a thousand."""
    picks = await picks_of(1, 1, 1)
    running = deque[int]()
    for _ in range(1000):
        number = picks()
        assert number is not None
        picks.endpoints[number].in_flight += 1
        if number:
            running.append(number)
        if len(running) > 2:
            picks.endpoints[running.popleft()].in_flight -= 1
    assert picks.endpoints[0].in_flight <= 4


async def test_a_light_endpoint_is_not_flooded_when_a_heavy_one_is_busy() -> None:
    """One of a tenth of the weight, as in a slow start, has no more in flight than its share for each on the other."""
    loads = place(await picks_of(1, 0.1), 110)
    assert 5 <= loads[1] <= 15


@pytest.mark.parametrize(("seconds", "share"), [(0, 0.0), (60, 1 / 3)])
async def test_failures_do_not_attract_requests(seconds: float, share: float) -> None:
    """One that failed at once looks busy for a while, and gets its share again later."""
    picks = await picks_of(1, 1, 1)
    picks.endpoints[0].held = held = HeldSlots()
    for _ in range(10):
        held.hold(5.0, NOW)
    assert picks.shares(3000, now=NOW + seconds)[0] == pytest.approx(share, abs=0.03)
