"""The state machine of rollouts: its transitions by figures and time steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control_plane.rollouts import (
    ACTIVE,
    Figures,
    Guard,
    Rollout,
    Standing,
    Strategy,
    abort,
    pause,
    resume,
    rollout_of,
    step,
    strategy_of,
)

CANARY = Strategy(canary_count=1, wait=60, guard=Guard(error_rate=0.05))
GOOD = Figures(1000, 0, 0.01)
BAD = Figures(1000, 500, 0.01)


@dataclass
class Fleet:
    """Simulated gateways, and the control plane's view of them."""

    rollout: Rollout
    names: Iterable[str] = ("a", "b", "c")
    gateways: dict[str, Standing] = field(default_factory=dict)
    new: set[str] = field(default_factory=set)
    in_force: bool = False
    takes: Callable[[str], bool] = lambda _: True
    figures: Figures = GOOD
    states: list[str] = field(default_factory=list)
    approvals: int = 0

    def __post_init__(self) -> None:
        for name in self.names:
            self.gateways[name] = Standing(name, alive=True, runs=False, recent=GOOD)

    def step(self, elapsed: float = 1.0) -> None:
        kept = json.loads(json.dumps([asdict(self.rollout.strategy), self.rollout.progress()]))  # as over a restart
        r = rollout_of(kept[0], self.rollout.state, kept[1], self.rollout.reason, can_go_back=self.rollout.can_go_back)
        self.rollout, actions = step(r, self.gateways, elapsed, self.approvals)
        self.new |= set(actions.assign)
        self.new -= set(actions.restore)
        self.in_force = self.in_force or actions.finish
        self.states.append(f"{self.rollout.state}:{self.rollout.phase}")
        for name, each in self.gateways.items():
            runs = name in self.new and self.takes(name)
            self.gateways[name] = replace(each, runs=runs, figures=self.figures if runs else Figures())

    def steps(self, count: int, elapsed: float = 1.0) -> None:
        for _ in range(count):
            self.step(elapsed)

    def change(self, name: str, **changes: object) -> None:
        self.gateways[name] = replace(self.gateways[name], **changes)  # type: ignore[arg-type]


def test_canary_then_rest() -> None:
    """One gateway takes the revision, is watched for as long as asked, then the others take it, and it is in force."""
    fleet = Fleet(Rollout(CANARY))
    fleet.steps(10, 5)
    assert fleet.new == {"a"}
    assert fleet.rollout.state == "running"
    fleet.steps(10, 5)
    assert (fleet.rollout.state, fleet.new, fleet.in_force) == ("done", {"a", "b", "c"}, True)


def test_broken_canary_is_rolled_back() -> None:
    """A canary that fails requests is taken back before the wait is over, and no other gateway takes the revision."""
    fleet = Fleet(Rollout(CANARY), figures=BAD)
    fleet.steps(6)
    assert (fleet.rollout.state, fleet.new, fleet.in_force) == ("rolled_back", set(), False)
    assert fleet.rollout.reason == "the canaries failed 50.0% of 1000 requests; at most 5.0% may"


def test_all_at_once() -> None:
    """Without canary and wait, all gateways take it at once, and it is done when all run it."""
    fleet = Fleet(Rollout(Strategy()))
    fleet.steps(3)
    assert fleet.new == {"a", "b", "c"}
    fleet.steps(1)
    assert fleet.rollout.state == "done"


def test_no_gateways() -> None:
    """In an environment without gateways the revision is in force at once, for those that will come."""
    fleet = Fleet(Rollout(CANARY), names=())
    fleet.steps(6)
    assert fleet.rollout.state == "done"
    assert fleet.in_force


@pytest.mark.parametrize(
    ("strategy", "count"),
    [
        (Strategy(canary_count=2, wait=60), 2),
        (Strategy(canary_count=99, wait=60), 10),
        (Strategy(canary_share=0.25, wait=60), 3),
        (Strategy(canary_share=0.3, wait=60), 3),
        (Strategy(canary_share=0.001, wait=60), 1),
        (Strategy(canary_share=1.0, wait=60), 10),
        (Strategy(wait=60), 10),
    ],
)
def test_number_of_canaries(strategy: Strategy, count: int) -> None:
    """A number, a share of the gateways (rounded up), or all of them."""
    fleet = Fleet(Rollout(strategy), names=[f"g{number}" for number in range(10)])
    fleet.steps(5)
    assert len(fleet.new) == count


def test_refusal_rolls_back() -> None:
    """A gateway that refuses the revision ends the rollout with what it said, in every phase of it."""
    fleet = Fleet(Rollout(CANARY), takes=lambda _: False)
    fleet.steps(4)
    fleet.change("a", refusal="routes.yaml:3:5: the environment variable X is not set")
    fleet.step()
    assert (fleet.rollout.state, fleet.new) == ("rolled_back", set())
    assert fleet.rollout.reason == "a refuses it: routes.yaml:3:5: the environment variable X is not set"


