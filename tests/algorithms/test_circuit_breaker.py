from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.algorithms.circuit_breaker import (
    REFUSED,
    TRANSITIONS,
    BreakerSettings,
    CircuitBreaker,
    Event,
    State,
)

SETTINGS = BreakerSettings(jitter=0)


class Breaker:
    """A breaker with a clock that a test moves."""

    def __init__(self, settings: BreakerSettings = SETTINGS, draw: float = 0.0) -> None:
        self.now = 1000.0
        self.it = CircuitBreaker(settings, self.now, lambda: draw)

    def call(self, *, failed: bool = False, seconds: float = 0.0, times: int = 1) -> int:
        """So many calls, which end at once; how many passed."""
        passed = 0
        for _ in range(times):
            permit = self.it.acquire(self.now)
            if permit != REFUSED:
                self.it.ended(permit, self.now, failed=failed, seconds=seconds)
                passed += 1
        return passed

    def permits(self, times: int) -> list[int]:
        """Those that were given, when so many are asked for."""
        return [permit for permit in (self.it.acquire(self.now) for _ in range(times)) if permit != REFUSED]

    def opened(self) -> Breaker:
        """Open."""
        self.call(failed=True, times=20)
        assert self.it.state is State.OPEN
        return self

    def half_open(self) -> Breaker:
        """Past the open time; the next calls are trials."""
        self.now = self.opened().it.until
        return self

    def recovering(self) -> Breaker:
        """At the start of the ramp."""
        self.half_open().call(times=10)
        assert self.it.state is State.RECOVERING
        return self


@pytest.mark.parametrize(
    ("good", "bad", "state"),
    [
        (0, 19, State.CLOSED),  # too few to judge
        (0, 20, State.OPEN),
        (10, 10, State.OPEN),  # at the limit
        (11, 10, State.CLOSED),
        (839, 2, State.CLOSED),  # many failures, and a small ratio
    ],
)
def test_it_opens_by_ratio_and_not_below_the_minimum(good: int, bad: int, state: State) -> None:
    """Half of at least twenty calls have to fail."""
    breaker = Breaker()
    breaker.call(times=good)
    breaker.call(failed=True, times=bad)
    assert breaker.it.state is state


def test_the_call_that_makes_up_the_minimum_may_be_a_good_one() -> None:
    """Nineteen failures and one success are twenty calls, of which too many failed."""
    breaker = Breaker()
    breaker.call(failed=True, times=19)
    breaker.call()
    assert breaker.it.state is State.OPEN
    assert breaker.it.reason == "19 of 20 calls failed within 30 s"


def test_slow_calls_open_it() -> None:
    """A share of calls that take too long opens it, though none of them failed."""
    breaker = Breaker(replace(SETTINGS, slow=2.0, slow_ratio=0.8))
    breaker.call(times=5)
    breaker.call(seconds=2.0, times=19)
    assert breaker.call(seconds=2.5) == 1
    assert breaker.it.state is State.OPEN
    assert breaker.it.reason == "20 of 25 calls took 2 s or longer within 30 s"


def test_failures_of_long_ago_do_not_count() -> None:
    """Failures leave the window after its 30 seconds."""
    breaker = Breaker()
    breaker.call(failed=True, times=19)
    breaker.now += 30
    breaker.call(failed=True, times=19)
    assert breaker.it.state is State.CLOSED


def test_an_open_one_refuses_until_its_time_is_over() -> None:
    """Nothing passes for the open time; then as many as there are trials, and no more until they have ended."""
    breaker = Breaker().opened()
    assert breaker.it.report(breaker.now).until == breaker.now + 10
    breaker.now += 9.9
    assert breaker.permits(100) == []
    breaker.now += 0.1
    assert len(breaker.permits(100)) == 10


def test_one_that_gets_no_calls_is_half_open_when_its_time_is_over() -> None:
    """It waits for a trial, and says so, without end; the first call is one."""
    breaker = Breaker().opened()
    breaker.now += 10
    over = breaker.now
    for _ in range(3):
        breaker.now += 1000
        report = breaker.it.report(breaker.now)
        assert (report.state, report.since, report.until, report.waiting) == (State.HALF_OPEN, over, None, True)
        assert report.reason.startswith("its open time is over, and the next request is a trial; it opened because ")
    assert len(breaker.permits(100)) == 10
    report = breaker.it.report(breaker.now)
    assert (report.state, report.since, report.waiting) == (State.HALF_OPEN, breaker.now, False)


