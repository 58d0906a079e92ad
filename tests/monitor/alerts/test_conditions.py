"""What each kind of rule sees."""

import random

import pytest

from gateway.algorithms.burn_rate import Counted
from gateway.monitor.alerts.sight import Finding, Subject
from gateway.monitor.alerts.states import State
from tests.monitor.alerts.support import ALL, Figures, Scene, Watch, route


def test_it_says_nothing_below_the_minimum() -> None:
    """With `minimum: 50`, 49 requests of which all fail are no alert."""
    rule = 'rules: {errors: {when: "error_rate > 5%", over: 1m, by: route, minimum: 50}}'
    watch = Watch(rule, Scene(seen={route("orders"): Figures(requests=49, errors=49, error_rate=1.0)}))
    watch.look()
    assert watch.states() == {}
    watch.scene.seen[route("orders")] = Figures(requests=50, errors=3, error_rate=0.06)
    watch.look()
    assert watch.states() == {"orders": State.FIRING}
    assert watch.only().says == "error rate 6% (> 5%) of 50 requests in 1m"


@pytest.mark.parametrize(
    ("when", "figures", "holds"),
    [
        ("p99 > 800ms", Figures(requests=9, p99=0.81), True),
        ("p99 > 800ms", Figures(requests=9, p99=0.8), False),
        ("p999 >= 1s", Figures(requests=9, p999=1.0), True),
        ("p50 < 5ms", Figures(requests=9, p50=0.001), True),
        ("p50 < 5ms", Figures(), False),
        ("throughput < 10/s", Figures(), True),
        ("throughput > 10", Figures(throughput=10.5), True),
        ("requests <= 3", Figures(requests=3), True),
        ("errors > 0", Figures(requests=9, errors=1), True),
        ("error_rate > 5% and requests > 100", Figures(requests=100, errors=50, error_rate=0.5), False),
        ("error_rate > 5% and requests > 100", Figures(requests=101, errors=51, error_rate=0.5), True),
    ],
)
def test_figures_are_compared(when: str, figures: Figures, *, holds: bool) -> None:
    """Each figure is compared in its own unit, and all that `and` joins must hold."""
    watch = Watch(f'rules: {{rule: {{when: "{when}"}}}}', Scene(seen={ALL: figures}))
    watch.look()
    assert watch.states() == ({"rule": State.FIRING} if holds else {})


def test_less_than_is_said_of_whole_windows_only() -> None:
    """A gateway that has just begun has few requests in its last five minutes, which is no alert."""
    watch = Watch('rules: {rule: {when: "requests < 100", over: 5m}}')
    watch.scene.since = watch.scene.now
    watch.look(290)
    assert watch.states() == {}
    watch.look()
    assert watch.states() == {"rule": State.FIRING}


def test_the_window_is_that_of_the_rule() -> None:
    """`over` is the window that is asked for; of a time that the monitor has not, the next longer one."""
    watch = Watch('rules: {one: {when: "errors > 1", over: 1h}, two: {when: "errors > 1", over: 2m}}')
    watch.look()
    assert watch.scene.asked == [(ALL, 3600.0), (ALL, 300.0)]


def test_routes_are_those_that_the_rule_names() -> None:
    """A rule for some routes looks at no other one."""
    seen = {route(name): Figures(requests=9, errors=9, error_rate=1.0) for name in ("orders", "orders-old", "users")}
    watch = Watch('rules: {errors: {when: "error_rate > 5%", routes: ["orders*"]}}', Scene(seen=seen))
    watch.look()
    assert watch.states() == {"orders": State.FIRING, "orders-old": State.FIRING}


SLO = 'rules: {slo: {objective: 99.9%, good: "status < 500", routes: [orders]}}'


def _burning(long: int, short: int, rate: float, total: int = 10_000) -> dict[tuple[str, str, int], Counted]:
    bad = round(rate * 0.001 * total)
    return {("slo", "orders", seconds): Counted(total - bad, total) for seconds in (long, short)}