def test_refusal_by_one_of_the_rest() -> None:
    """One of the rest that refuses takes the revision back from all."""
    fleet = Fleet(Rollout(Strategy()), takes=lambda name: name != "c")
    fleet.steps(3)
    fleet.change("c", refusal="no")
    fleet.step()
    assert (fleet.rollout.state, fleet.new) == ("rolled_back", set())


def test_nothing_to_go_back_to() -> None:
    """The first revision of an environment has no former one: its rollout has failed, and says so."""
    fleet = Fleet(Rollout(CANARY, can_go_back=False), figures=BAD)
    fleet.steps(6)
    assert fleet.rollout.state == "failed"
    assert "no former revision" in str(fleet.rollout.reason)


def test_canary_that_never_takes_it() -> None:
    """A canary that neither takes nor refuses the revision is not waited for for ever."""
    fleet = Fleet(Rollout(replace(CANARY, timeout=100)), takes=lambda _: False)
    fleet.steps(9, 10)
    assert fleet.rollout.reason == "waits for a to take it"
    fleet.steps(6, 10)
    assert fleet.rollout.state == "rolled_back"
    assert fleet.rollout.reason == "a did not take it within 100 s"


def test_canary_that_falls_silent() -> None:
    """A canary that does not report any more is taken for broken."""
    fleet = Fleet(Rollout(CANARY))
    fleet.steps(5)
    fleet.change("a", alive=False)
    fleet.step()
    assert fleet.rollout.state == "rolled_back"
    assert "has not reported since" in str(fleet.rollout.reason)


def test_canaries_are_of_those_that_report() -> None:
    """A gateway that is away is no canary, and does not hold the rest up: it takes the revision when it is back."""
    fleet = Fleet(Rollout(CANARY), takes=lambda name: name != "a")
    fleet.change("a", alive=False)
    fleet.steps(4)
    assert fleet.new == {"b"}
    fleet.steps(20, 5)
    assert (fleet.rollout.state, fleet.new) == ("done", {"a", "b", "c"})
    assert fleet.rollout.reason == "a will take it when heard of again"


def test_no_gateway_reports() -> None:
    """Without a gateway that reports there is no canary; after a time the rollout ends without having done anything."""
    fleet = Fleet(Rollout(replace(CANARY, timeout=60)))
    for name in "abc":
        fleet.change(name, alive=False)
    fleet.steps(5, 10)
    assert (fleet.rollout.state, fleet.new) == ("running", set())
    fleet.steps(5, 10)
    assert (fleet.rollout.state, fleet.new) == ("rolled_back", set())


def test_few_requests() -> None:
    """A share of few requests shows nothing while there is time, and is all there is to judge by when it is over."""
    fleet = Fleet(Rollout(CANARY), figures=Figures(2, 1))
    fleet.steps(30)
    assert fleet.rollout.is_active
    fleet.steps(40)
    assert fleet.rollout.state == "rolled_back"


def test_without_requests() -> None:
    """Canaries without requests pass if no minimum of requests is configured."""
    fleet = Fleet(Rollout(CANARY), figures=Figures())
    fleet.steps(80)
    assert fleet.rollout.state == "done"


def test_too_few_requests() -> None:
    """Where a number of requests is asked for, the rollout waits for them, then pauses; resumed, it goes on."""
    strategy = replace(CANARY, guard=Guard(min_requests=100), timeout=120)
    fleet = Fleet(Rollout(strategy), figures=Figures(30))
    fleet.steps(70)
    assert fleet.rollout.reason == "the canaries have answered 30 requests, of 100 that are needed"
    fleet.steps(60)
    assert fleet.rollout.state == "paused"
    fleet.rollout = resume(fleet.rollout)
    fleet.steps(5)
    assert fleet.rollout.state == "done"


@pytest.mark.parametrize(
    ("guard", "canaries", "rest", "rolled_back"),
    [
        (Guard(p95=0.5), Figures(100, 0, 0.6), GOOD, True),
        (Guard(p95=0.5), Figures(100, 0, 0.4), GOOD, False),
        (Guard(p95=0.5), Figures(100, 0, None), GOOD, False),
        (Guard(p95_over_rest=2), Figures(100, 0, 0.03), GOOD, True),
        (Guard(p95_over_rest=4), Figures(100, 0, 0.03), GOOD, False),
        (Guard(error_rate=None, error_rate_over_rest=0.02), Figures(100, 30), Figures(100, 29), False),
        (Guard(error_rate=None, error_rate_over_rest=0.02), Figures(100, 33), Figures(100, 30), True),
        (Guard(error_rate=None), Figures(100, 100), GOOD, False),
    ],
)
def test_guards(guard: Guard, canaries: Figures, rest: Figures, rolled_back: bool) -> None:
    """Each limit by itself, and against the other gateways."""
    fleet = Fleet(Rollout(replace(CANARY, guard=guard)), figures=canaries)
    for name in "abc":
        fleet.change(name, recent=rest)
    fleet.steps(6)
    assert (fleet.rollout.state == "rolled_back") is rolled_back