def test_the_open_time_doubles_up_to_its_cap_and_begins_anew_after_recovery() -> None:
    """10, 20, 40 ... 300 seconds while trials fail; 10 again after it was closed."""
    breaker, times = Breaker().opened(), []
    for _ in range(7):
        times.append(breaker.it.until - breaker.now)
        breaker.now = breaker.it.until
        breaker.call(failed=True, times=10)
    assert times == [10, 20, 40, 80, 160, 300, 300]
    breaker.now = breaker.it.until
    breaker.call(times=10)
    breaker.now += 10
    breaker.call(failed=True, times=20)
    assert breaker.it.until - breaker.now == 10


def test_the_jitter_makes_the_open_time_longer_only() -> None:
    """With a jitter of 10% it lies between 10 and 11 seconds."""
    breaker = Breaker(BreakerSettings(), draw=0.5).opened()
    assert breaker.it.until - breaker.now == pytest.approx(10.5)


def test_trials_that_fail_are_not_all_waited_for() -> None:
    """Once half of the trials have failed, the rest cannot change it."""
    breaker = Breaker().half_open()
    permits = breaker.permits(10)
    for permit in permits[:5]:
        assert breaker.it.state is State.HALF_OPEN
        breaker.it.ended(permit, breaker.now, failed=True, seconds=0)
    assert breaker.it.state is State.OPEN
    assert breaker.it.reason == "5 of 10 calls failed as trials"


def test_a_lost_trial_gives_its_permit_back() -> None:
    """Trials whose clients went away are made by others."""
    breaker = Breaker().half_open()
    for permit in breaker.permits(10):
        breaker.it.give_back(permit, breaker.now, answered=False)
    assert breaker.call(times=10) == 10
    assert breaker.it.state is State.RECOVERING


def test_trials_that_hang_have_failed_when_the_time_is_up() -> None:
    """Half-open ends by itself: what has no answer after 60 seconds counts as failed."""
    breaker = Breaker().half_open()
    began = breaker.now
    permits = breaker.permits(10)
    for permit in permits[:5]:
        breaker.it.ended(permit, breaker.now, failed=False, seconds=0)
    breaker.now += 59.9
    assert breaker.it.report(breaker.now).state is State.HALF_OPEN
    breaker.now += 1
    report = breaker.it.report(breaker.now)
    assert (report.state, report.since, report.until) == (State.OPEN, began + 60, began + 80)
    assert report.reason == "5 of 10 calls failed as trials, or had no answer within 60 s"


def test_few_trials_are_enough_when_there_is_little_traffic() -> None:
    """A service that is asked once a minute is closed again by its one good trial."""
    breaker = Breaker().half_open()
    breaker.call()
    breaker.now += 60
    assert breaker.it.report(breaker.now).state is State.RECOVERING


@pytest.mark.parametrize(("answered", "state"), [(True, State.RECOVERING), (False, State.OPEN)])
def test_trials_that_say_nothing(answered: bool, state: State) -> None:
    """Where only 4xx come the service works; where every client goes away nothing is known, and it stays open."""
    breaker = Breaker().half_open()
    for _ in range(30):
        breaker.it.give_back(breaker.it.acquire(breaker.now), breaker.now, answered=answered)
    began = breaker.now
    breaker.now += 60
    report = breaker.it.report(breaker.now)
    assert report.state is state
    assert report.until == (None if answered else began + 70)  # as long as before, not twice as long


def test_what_began_earlier_is_no_trial() -> None:
    """A call that began before it opened, and ends while trials run, decides nothing."""
    breaker = Breaker()
    early = breaker.permits(20)
    breaker.half_open()
    breaker.permits(1)
    for permit in early:
        breaker.it.ended(permit, breaker.now, failed=True, seconds=0)
        breaker.it.give_back(permit, breaker.now, answered=False)
    assert breaker.it.state is State.HALF_OPEN
    assert len(breaker.permits(100)) == 9


