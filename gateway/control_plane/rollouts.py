"""A rollout, step by step: which gateways take the revision when, and when it is taken back. Pure: no clock, no I/O.

    pending --approved--> running: canary -> taking -> judging -> rest -> settling --> done
                          running <--pause, resume--> paused
    any of these --guard, refusal, silence, abort--> rolled_back, or failed where there is nothing to go back to

Time is what has passed since the last step, so that a clock that jumps moves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal

from gateway.plurals import counted

State = Literal["pending", "running", "paused", "done", "rolled_back", "failed"]
Phase = Literal["canary", "taking", "judging", "rest", "settling"]

ACTIVE: Final = ("pending", "running", "paused")
LONGEST_STEP: Final = 10.0  # seconds that count of the time between two steps: nothing was looked at in between


@dataclass(frozen=True, slots=True)
class Guard:
    """Limits for canaries. None: unlimited."""

    error_rate: float | None = 0.05  # share of requests
    p95: float | None = None  # seconds
    error_rate_over_rest: float | None = None  # share that may come on top of what the other gateways have
    p95_over_rest: float | None = None  # factor
    min_requests: int | None = None  # that it takes to go on; None: the time is enough

    @property
    def enough(self) -> int:
        """Requests that show something before the time is over."""
        return self.min_requests or 20


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a revision is brought to the gateways of an environment."""

    canary_count: int | None = None
    canary_share: float | None = None  # of all gateways; at least one
    wait: float = 0.0  # seconds that canaries are watched
    guard: Guard = Guard()
    approvals: int = 0
    timeout: float = 600.0  # seconds for a phase; then it has failed, or pauses where only requests are missing

    @property
    def watches(self) -> bool:
        """Whether there is anything to wait for before the rest."""
        return self.canary_count is not None or self.canary_share is not None or self.wait > 0

    @property
    def longest_watch(self) -> float:
        """Seconds after which canaries with too few requests are not waited for any more."""
        return max(self.timeout, self.wait)

    def canaries_of(self, count: int) -> int:
        """How many of so many gateways."""
        if self.canary_count is not None:
            return min(self.canary_count, count)
        return count if self.canary_share is None else min(count, max(1, math.ceil(self.canary_share * count - 1e-9)))


@dataclass(frozen=True, slots=True)
class Figures:
    """Results of requests."""

    requests: int = 0
    errors: int = 0
    p95: float | None = None  # seconds, of the last minute

    @property
    def error_rate(self) -> float:
        """The share of requests that failed."""
        return self.errors / self.requests if self.requests else 0.0

    @staticmethod
    def together(several: Iterable[Figures]) -> Figures:
        """The sums, and the worst p95."""
        figures = list(several)
        p95s = [each.p95 for each in figures if each.p95 is not None]
        requests, errors = sum(each.requests for each in figures), sum(each.errors for each in figures)
        return Figures(requests, errors, max(p95s) if p95s else None)


@dataclass(frozen=True, slots=True)
class Standing:
    """How one gateway of the environment is now. `figures` are of requests since it has run the revision; `recent`, of
    the last minute."""

    name: str
    alive: bool  # it reports, or may do so again in a moment
    runs: bool  # the revision, in all its processes
    heard: bool = True  # it reports for sure
    estranged: bool = False  # it has a revision of a control plane that knew more than this one
    refusal: str | None = None  # why it does not take the revision
    figures: Figures = Figures()
    recent: Figures = Figures()


@dataclass(frozen=True, slots=True)
class Rollout:
    """Where a rollout is: what is kept of it."""

    strategy: Strategy
    state: State = "pending"
    phase: Phase = "canary"
    canaries: tuple[str, ...] = ()  # identifiers of gateways
    assigned: tuple[str, ...] = ()  # those, and the rest
    waited: float = 0.0  # seconds in this phase
    before: Figures = Figures()  # of the canaries, in the minute before
    reason: str | None = None
    can_go_back: bool = True  # there is a former revision

    @property
    def is_active(self) -> bool:
        """Whether it is not at its end."""
        return self.state in ACTIVE

    def progress(self) -> dict[str, Any]:
        """Its stored progress beside state, strategy and reason, as JSON."""
        return {
            "phase": self.phase,
            "canaries": list(self.canaries),
            "assigned": list(self.assigned),
            "waited": round(self.waited, 3),
            "before": asdict(self.before),
        }


@dataclass(frozen=True, slots=True)
class Actions:
    """Actions on the gateways, together with the new state."""

    assign: tuple[str, ...] = ()  # they are to run the revision
    restore: tuple[str, ...] = ()  # and these what they ran before
    finish: bool = False  # the revision is in force in the environment


Gateways = Mapping[str, Standing]
Step = tuple[Rollout, Actions]

NOTHING: Final = Actions()

_ESTRANGED: Final = (
    "was given a revision that is not known here: the database may be an older one; nothing was changed, begin again"
)