@pytest.mark.parametrize(
    ("long", "short", "rate", "severity"),
    [(3600, 300, 14.4, "page"), (21600, 1800, 6.0, "page"), (259200, 21600, 1.0, "ticket")],
)
def test_an_objective_burns_where_both_windows_do(long: int, short: int, rate: float, severity: str) -> None:
    """It fires above the burn rate of the table, not below it, with the severity of the table."""
    watch = Watch(SLO)
    watch.scene.known["route"] = ["orders"]
    watch.scene.goods = _burning(long, short, rate * 0.9)
    watch.look()
    assert watch.states() == {}
    watch.scene.goods = _burning(long, short, rate * 1.1)
    watch.look()
    assert watch.only().state is State.FIRING
    assert watch.only().key.severity == severity
    watch.scene.goods["slo", "orders", short] = Counted(10_000, 10_000)
    watch.look()
    assert watch.only().state is State.RESOLVED


def test_an_objective_needs_requests() -> None:
    """A single failure of a route with ten requests in an hour is no page."""
    watch = Watch(SLO)
    watch.scene.known["route"] = ["orders"]
    watch.scene.goods = {("slo", "orders", 3600): Counted(9, 10), ("slo", "orders", 300): Counted(0, 1)}
    watch.look()
    assert watch.states() == {}


def test_a_throughput_is_odd_where_it_is_far_from_usual() -> None:
    """A sudden fall and a sudden rise fire; the noise of before does not."""
    watch, noise = Watch("rules: {odd: {anomaly: throughput, by: route}}"), random.Random(7)
    for _ in range(180):
        watch.scene.seen[route("orders")] = Figures(requests=600, throughput=noise.gauss(100, 5))
        watch.look()
        assert watch.states() == {}
    for throughput in (20.0, 300.0):
        watch.scene.seen[route("orders")] = Figures(requests=600, throughput=throughput)
        watch.look()
        assert watch.states() == {"orders": State.FIRING}
        assert "/s is usual" in watch.only().says
        watch.scene.seen[route("orders")] = Figures(requests=600, throughput=100.0)
        watch.look()
        assert watch.states() == {"orders": State.RESOLVED}


def test_small_changes_of_what_never_varies_are_not_odd() -> None:
    """A throughput that is always the same has no deviation; the floor keeps a small change from being an alert."""
    watch = Watch("rules: {odd: {anomaly: throughput}}")
    watch.scene.seen[ALL] = Figures(requests=600, throughput=10.0)
    watch.look(1200)
    watch.scene.seen[ALL] = Figures(requests=600, throughput=13.0)
    watch.look()
    assert watch.states() == {}
    watch.scene.seen[ALL] = Figures(requests=600, throughput=14.0)
    watch.look()
    assert watch.states() == {"odd": State.FIRING}


def test_what_is_usual_outlives_a_reload_of_the_same_rule() -> None:
    """Another rule that changes does not make this one learn anew; a change of its own does."""
    watch = Watch("rules: {odd: {anomaly: throughput}}")
    watch.scene.seen[ALL] = Figures(requests=600, throughput=10.0)
    watch.look(1200)
    watch.configure('rules: {odd: {anomaly: throughput}, slow: {when: "p99 > 9s"}}')
    watch.scene.seen[ALL] = Figures(requests=600, throughput=100.0)
    watch.look()
    assert watch.states() == {"odd": State.FIRING}


SILENCE = "rules: {silence: {absent: requests, for: 10m, routes: [orders]}}"


def test_requests_are_absent_after_the_time() -> None:
    """Ten minutes after the last request, of a route that had any or none since the start, it fires; one ends it."""
    watch = Watch(SILENCE)
    watch.scene.since = watch.scene.now
    watch.scene.known["route"] = ["orders", "users"]
    watch.look(590)
    assert watch.states() == {"orders": State.PENDING}
    watch.look()
    assert watch.states() == {"orders": State.FIRING}
    watch.scene.known["route"] = []
    watch.scene.seen[route("orders")] = Figures(requests=1)
    watch.look()
    assert watch.states() == {"orders": State.RESOLVED}


def test_the_gateway_says_what_it_knows_of_itself() -> None:
    """A builtin fires while it is so, with what the gateway says of it, and no other builtin does."""
    watch = Watch("builtin: [breaker_open, reload_refused]")
    finding = Finding("breaker_open", Subject("breaker", "orders"), "half of the calls failed")
    watch.scene.found = [finding, Finding("log_loss", Subject("log", "access log"), "7 lines")]
    watch.look()
    assert watch.only().key == ("breaker_open", "page", "breaker", "orders")
    assert watch.only().says == "half of the calls failed"
    watch.scene.found = []
    watch.look()
    assert watch.states() == {"orders": State.RESOLVED}