def test_the_ramp_is_linear() -> None:
    """Of a steady stream, the share that passes grows from none to all while the ramp lasts."""
    breaker, shares = Breaker().recovering(), []
    began = breaker.now
    for tenth in range(10):
        passed = 0
        for step in range(1000):
            breaker.now = began + tenth + step / 1000
            passed += breaker.call()
        shares.append(passed / 1000)
    assert shares == pytest.approx([0.05 + tenth / 10 for tenth in range(10)], abs=0.02)
    breaker.now = began + 10
    assert breaker.call(times=1000) == 1000
    assert breaker.it.state is State.CLOSED
    assert breaker.it.since == began + 10


def test_a_failure_on_the_ramp_opens_it_again_for_longer() -> None:
    """Twenty failures on the ramp open it, for twice as long."""
    breaker = Breaker().recovering()
    breaker.now += 9.9
    breaker.call(failed=True, times=100)
    assert breaker.it.state is State.OPEN
    assert breaker.it.until - breaker.now == pytest.approx(20)


def test_forced_states_stay() -> None:
    """Forced open nothing passes, forced closed all does, whatever happens and however long."""
    breaker = Breaker()
    breaker.it.force_open(breaker.now, "by ada: maintenance")
    breaker.now += 10_000
    assert breaker.permits(10) == []
    assert breaker.it.report(breaker.now).reason == "by ada: maintenance"
    breaker.it.force_closed(breaker.now, "by ada: ignore the errors")
    assert breaker.call(failed=True, times=1000) == 1000
    assert breaker.it.report(breaker.now).errors == 1000
    breaker.it.automatic(breaker.now, "by ada")
    assert breaker.it.state is State.CLOSED
    breaker.opened()


def test_after_it_was_forced_open_the_ramp_leads_back() -> None:
    """What was left alone by hand gets its calls gradually."""
    breaker = Breaker()
    breaker.it.force_open(breaker.now, "by ada")
    breaker.it.automatic(breaker.now, "by ada")
    assert breaker.it.state is State.RECOVERING


def test_automatic_means_nothing_to_one_that_is_not_forced() -> None:
    """An open breaker is not closed by `auto`."""
    breaker = Breaker().opened()
    breaker.it.automatic(breaker.now, "by ada")
    assert breaker.it.report(breaker.now).reason == "20 of 20 calls failed within 30 s"


def test_new_settings_keep_the_state_and_what_is_known() -> None:
    """A reload with another window neither closes an open breaker nor forgets the failures of a closed one."""
    breaker = Breaker()
    breaker.call(failed=True, times=19)
    breaker.it.configure(replace(SETTINGS, window=60))
    breaker.call(failed=True)
    assert breaker.it.state is State.OPEN
    breaker.it.configure(SETTINGS)
    assert breaker.it.state is State.OPEN


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_way_out(state: State) -> None:
    """From every state there is a way back to closed, and operators may force every state."""
    reached, new = {state}, [state]
    while new:
        found = set(TRANSITIONS[new.pop()].values()) - reached
        reached |= found
        new += found
    assert State.CLOSED in reached
    assert TRANSITIONS[state][Event.FORCE_OPEN] is State.FORCED_OPEN
    assert TRANSITIONS[state][Event.FORCE_CLOSED] is State.FORCED_CLOSED


@given(st.integers(1, 200), st.integers(0, 200), st.integers(1, 100))
def test_the_ratio_is_exact(calls: int, errors: int, percent: int) -> None:
    """It opens where the share of errors is at least the limit, in whole numbers, without errors of rounding."""
    errors = min(errors, calls)
    breaker = Breaker(replace(SETTINGS, error_ratio=percent / 100, minimum=calls))
    breaker.call(failed=True, times=min(errors, calls - 1))
    breaker.call(times=calls - 1 - min(errors, calls - 1))
    breaker.call(failed=errors == calls)
    assert (breaker.it.state is State.OPEN) == (errors * 100 >= percent * calls)


