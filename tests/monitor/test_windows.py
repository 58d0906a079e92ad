from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.monitor.slices import Pending, Subjects
from gateway.monitor.tallies import ALL, Subject, pack
from gateway.monitor.windows import COARSE, FINE, HOUR, KEPT, MINUTE, Windows
from tests.monitor.stepping import finish

BEGAN = 1_700_000_100 - 1_700_000_100 % COARSE
ORDERS = Subject("route", "orders")


class Clock:
    """A gateway's windows on a simulated clock: `slice` is what its watch does every ten seconds."""

    def __init__(self, most_bytes: int = 8 * 1024**2) -> None:
        self.now = BEGAN
        self.subjects = Subjects(4 * 1024**2)
        self.windows = Windows(self.subjects, most_bytes)

    def slice(self, pending: Pending) -> None:
        finish(self.windows.put(FINE, finish(self.windows.sealed(self.now, 10.0, pending))))
        self.now += FINE
        if self.now % MINUTE == 0:
            finish(self.windows.combine(MINUTE, self.now - MINUTE, FINE))
        if self.now % COARSE == 0:
            finish(self.windows.combine(COARSE, self.now - COARSE, MINUTE))
        self.windows.drop(self.now)

    def orders(self, requests: int, errors: int = 0, bucket: int = 100) -> None:
        number = self.subjects.number("route", "orders")
        self.slice({number: pack(requests, errors, {bucket: requests})} if requests else {})


@given(st.lists(st.integers(0, 50), min_size=1, max_size=450), st.sampled_from([10, 60, 300, 3600]))
def test_a_window_counts_what_came_in_it(requests: list[int], seconds: int) -> None:
    """A window of any length has exactly the requests of its last slices; over an hour, to within a minute."""
    clock = Clock()
    for count in requests:
        clock.orders(count)
    figures = clock.windows.figures(ORDERS, seconds, clock.now)
    slices = seconds // FINE
    if seconds == HOUR and len(requests) > slices:
        assert sum(requests[-slices + 5 :]) <= figures.requests <= sum(requests[-slices:])
    else:
        assert figures.requests == sum(requests[-slices:])
        assert figures.seconds == min(len(requests), slices) * FINE
        assert figures.throughput == pytest.approx(figures.requests / figures.seconds)


def test_a_window_forgets() -> None:
    """What came before a window is not in it: a burst of errors is over in each window after its length."""
    clock = Clock()
    clock.orders(100, errors=50)
    for length in (10, 60, 300, 3600):
        assert clock.windows.figures(ORDERS, length, clock.now).error_rate == 0.5
    for _ in range(6):
        clock.orders(100)
    assert clock.windows.figures(ORDERS, 60, clock.now).error_rate == 0.0
    assert clock.windows.figures(ORDERS, 300, clock.now).errors == 50
    for _ in range(360):
        clock.orders(0)
    assert clock.windows.figures(ORDERS, 3600, clock.now).requests <= 600
    for _ in range(12):
        clock.orders(0)
    assert clock.windows.figures(ORDERS, 3600, clock.now).requests == 0


def test_percentiles_of_windows_differ() -> None:
    """A service that has become slow is slow in the last ten seconds, and not yet at the median of the hour."""
    clock = Clock()
    for _ in range(300):
        clock.orders(10, bucket=-160)  # 31 ms
    clock.orders(10, bucket=32)  # 2 s
    now = clock.windows.figures(ORDERS, 10, clock.now)
    hour = clock.windows.figures(ORDERS, 3600, clock.now)
    assert now.p50 == pytest.approx(2.0, rel=0.011)
    assert hour.p50 == pytest.approx(2**-5, rel=0.011)
    assert hour.p999 == pytest.approx(2.0, rel=0.011)


def test_a_gap_is_no_time_without_requests() -> None:
    """While the gateway was down nothing was watched: the throughput is of the time in which it ran."""
    clock = Clock()
    for _ in range(6):
        clock.orders(20)
    clock.now += 60
    for _ in range(6):
        clock.orders(20)
    figures = clock.windows.figures(ORDERS, 300, clock.now)
    assert (figures.requests, figures.seconds, figures.throughput) == (240, 120.0, 2.0)


def test_a_clock_that_is_set_back_or_forth() -> None:
    """A clock that jumps loses what it jumps over, and nothing else: windows go on with what comes."""
    clock = Clock()
    for _ in range(30):
        clock.orders(10)
    clock.now += 7200
    clock.orders(5)
    assert clock.windows.figures(ORDERS, 3600, clock.now).requests == 5
    clock.now -= 7200
    for _ in range(6):
        clock.orders(7)
    assert clock.windows.figures(ORDERS, 60, clock.now).requests == 42


def test_a_history_has_every_slice() -> None:
    """A history has a point for each slice, the oldest first; those that were not watched have no numbers."""
    clock = Clock()
    for count in range(12):
        clock.orders(count)
    points = clock.windows.history(ORDERS, FINE, clock.now)
    assert len(points) == KEPT[FINE]
    assert [point.tally.requests for point in points if point.tally is not None] == list(range(12))
    assert points[0].tally is None
    minutes = [point for point in clock.windows.history(ORDERS, MINUTE, clock.now) if point.tally is not None]
    assert [(point.start - BEGAN, point.tally.requests) for point in minutes if point.tally] == [(0, 15), (60, 51)]


def test_memory_is_bounded_whatever_comes() -> None:
    """Where all routes, services, endpoints and tenants have requests in every slice, for more than an hour, they take
    no more memory than they may. Of both, a thirtieth of what there is room for."""
    random.seed(1)
    most = 1024**2
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        clock = Clock(most)
        numbers = [
            clock.subjects.number(kind, f"{kind}-of-a-usual-length-{number}")
            for kind in ("route", "upstream", "endpoint", "tenant")
            for number in range(300)
        ]
        busy = clock.subjects.number("all", "")
        some = [
            pack(count, count // 9, dict.fromkeys(random.sample(range(-300, 100), count), 1))
            for count in (1, 5, 10, 20, 40)
        ]
        for step, kept in KEPT.items():
            for turn in range(kept):
                pending = {number: some[(number + turn) % 5] for number in numbers}
                pending[busy] = pack(400_000, 3, dict.fromkeys(range(-300, 100), 1000))
                piece = finish(clock.windows.sealed(clock.now + turn * step, float(step), pending))
                finish(clock.windows.put(step, piece))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert clock.windows.size <= most
    assert after - before <= most + 1024**2  # with 1,200 names
    figures = clock.windows.figures(ALL, 10, clock.now + KEPT[FINE] * FINE)
    assert figures.requests == 400_000
    assert figures.p99 is not None
