"""Which requests are good, and how many in which time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.burn_rate import Counted
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Outcome
from gateway.monitor.alerts.objectives import MOST, Objectives, Series, SeriesKey
from tests.monitor.alerts.support import alerts

SLO = 'rules: {slo: {objective: 99.9%, good: "status < 500 and duration < 500ms", routes: [orders]}}'


def _report(
    objectives: Objectives, route: str | None, status: int, seconds: float, error: GatewayError | None = None
) -> None:
    exchange = Exchange("", "GET", "/", b"", [], {}, "http", "", "127.0.0.1", False, "127.0.0.1")
    exchange.route, exchange.error = route, error
    outcome = Outcome(0.0, 0.0, status)
    outcome.seconds = seconds
    objectives.report(exchange, outcome)


@pytest.mark.parametrize(
    ("status", "seconds", "expected"),
    [
        (200, 0.1, (1, 1)),
        (404, 0.1, (1, 1)),
        (500, 0.1, (0, 1)),
        (200, 0.5, (0, 1)),
        (499, 9.0, (0, 0)),
        (101, 9.0, (0, 0)),
    ],
)
def test_a_request_is_good_where_all_comparisons_hold(status: int, seconds: float, expected: tuple[int, int]) -> None:
    """By status and duration; what a client gave up and WebSockets do not count."""
    objectives = Objectives()
    objectives.configure(alerts(SLO).rules, ["orders", "users"], 1000.0)
    _report(objectives, "orders", status, seconds)
    _report(objectives, "users", 500, 9.0)
    _report(objectives, None, 500, 9.0)
    objectives.advance(1000.0)
    assert objectives.window("slo", "orders", 300) == Counted(*expected)
    assert objectives.window("slo", "users", 300) == Counted(0, 0)


@pytest.mark.parametrize(("kind", "total"), [(ErrorKind.NOT_IMPLEMENTED, 0), (ErrorKind.UPSTREAM_TIMEOUT, 1)])
def test_clients_cannot_spend_what_an_objective_allows(kind: ErrorKind, total: int) -> None:
    """An unknown method is answered 501, and counts for nothing; what a backend is to blame for counts."""
    objectives = Objectives()
    objectives.configure(alerts(SLO).rules, ["orders"], 1000.0)
    _report(objectives, "orders", kind.status, 0.1, GatewayError(kind, "it is so"))
    objectives.advance(1000.0)
    assert objectives.window("slo", "orders", 300) == Counted(0, total)


def test_an_objective_of_all_counts_every_request() -> None:
    """Also those that no route took."""
    objectives = Objectives()
    objectives.configure(alerts('rules: {slo: {objective: 99%, good: "status < 500"}}').rules, ["orders"], 0.0)
    for route in ("orders", None):
        _report(objectives, route, 500, 0.1)
    objectives.advance(0.0)
    assert objectives.window("slo", "", 3600) == Counted(0, 2)


@given(
    st.lists(st.tuples(st.floats(1, 4000), st.integers(0, 9), st.integers(0, 9)), max_size=60), st.integers(0, 10**9)
)
def test_a_window_has_what_came_in_it_and_at_most_a_slot_more(steps: list[tuple[float, int, int]], start: int) -> None:
    """Whatever comes when, no window misses a request, and none counts one that is older by more than a slot."""
    now = float(start)
    series, came = Series(now), []
    for seconds, good, bad in steps:
        series.good += good
        series.total += good + bad
        series.advance(now)
        came.append((now, good + bad))
        now += seconds
        series.advance(now)
        for window, slot in ((300, 60), (3600, 60), (6 * 3600, 300), (3 * 86400, 300)):
            total = series.window(window).total
            assert sum(count for at, count in came if at > now - window) <= total
            assert total <= sum(count for at, count in came if at >= now - window - slot)


def test_what_was_kept_is_there_after_a_restart() -> None:
    """Of counts that were written while they grew, nothing is counted twice."""
    key, before = SeriesKey("slo", "good", "orders"), Series(1000.0)
    rows = {}
    for minute in range(100):
        before.good += 9
        before.total += 10
        before.advance(1000.0 + 60 * minute)
        for row in before.unsaved(key):
            rows[row[:3]] = row
    after = Series(1000.0 + 60 * 99)
    after.restore(rows.values())
    for window in (300, 3600, 6 * 3600):
        assert after.window(window) == before.window(window)


def test_what_other_gateways_count_is_added_once() -> None:
    """Their numbers only grow; what they had before they were heard of is not added."""
    objectives = Objectives()
    objectives.configure(alerts(SLO).rules, ["orders"], 0.0)
    (key,) = objectives.series
    for total in (1000, 1000, 1010, 1030):
        objectives.advance(0.0, {"other": {key: (total - 5, total)}})
    objectives.advance(0.0, None)
    objectives.advance(0.0, {"other": {key: (1035, 1040)}})
    assert objectives.window("slo", "orders", 300) == Counted(40, 40)
    objectives.advance(0.0, {"restarted": {key: (3, 3)}})
    assert objectives.window("slo", "orders", 300) == Counted(40, 40)


def test_series_are_bounded() -> None:
    """Of more routes than there is room for, how many are not counted is known."""
    objectives = Objectives()
    rules = alerts('rules: {slo: {objective: 99%, good: "status < 500", by: route}}').rules
    objectives.configure(rules, [f"r{number}" for number in range(MOST + 7)], 0.0)
    assert (len(objectives.series), objectives.left_out) == (MOST, 7)


def test_a_reload_keeps_what_was_counted_unless_good_means_something_else() -> None:
    """Another threshold begins anew."""
    objectives = Objectives()
    objectives.configure(alerts(SLO).rules, ["orders"], 0.0)
    _report(objectives, "orders", 500, 0.1)
    assert objectives.configure(alerts(SLO).rules, ["orders", "users"], 0.0) == []
    objectives.advance(0.0)
    assert objectives.window("slo", "orders", 300) == Counted(0, 1)
    objectives.configure(alerts(SLO.replace("500ms", "1s")).rules, ["orders"], 0.0)
    assert objectives.window("slo", "orders", 300) == Counted(0, 0)