def test_compared_with_what_was_before() -> None:
    """Where all gateways are canaries, they are compared with what they did before."""
    guard = Guard(error_rate=None, error_rate_over_rest=0.02)
    fleet = Fleet(Rollout(Strategy(wait=60, guard=guard)), figures=Figures(100, 5))
    fleet.steps(6)
    assert fleet.rollout.state == "rolled_back"


def test_pause_and_resume() -> None:
    """Paused, no further gateway takes the revision and no time passes; a guard that is broken still rolls back."""
    fleet = Fleet(Rollout(CANARY))
    fleet.steps(5)
    fleet.rollout = pause(fleet.rollout, "paused by ops")
    fleet.steps(100)
    assert (fleet.rollout.state, fleet.new) == ("paused", {"a"})
    going = resume(fleet.rollout)
    fleet.figures = BAD
    fleet.steps(2)
    assert fleet.rollout.state == "rolled_back"
    assert going.state == "running"


def test_approvals() -> None:
    """It begins when enough people have approved it."""
    fleet = Fleet(Rollout(Strategy(approvals=2)))
    fleet.approvals = 1
    fleet.steps(3)
    assert (fleet.rollout.state, fleet.rollout.reason) == ("pending", "waits for 1 approval")
    fleet.approvals = 2
    fleet.steps(5)
    assert fleet.rollout.state == "done"


def test_abort() -> None:
    """Whatever has been done is undone; what is at its end cannot be aborted, paused or resumed."""
    fleet = Fleet(Rollout(CANARY))
    fleet.steps(5)
    ended, actions = abort(fleet.rollout, "aborted by ops")
    assert (ended.state, ended.reason, actions.restore) == ("rolled_back", "aborted by ops", ("a",))
    with pytest.raises(ValueError, match="rolled_back"):
        abort(ended, "again")
    with pytest.raises(ValueError, match="rolled_back"):
        pause(ended, "")
    with pytest.raises(ValueError, match="rolled_back"):
        resume(ended)


def test_a_clock_that_jumps() -> None:
    """An hour in which no control plane ran does not count."""
    fleet = Fleet(Rollout(CANARY))
    fleet.steps(4)
    fleet.step(3600)
    fleet.step(-3600)
    assert (fleet.rollout.state, fleet.new) == ("running", {"a"})


def test_gateways_that_come_and_go() -> None:
    """A gateway that joins in the middle takes the revision with the rest; one that leaves is not waited for."""
    fleet = Fleet(Rollout(CANARY), takes=lambda name: name != "a")
    fleet.steps(4)
    del fleet.gateways["a"]
    fleet.gateways["d"] = Standing("d", alive=True, runs=False)
    fleet.steps(30, 5)
    assert fleet.rollout.state == "done"
    assert fleet.new >= {"b", "c", "d"}


def test_kept_strategy_with_unknown_words() -> None:
    """What a newer control plane has written is read by an older one as far as it knows it."""
    kept = asdict(CANARY) | {"newer": 1, "guard": asdict(CANARY.guard) | {"newest": 2}}
    assert strategy_of(kept) == CANARY


standings = st.builds(
    Standing,
    name=st.sampled_from(["a", "b", "c"]),
    alive=st.booleans(),
    runs=st.booleans(),
    refusal=st.sampled_from([None, None, None, "no"]),
    figures=st.builds(Figures, st.integers(0, 50), st.integers(0, 5), st.floats(0, 1)),
    recent=st.builds(Figures, st.integers(0, 50), st.integers(0, 5)),
)
strategies = st.builds(
    Strategy,
    canary_count=st.none() | st.integers(1, 4),
    wait=st.floats(0, 30),
    approvals=st.integers(0, 1),
    timeout=st.floats(1, 60),
)


@given(strategies, st.lists(st.dictionaries(st.sampled_from("abcd"), standings, max_size=4), max_size=40))
def test_whatever_happens(strategy: Strategy, moments: list[dict[str, Standing]]) -> None:
    """No gateway has the revision after a roll-back, and what is at its end stays there."""
    rollout, new = Rollout(strategy), set[str]()
    for number, gateways in enumerate(moments):
        before = rollout
        rollout, actions = step(rollout, gateways, 5.0, approvals=number)
        assert set(actions.assign) <= gateways.keys()
        assert before.is_active or (rollout == before and not actions.assign and not actions.restore)
        new = (new | set(actions.assign)) & gateways.keys()
        if rollout.state == "rolled_back" and before.is_active:
            assert new <= set(actions.restore)
        assert actions.finish == (rollout.state == "done" and before.state in ACTIVE)