class BreakerMachine(RuleBasedStateMachine):
    """Compares the breaker with one that keeps every call as it was and looks at all of them each time."""

    SETTINGS = BreakerSettings(0.5, 0.75, 2.0, 4, 5, 4.0, 12.0, 0, 3, 6.0, 0)

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.breaker = CircuitBreaker(self.SETTINGS, self.now, random.Random(1).random)
        self.state = State.CLOSED
        self.calls: list[tuple[int, bool, bool]] = []  # second, failed, slow
        self.period = 0
        self.in_flight: list[tuple[int, int]] = []  # permit, the model's period
        self.until = self.began = 0.0
        self.failures = 0
        self.answered = False

    # The model.

    def enter(self, state: State, at: float) -> None:
        self.state, self.began, self.calls, self.answered = state, at, [], False
        self.period += 1
        if state is State.OPEN:
            self.until = at + min(4.0 * 2**self.failures, 12.0)
            self.failures += 1
        if state is State.CLOSED:
            self.failures = 0

    def outstanding(self) -> int:
        return sum(period == self.period for _, period in self.in_flight)

    def too_many(self, number: int, unanswered: int = 0) -> bool:
        errors = sum(failed for _, failed, _ in self.calls) + unanswered
        slow = sum(slow for _, _, slow in self.calls)
        return number > 0 and (errors / number >= 0.5 or slow / number >= 0.75)

    def time_passes(self) -> None:
        if self.state is not State.HALF_OPEN or self.now < self.began + 6:
            return
        number, hanging = len(self.calls) + self.outstanding(), self.outstanding()
        if self.too_many(number, hanging):
            self.enter(State.OPEN, self.began + 6)
        elif number or self.answered:
            self.enter(State.CLOSED, self.began + 6)  # without a ramp
        else:
            self.failures -= 1
            self.enter(State.OPEN, self.began + 6)

    # What happens to both.

    @rule(seconds=st.sampled_from([0.25, 1.0, 2.5, 4.0, 7.0, 13.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.time_passes()

    @rule()
    def begin(self) -> None:
        permit = self.breaker.acquire(self.now)
        if self.state is State.OPEN and self.now >= self.until:
            self.enter(State.HALF_OPEN, self.now)
        allowed = self.state in {State.CLOSED, State.FORCED_CLOSED} or (
            self.state is State.HALF_OPEN and len(self.calls) + self.outstanding() < 3
        )
        assert (permit != REFUSED) == allowed
        if allowed:
            self.in_flight.append((permit, self.period))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), failed=st.booleans(), seconds=st.sampled_from([0.1, 2.0]))
    def end(self, data: st.DataObject, failed: bool, seconds: float) -> None:
        index = data.draw(st.integers(0, len(self.in_flight) - 1))
        permit, period = self.in_flight.pop(index)
        self.breaker.ended(permit, self.now, failed=failed, seconds=seconds)
        if period != self.period:
            return
        self.calls.append((int(self.now), failed, seconds >= 2))
        if self.state is State.CLOSED:
            self.calls = [call for call in self.calls if call[0] > int(self.now) - 5]
            if len(self.calls) >= 4 and self.too_many(len(self.calls)):
                self.enter(State.OPEN, self.now)
        elif self.state is State.HALF_OPEN:
            if self.too_many(3):
                self.enter(State.OPEN, self.now)
            elif len(self.calls) == 3:
                self.enter(State.CLOSED, self.now)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), answered=st.booleans())
    def lose(self, data: st.DataObject, answered: bool) -> None:
        index = data.draw(st.integers(0, len(self.in_flight) - 1))
        permit, period = self.in_flight.pop(index)
        self.breaker.give_back(permit, self.now, answered=answered)
        if period == self.period and self.state is State.HALF_OPEN:
            self.answered = self.answered or answered

    @rule(closed=st.booleans())
    def force(self, closed: bool) -> None:
        if closed:
            self.breaker.force_closed(self.now, "by hand")
        else:
            self.breaker.force_open(self.now, "by hand")
        self.enter(State.FORCED_CLOSED if closed else State.FORCED_OPEN, self.now)

    @precondition(lambda self: self.state in {State.FORCED_CLOSED, State.FORCED_OPEN})
    @rule()
    def automatic(self) -> None:
        self.breaker.automatic(self.now, "by hand")
        self.enter(State.CLOSED, self.now)

    @invariant()
    def agree(self) -> None:
        report = self.breaker.report(self.now)
        waits = self.state is State.OPEN and self.now >= self.until
        assert (report.state, report.waiting) == (State.HALF_OPEN if waits else self.state, waits)
        if report.state is State.OPEN:
            assert report.until == self.until


TestBreakerMachine = BreakerMachine.TestCase
