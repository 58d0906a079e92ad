from __future__ import annotations

import heapq
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.adaptive_concurrency import GradientLimit, GradientSettings, next_limit

SETTINGS = GradientSettings()


class Service:
    """Answers in `unloaded` seconds as long as at most `capacity` requests are there, and more slowly beyond."""

    def __init__(self, capacity: int, unloaded: float = 0.02, settings: GradientSettings = SETTINGS) -> None:
        self.capacity, self.unloaded = capacity, unloaded
        self.now = 100.0
        self.limit = GradientLimit(settings, self.now, lambda: 0.0)
        self.passed = self.refused = self.most = 0
        self._pending: list[tuple[float, float]] = []  # ends, began

    def run(self, seconds: float, demand: int) -> None:
        """So many clients ask all the time, and come back after 5 ms when they are refused."""
        end = self.now + seconds
        while self.now < end:
            while len(self._pending) < demand and self.limit.acquire(self.now):
                slowness = max(1.0, self.limit.in_flight / self.capacity)
                heapq.heappush(self._pending, (self.now + self.unloaded * slowness, self.now))
                self.passed += 1
            self.refused += len(self._pending) < demand
            self.most = max(self.most, self.limit.in_flight)
            self.now += 0.005
            while self._pending and self._pending[0][0] <= self.now:
                ended, began = heapq.heappop(self._pending)
                self.limit.ended(began, ended)


@pytest.mark.parametrize(
    ("limit", "taken", "after"),
    [
        (100, 0.1, 136),  # 1.25 times 100 and the root of 125
        (100, 0.125, 110),
        (100, 0.25, 57),
        (100, 10.0, 57),  # never to less than half
        (100, 0.001, 214),  # never to more than twice
        (4, 10.0, 3),
        (900, 0.01, 1000),
    ],
)
def test_the_published_formula(limit: int, taken: float, after: int) -> None:
    """The limit times the gradient, and its root, between 3 and 1,000; unloaded it takes 0.1 s."""
    assert next_limit(limit, 0.1, taken, SETTINGS) == after


@given(st.integers(3, 1000), st.floats(0, 100), st.floats(0, 100))
def test_it_stays_within_its_bounds(limit: int, unloaded: float, taken: float) -> None:
    """Whatever was measured, the limit is between its minimum and its maximum."""
    assert 3 <= next_limit(limit, unloaded, taken, SETTINGS) <= 1000


def test_it_begins_at_the_minimum_and_measures_first() -> None:
    """Until fifty requests were answered, three at a time pass."""
    service = Service(100)
    service.run(0.2, demand=50)
    assert service.limit.measuring
    assert service.most == 3
    service.run(1, demand=50)
    assert not service.limit.measuring
    assert service.limit.unloaded == pytest.approx(0.02, rel=0.3)


def test_it_finds_what_the_service_can_take() -> None:
    """The limit settles where requests take a quarter longer than unloaded, and lets demand below that pass."""
    service = Service(40)
    service.run(10, demand=200)
    assert 40 <= service.limit.limit <= 75
    service.refused = 0
    service.run(5, demand=30)
    assert service.refused == 0


def test_it_follows_a_service_that_loses_capacity() -> None:
    """When the service can take a quarter of before, the limit comes down within a second."""
    service = Service(100)
    service.run(10, demand=300)
    before = service.limit.limit
    service.capacity = 25
    service.run(1.5, demand=300)
    assert service.limit.limit < before / 2


def test_the_unloaded_round_trip_is_measured_again_after_a_minute() -> None:
    """A service that has become slower for good is not taken for loaded for ever."""
    service = Service(40)
    service.run(10, demand=100)
    service.unloaded = 0.2
    service.run(3, demand=100)
    assert service.limit.limit <= 10  # all of them seem slow; at the minimum it measures at once
    service.run(10, demand=100)
    assert service.limit.unloaded == pytest.approx(0.2, rel=0.3)
    assert service.limit.limit >= 30


def test_requests_of_before_a_measurement_are_no_samples() -> None:
    """What was sent while many were in flight says nothing about an unloaded service."""
    limit = GradientLimit(SETTINGS, 100.0, lambda: 0.0)
    for _ in range(100):
        limit.in_flight += 1
        limit.ended(99.9, 101.0)
    assert limit.measuring


def test_without_clamping_nothing_is_held_back_to_measure() -> None:
    """Measured from the traffic as it is, the limit does not go down while it measures again."""
    limit = GradientLimit(GradientSettings(clamp=False, interval=1.0), 100.0, lambda: 0.0)
    now = 100.0
    for _ in range(2000):
        now += 0.01
        assert limit.acquire(now)
        limit.ended(now - 0.02, now)
        if now > 104:
            assert limit.limit > 50


def test_lost_requests_and_empty_windows_change_nothing() -> None:
    """Requests that say nothing free their place, and time without requests leaves the limit."""
    service = Service(40)
    service.run(5, demand=100)
    before = service.limit.limit
    free = GradientLimit(SETTINGS, 0.0, lambda: 0.0)
    for _ in range(100):
        assert free.acquire(1.0)
        free.lost()
    service.limit.in_flight = 0
    assert service.limit.acquire(service.now + 30)
    assert math.isclose(service.limit.limit, before, rel_tol=0.3)
