from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.outlier_detection import OutlierDetection, OutlierRecord, OutlierSettings, success_rate_limit

ANY_NUMBER = replace(OutlierSettings(), max_ejected=100.0)
ONLY_CONSECUTIVE = replace(ANY_NUMBER, success_rate_deviations=0.0, failure_percentage=0.0)


class Service:
    """Some endpoints, judged together, and a clock that a test moves."""

    def __init__(self, endpoints: int, settings: OutlierSettings = ANY_NUMBER, draw: float = 0.0) -> None:
        self.now = 1000.0
        self.detection = OutlierDetection(settings, lambda: draw)
        self.records = [OutlierRecord() for _ in range(endpoints)]

    def fail(self, index: int, times: int = 1, *, gateway: bool = True) -> bool:
        """So many failures in a row; whether the last ejected it."""
        record = self.records[index]
        return [self.detection.failed(record, self.records, self.now, gateway=gateway) for _ in range(times)][-1]

    def answer(self, index: int, rate: int, requests: int) -> None:
        """So many requests, of which `rate` per cent succeed; no two failures in a row where there is a success."""
        failures = requests - requests * rate // 100
        for number in range(requests):
            if number * failures // requests < (number + 1) * failures // requests:
                self.records[index].in_a_row = 0  # what is tested here is not the failures in a row
                self.fail(index)
            else:
                self.records[index].succeeded()

    def sweep(self, seconds: float = 10.0) -> bool:
        self.now += seconds
        return self.detection.sweep(self.records, self.now)

    @property
    def ejected(self) -> Sequence[int]:
        return [index for index, record in enumerate(self.records) if record.ejected]


def test_five_failures_in_a_row_eject_at_once() -> None:
    """The fifth failure ejects, without waiting for a sweep, and says why and since when."""
    service = Service(3)
    assert not service.fail(1, 4)
    assert service.fail(1)
    assert service.ejected == [1]
    record = service.records[1]
    assert (record.reason, record.since, record.until) == ("5 failures in a row", 1000, 1030)


def test_any_success_begins_the_row_anew() -> None:
    """Four failures, a success and four failures are no five in a row."""
    service = Service(3)
    service.fail(1, 4)
    service.records[1].succeeded()
    assert not service.fail(1, 4)


def test_gateway_failures_are_counted_apart() -> None:
    """With their own limit, three answers 503 in a row eject, while a 500 among them begins that row anew."""
    service = Service(3, replace(ANY_NUMBER, consecutive_gateway=3))
    assert not service.fail(0, 2)
    assert not service.fail(0, gateway=False)
    assert not service.fail(0)
    assert service.ejected == []
    service.records[0].succeeded()
    assert service.fail(0, 3)


@pytest.mark.parametrize(
    ("endpoints", "percent", "ejected"),
    [
        (1, 100, 0),  # never the last
        (2, 100, 1),
        (3, 100, 2),
        (1, 50, 0),
        (2, 50, 1),
        (3, 50, 1),
        (4, 50, 2),
        (9, 10, 0),  # one of nine is more than 10%
        (10, 10, 1),
        (20, 10, 2),
        (3, 33, 0),
        (3, 34, 1),
        (5, 0, 0),
    ],
)
def test_the_share_that_may_be_ejected(endpoints: int, percent: float, ejected: int) -> None:
    """The share is looked at with the one in question, and one is always left."""
    service = Service(endpoints, replace(OutlierSettings(), max_ejected=percent))
    for index in range(endpoints):
        service.fail(index, 5)
    assert len(service.ejected) == ejected


def test_one_that_could_not_be_ejected_is_as_soon_as_there_is_room() -> None:
    """It goes on failing while another one is ejected, and follows when that is back."""
    service = Service(2, replace(OutlierSettings(), max_ejected=50))
    service.fail(0, 5)
    assert not service.fail(1, 5)
    service.records[0].passed_check()
    assert service.fail(1, 5)


@pytest.mark.parametrize(
    ("rates", "limit"),
    [
        ((50, 100, 100, 100, 100), 52.0),
        ((100, 100, 100), 100.0),
        ((0, 100), -45.0),
        ((70, 80, 90), 80 - 1.9 * 8.16496580),
    ],
)
def test_the_published_success_rate_limit(rates: Sequence[float], limit: float) -> None:
    """Mean less 1.9 population deviations; {50, 100, 100, 100, 100} gives 52."""
    assert success_rate_limit(rates, 1.9) == pytest.approx(limit)


def test_a_success_rate_far_below_the_mean_ejects_at_the_sweep() -> None:
    """One of five with half the success rate of the others is ejected; 52% is the limit, and 50% is below."""
    service = Service(5)
    service.answer(0, 50, 100)
    for index in range(1, 5):
        service.answer(index, 100, 100)
    assert service.ejected == []
    assert service.sweep()
    assert service.ejected == [0]
    assert service.records[0].reason == "success rate 50%, the limit is 52%"