def step(rollout: Rollout, gateways: Gateways, elapsed: float, approvals: int = 0) -> Step:
    """The next step. `gateways`: all of the environment by identifier; `elapsed`: seconds since the last step."""
    if rollout.state == "pending":
        return _pending(rollout, approvals)
    if not rollout.is_active:
        return rollout, NOTHING
    kept = tuple(each for each in rollout.assigned if each in gateways)  # others have left the environment
    if kept != rollout.assigned:
        rollout = replace(rollout, assigned=kept, canaries=tuple(each for each in rollout.canaries if each in gateways))
    estranged = sorted(gateways[each].name for each in rollout.assigned if gateways[each].estranged)
    if estranged:
        return replace(rollout, state="failed", reason=f"{', '.join(estranged[:3])} {_ESTRANGED}"), NOTHING
    wrong = _wrong(rollout, gateways)
    if wrong is not None:
        return _back(rollout, wrong)
    if rollout.state == "paused":
        return rollout, NOTHING
    waited = rollout.waited + min(max(elapsed, 0.0), LONGEST_STEP)
    return _PHASES[rollout.phase](replace(rollout, waited=waited), gateways)


def pause(rollout: Rollout, reason: str) -> Rollout:
    """The gateways stay as they are. Raises ValueError where it is not running."""
    if rollout.state != "running":
        raise ValueError(f"the rollout is {rollout.state}; only one that is running can be paused")
    return replace(rollout, state="paused", reason=reason)


def resume(rollout: Rollout) -> Rollout:
    """It goes on, also where it had paused for too few requests. Raises ValueError where it is not paused."""
    if rollout.state != "paused":
        raise ValueError(f"the rollout is {rollout.state}; only one that is paused can be resumed")
    if rollout.phase == "judging" and rollout.waited >= rollout.strategy.longest_watch:
        return replace(rollout, state="running", phase="rest", waited=0.0, reason=None)
    return replace(rollout, state="running", reason=None)


def abort(rollout: Rollout, reason: str) -> Step:
    """Roll it back. Raises ValueError if it has ended."""
    if not rollout.is_active:
        raise ValueError(f"the rollout is {rollout.state}, and nothing of it is left to abort")
    return _back(rollout, reason)


def _pending(rollout: Rollout, approvals: int) -> Step:
    missing = rollout.strategy.approvals - approvals
    if missing > 0:
        return replace(rollout, reason=f"waits for {counted(missing, 'approval')}"), NOTHING
    first: Phase = "canary" if rollout.strategy.watches else "rest"
    return replace(rollout, state="running", phase=first, waited=0.0, reason=None), NOTHING


def _canary(rollout: Rollout, gateways: Gateways) -> Step:
    """The first gateways take it: of those that report, by name."""
    if not gateways:
        return _next(rollout, "rest"), NOTHING
    heard = (each for each, standing in gateways.items() if standing.alive and standing.heard)
    alive = sorted(heard, key=lambda each: gateways[each].name)
    if not alive:
        late = f"no gateway of the environment has reported for {rollout.strategy.timeout:g} s"
        return _late(rollout, late) or (replace(rollout, reason="waits for a gateway that reports"), NOTHING)
    chosen = tuple(alive[: rollout.strategy.canaries_of(len(gateways))])
    before = Figures.together(gateways[each].recent for each in chosen)
    begun = replace(_next(rollout, "taking"), canaries=chosen, assigned=chosen, before=before)
    return begun, Actions(assign=chosen)


def _taking(rollout: Rollout, gateways: Gateways) -> Step:
    """They take it."""
    waiting = [gateways[each].name for each in rollout.canaries if not gateways[each].runs]
    if waiting:
        return _wait_for(rollout, waiting)
    return _next(rollout, "judging" if rollout.canaries else "canary"), NOTHING


def _judging(rollout: Rollout, gateways: Gateways) -> Step:
    """They are watched, and judged at the end of it."""
    waiting = [gateways[each].name for each in rollout.canaries if not gateways[each].runs]
    if rollout.waited < rollout.strategy.wait or waiting:
        return _wait_for(rollout, waiting) if waiting else (replace(rollout, reason=None), NOTHING)
    if not rollout.canaries:
        return _next(rollout, "canary"), NOTHING
    figures = Figures.together(gateways[each].figures for each in rollout.canaries)
    wrong = _judged(rollout, figures, _rest(rollout, gateways), enough=1)
    if wrong is not None:
        return _back(rollout, wrong)
    needed = rollout.strategy.guard.min_requests
    if needed is None or figures.requests >= needed:
        return _next(rollout, "rest"), NOTHING
    seen = f"the canaries have answered {counted(figures.requests, 'request')}, of {needed} that are needed"
    if rollout.waited < rollout.strategy.longest_watch:
        return replace(rollout, reason=seen), NOTHING
    return pause(rollout, f"{seen}; resume it to go on without them, or abort it"), NOTHING


def _to_rest(rollout: Rollout, gateways: Gateways) -> Step:
    """All others take it."""
    others = tuple(sorted(each for each in gateways if each not in rollout.assigned))
    return replace(_next(rollout, "settling"), assigned=(*rollout.assigned, *others)), Actions(assign=others)


