"""When alerts are pending, firing and over."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.monitor.alerts.conditions import Verdict
from gateway.monitor.alerts.sight import Subject
from gateway.monitor.alerts.states import NEXT, Alert, Key, Seen, State, look
from tests.monitor.alerts.support import ALL, Figures, Scene, Watch, route

ERRORS = 'rules: {errors: {when: "error_rate > 5%", over: 1m, for: 2m, by: route, minimum: 50, severity: page}}'
FAILING = Figures(requests=100, errors=20, error_rate=0.2)
WELL = Figures(requests=100)


def test_it_fires_when_its_condition_has_held_for_as_long_as_the_rule_says() -> None:
    """`for: 2m` is two minutes from the first look at which the condition held, and not a look less."""
    watch = Watch(ERRORS, Scene(seen={route("orders"): FAILING}))
    watch.look()
    began = watch.scene.now
    assert watch.only().state is State.PENDING
    watch.look(110)
    assert watch.only().state is State.PENDING
    watch.look()
    assert watch.scene.now - began == 120
    assert watch.only().state is State.FIRING
    assert watch.only().since == began
    assert watch.only().key == Key("errors", "page", "route", "orders")


def test_a_break_begins_the_time_anew() -> None:
    """A condition that fails once while the alert is pending has to hold for the whole time again."""
    watch = Watch(ERRORS, Scene(seen={route("orders"): FAILING}))
    watch.look(110)
    watch.scene.seen[route("orders")] = WELL
    watch.look()
    assert watch.states() == {}
    watch.scene.seen[route("orders")] = FAILING
    watch.look(120)
    assert watch.only().state is State.PENDING


def test_it_is_over_at_the_first_look_that_sees_it_well() -> None:
    """An alert that fired is resolved when its condition does not hold any more, and remembered for an hour."""
    watch = Watch(ERRORS, Scene(seen={route("orders"): FAILING}))
    watch.look(130)
    watch.scene.seen[route("orders")] = WELL
    watch.look()
    assert watch.only().state is State.RESOLVED
    assert watch.only().ended == watch.scene.now
    watch.look(3590)
    assert watch.only().state is State.RESOLVED
    watch.look()
    assert watch.states() == {}


def test_each_subject_has_an_alert_of_its_own() -> None:
    """One route that fails says nothing of another."""
    watch = Watch(ERRORS, Scene(seen={route("orders"): FAILING, route("users"): WELL, route("carts"): FAILING}))
    watch.look(130)
    assert watch.states() == {"orders": State.FIRING, "carts": State.FIRING}


def test_one_that_comes_and_goes_is_over_only_when_it_stays_away() -> None:
    """From the third time within an hour on, it stays firing for a minute, two, four, ... after it was seen well."""
    watch = Watch('rules: {slow: {when: "p99 > 800ms"}}')
    resolved = []
    for _ in range(12):
        watch.scene.seen[ALL] = Figures(requests=10, p99=1.0)
        watch.look(20)
        watch.scene.seen[ALL] = Figures(requests=10, p99=0.1)
        began = watch.scene.now
        watch.look(50)
        resolved.append(watch.only().state is State.RESOLVED)
    assert resolved[:2] == [True, True]
    assert not any(resolved[2:])
    watch.look(900)
    assert watch.only().state is State.RESOLVED
    assert watch.only().ended - began <= 70


def test_one_whose_rule_is_removed_is_over() -> None:
    """A reload without the rule ends its alert, and says why."""
    watch = Watch(ERRORS, Scene(seen={route("orders"): FAILING}))
    watch.look(130)
    watch.configure("{}")
    watch.look()
    assert watch.only().state is State.RESOLVED
    assert watch.only().says == "the rule was removed"


def test_one_whose_subject_is_gone_is_over() -> None:
    """An alert of a route that was removed ends."""
    watch = Watch(ERRORS, Scene(seen={route("orders"): FAILING}))
    watch.look(130)
    watch.scene.seen.clear()
    watch.look()
    assert watch.only().state is State.RESOLVED


def test_after_a_restart_it_is_not_over_before_there_are_figures() -> None:
    """An alert that fired before a restart goes on, and is over when the window of its rule is full and it is well."""
    watch = Watch(ERRORS, Scene(seen={route("orders"): FAILING}))
    watch.look(130)
    again = Watch(ERRORS, Scene(now=watch.scene.now + 5, since=watch.scene.now + 5))
    again.board.restore([watch.only()], again.scene.now)
    again.look(50)
    assert again.only().state is State.FIRING
    again.look()
    assert again.only().state is State.RESOLVED


def test_a_thousand_of_one_rule_are_kept_and_the_rest_is_counted() -> None:
    """However many subjects fail, memory is bounded, and what is left out is known."""
    watch = Watch(ERRORS, Scene(seen={route(f"r{number}"): FAILING for number in range(1500)}))
    watch.look(130)
    assert len(watch.board.firing()) == 1000
    assert watch.board.left_out == {"errors": 500}
    watch.scene.seen = {route(f"new{number}"): FAILING for number in range(1500)}
    watch.look(140)
    assert {alert.key.name[:3] for alert in watch.board.firing()} == {"new"}
    assert len(watch.board.alerts) <= 2000


def test_the_table_is_whole() -> None:
    """Every state has an answer to everything that can be seen."""
    assert all(NEXT[state].keys() == set(Seen) for state in State)


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 600)), max_size=60), st.floats(0, 300))
def test_it_never_fires_early_and_never_forgets_to(steps: list[tuple[bool, float]], lasting: float) -> None:
    """Whatever comes, it fires at the first look at which the condition has held for the time, and at none before."""
    now, held, alert = 1000.0, None, Alert(Key("rule", "page", "all", ""))
    for holds, seconds in steps:
        now += seconds
        held = (now if held is None else held) if holds else None
        before = alert.state
        alert = look(alert, Verdict(Subject("all"), holds), lasting, now)
        due = held is not None and now - held >= lasting
        if before is not State.FIRING:
            assert (alert.state is State.FIRING) == due
        elif holds:
            assert alert.state is State.FIRING