@given(st.integers(2, 4), st.integers(0, 100), st.integers(0, 100))
def test_no_success_rate_ejects_one_of_fewer_than_five(endpoints: int, bad: int, good: int) -> None:
    """Its deviation from the mean is at most the root of n - 1, so 1.9 is never exceeded below five."""
    settings = replace(ANY_NUMBER, success_rate_hosts=1, failure_percentage=0.0)
    service = Service(endpoints, settings)
    service.answer(0, bad, 100)
    for index in range(1, endpoints):
        service.answer(index, good, 100)
    service.sweep()
    assert service.ejected == []


@pytest.mark.parametrize(("endpoints", "requests"), [(4, 100), (5, 99)])
def test_success_rates_need_endpoints_and_requests(endpoints: int, requests: int) -> None:
    """With fewer than five endpoints, or fewer than a hundred requests to each, nothing is judged by rate."""
    service = Service(endpoints, replace(ANY_NUMBER, failure_percentage=0.0))
    service.answer(0, 0, requests)
    for index in range(1, endpoints):
        service.answer(index, 100, requests)
    service.sweep()
    assert service.ejected == []


@pytest.mark.parametrize(
    ("percent", "requests", "ejected"), [(15, 100, [0, 1]), (16, 100, []), (0, 50, [0, 1]), (0, 49, [])]
)
def test_a_failure_percentage_ejects_whatever_the_others_do(percent: int, requests: int, ejected: list[int]) -> None:
    """85% failures of at least 50 requests eject; two alike of five cannot be seen by deviation."""
    service = Service(5, replace(ANY_NUMBER, success_rate_deviations=0.0))
    for index in range(5):
        service.answer(index, percent if index < 2 else 100, requests)
    service.sweep()
    assert service.ejected == ejected


def test_what_is_ejected_is_not_judged_and_does_not_move_the_mean() -> None:
    """Of five endpoints with one ejected four are left, too few for success rates."""
    service = Service(5, replace(ANY_NUMBER, failure_percentage=0.0))
    service.fail(4, 5)
    for index in range(5):
        service.answer(index, 100 if index else 0, 100)
    service.sweep()
    assert service.ejected == [4]


def test_counts_are_those_of_one_interval() -> None:
    """Fifty requests in each of two intervals are not a hundred."""
    service = Service(5, replace(ANY_NUMBER, failure_percentage=0.0))
    for _ in range(3):
        for index in range(5):
            service.answer(index, 100 if index else 0, 50)
        service.sweep()
    assert service.ejected == []


def test_an_ejection_ends_at_the_first_sweep_after_its_time() -> None:
    """30 seconds, seen every 10 seconds; then five more failures are needed."""
    service = Service(3)
    service.now += 5
    service.fail(0, 5)
    service.sweep(5)
    for _ in range(2):
        service.sweep()
        assert service.ejected == [0]
    assert service.sweep()
    assert service.ejected == []
    assert not service.fail(0, 4)


def test_each_ejection_lasts_longer_and_good_sweeps_shorten_the_next() -> None:
    """30, 60, 90 ... 300 seconds; each sweep without an ejection takes 30 seconds off the next."""
    service, lasted = Service(3, ONLY_CONSECUTIVE), list[float]()
    for _ in range(12):
        service.fail(0, 5)
        lasted.append(service.records[0].until - service.now)
        service.sweep(lasted[-1])
    assert lasted == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]
    for _ in range(3):
        service.sweep()
    service.fail(0, 5)
    assert service.records[0].until - service.now == 270  # 11 - 3 + 1
    service.sweep(270)
    for _ in range(20):
        service.sweep()
    assert service.records[0].clean
    service.fail(0, 5)
    assert service.records[0].until - service.now == 30
    assert service.records[0].ejections == 14


def test_the_jitter_is_added_when_it_is_ejected() -> None:
    """With a jitter of four seconds, half of which is drawn, an ejection lasts 32 seconds."""
    service = Service(3, replace(ANY_NUMBER, jitter=4.0), draw=0.5)
    service.fail(0, 5)
    assert service.records[0].until == 1032


def test_a_good_check_ends_the_ejection() -> None:
    """An active check that passes brings it back at once, with its failures forgotten."""
    service = Service(3)
    service.fail(0, 5)
    assert service.records[0].passed_check()
    assert service.ejected == []
    assert not service.fail(0, 4)
    assert not service.records[0].passed_check()


@given(st.integers(1, 8), st.floats(0, 100), st.lists(st.tuples(st.integers(0, 7), st.integers(0, 6)), max_size=60))
def test_never_too_many_and_never_the_last(endpoints: int, percent: float, rows: list[tuple[int, int]]) -> None:
    """Whatever fails, the share is kept, one endpoint is left, and every ejection ends."""
    service = Service(endpoints, replace(OutlierSettings(), max_ejected=percent))
    for index, failures in rows:
        if failures and index < endpoints:
            service.fail(index, failures)
        else:
            service.sweep()
        assert len(service.ejected) < endpoints
        assert 100 * len(service.ejected) <= percent * endpoints or not service.ejected
    for _ in range(40):
        service.sweep()
    assert service.ejected == []