def _settling(rollout: Rollout, gateways: Gateways) -> Step:
    """All that report run it. Those that do not will take it when they are back."""
    new = tuple(sorted(each for each in gateways if each not in rollout.assigned))  # they have joined meanwhile
    if new:
        return replace(rollout, assigned=(*rollout.assigned, *new)), Actions(assign=new)
    waiting = [each.name for each in gateways.values() if each.alive and not each.runs]
    if waiting:
        return _wait_for(rollout, waiting)
    silent = sorted(each.name for each in gateways.values() if not each.alive and not each.runs)
    reason = f"{', '.join(silent[:3])} will take it when heard of again" if silent else None
    return replace(rollout, state="done", reason=reason), Actions(finish=True)


_PHASES: Final[Mapping[Phase, Callable[[Rollout, Gateways], Step]]] = {
    "canary": _canary,
    "taking": _taking,
    "judging": _judging,
    "rest": _to_rest,
    "settling": _settling,
}


def _wait_for(rollout: Rollout, names: Sequence[str]) -> Step:
    """For these gateways, but not for ever."""
    some = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    late = f"{some} did not take it within {rollout.strategy.timeout:g} s"
    return _late(rollout, late) or (replace(rollout, reason=f"waits for {some} to take it"), NOTHING)


def _next(rollout: Rollout, phase: Phase) -> Rollout:
    return replace(rollout, phase=phase, waited=0.0, reason=None)


def _late(rollout: Rollout, reason: str) -> Step | None:
    most = rollout.strategy.timeout + (rollout.strategy.wait if rollout.phase == "judging" else 0.0)
    return _back(rollout, reason) if rollout.waited >= most else None


def _back(rollout: Rollout, reason: str) -> Step:
    if rollout.assigned and not rollout.can_go_back:
        reason += "; there is no former revision to go back to: roll out one that is right"
        return replace(rollout, state="failed", reason=reason), Actions(restore=rollout.assigned)
    return replace(rollout, state="rolled_back", reason=reason), Actions(restore=rollout.assigned)


def _wrong(rollout: Rollout, gateways: Gateways) -> str | None:
    """Why what was done must be undone, at any time of it."""
    for each in sorted(rollout.assigned, key=lambda each: gateways[each].name):
        if (refusal := gateways[each].refusal) is not None:
            return f"{gateways[each].name} refuses it: {refusal}"
    if rollout.phase not in ("taking", "judging"):
        return None
    silent = [gateways[each].name for each in rollout.canaries if not gateways[each].alive]
    if silent:
        return f"{', '.join(silent[:3])} took it, and has not reported since"
    running = [gateways[each].figures for each in rollout.canaries if gateways[each].runs]
    return _judged(rollout, Figures.together(running), _rest(rollout, gateways), rollout.strategy.guard.enough)


def _rest(rollout: Rollout, gateways: Gateways) -> Figures:
    """The figures to compare canaries with: the other gateways now, or the canaries before."""
    others = Figures.together(each.recent for key, each in gateways.items() if key not in rollout.assigned)
    return others if others.requests else rollout.before


def _judged(rollout: Rollout, canaries: Figures, rest: Figures, enough: int) -> str | None:
    """The figure out of bounds, if there are enough requests."""
    guard = rollout.strategy.guard
    if canaries.requests < max(enough, 1):
        return None
    rate, seen = canaries.error_rate, f"of {counted(canaries.requests, 'request')}"
    if guard.error_rate is not None and rate > guard.error_rate:
        return f"the canaries failed {rate:.1%} {seen}; at most {guard.error_rate:.1%} may"
    if guard.error_rate_over_rest is not None and rest.requests and rate > rest.error_rate + guard.error_rate_over_rest:
        return f"the canaries failed {rate:.1%} {seen}, the others {rest.error_rate:.1%}"
    if guard.p95 is not None and canaries.p95 is not None and canaries.p95 > guard.p95:
        return f"the canaries' p95 is {canaries.p95 * 1000:.0f} ms; at most {guard.p95 * 1000:.0f} ms may be"
    if (
        guard.p95_over_rest is not None
        and canaries.p95 is not None
        and rest.p95
        and canaries.p95 > rest.p95 * guard.p95_over_rest
    ):
        return f"the canaries' p95 is {canaries.p95 * 1000:.0f} ms, that of the others {rest.p95 * 1000:.0f} ms"
    return None


def strategy_of(kept: Mapping[str, Any]) -> Strategy:
    """From what `asdict` made of one. What it does not know it passes over."""
    guard = _known(Guard, kept.get("guard") or {})
    return Strategy(**{**_known(Strategy, kept), "guard": Guard(**guard)})


def rollout_of(
    strategy: Mapping[str, Any], state: State, progress: Mapping[str, Any], reason: str | None, *, can_go_back: bool
) -> Rollout:
    """From what is kept."""
    return Rollout(
        strategy_of(strategy),
        state,
        progress.get("phase", "canary"),
        tuple(progress.get("canaries", ())),
        tuple(progress.get("assigned", ())),
        float(progress.get("waited", 0.0)),
        Figures(**_known(Figures, progress.get("before") or {})),
        reason,
        can_go_back,
    )


def _known(kind: Any, kept: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in kept.items() if name in names}
