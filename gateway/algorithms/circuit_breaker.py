"""A circuit breaker: what fails too often, or takes too long, is left alone for a while and then tried with care.

The definitions are those of resilience4j's time-based window (ratios at or above their limits open; trials decide
together), with an open time that doubles, and with the ramp of Traefik's oxy after the trials. Times are seconds of one
clock that does not go back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final

from gateway.algorithms.windowed_sum import WindowedSum

REFUSED: Final = 0


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """Settings of a breaker. Ratios are shares of 1, times seconds."""

    error_ratio: float = 0.5
    slow_ratio: float = 1.0
    slow: float = 60.0  # a call that takes as long is slow
    minimum: int = 20  # calls in the window, below which nothing is judged
    window: int = 30
    open: float = 10.0  # the first time; twice as long each time that the trials fail
    longest_open: float = 300.0
    jitter: float = 0.1  # up to this share is added to the open time, so that gateways do not try in step
    trials: int = 10
    half_open: float = 60.0  # after which what is known of the trials decides
    ramp: float = 10.0  # until all calls pass again


class State(StrEnum):
    """The state of a breaker."""

    CLOSED = "closed"  # all pass
    OPEN = "open"  # none passes
    HALF_OPEN = "half_open"  # the trials pass
    RECOVERING = "recovering"  # a growing share passes
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


class Event(Enum):
    """The cause of a change of state."""

    TRIPPED = auto()  # a ratio reached its limit
    WAITED = auto()  # a call came after the open time
    PASSED = auto()  # the trials went well
    FAILED = auto()  # the trials did not
    RAMPED = auto()  # the ramp is over
    FORCE_OPEN = auto()
    FORCE_CLOSED = auto()
    AUTOMATIC = auto()  # judge by calls again


_FORCE: Final[Mapping[Event, State]] = {
    Event.FORCE_OPEN: State.FORCED_OPEN,
    Event.FORCE_CLOSED: State.FORCED_CLOSED,
}

TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = {
    State.CLOSED: {Event.TRIPPED: State.OPEN, **_FORCE},
    State.OPEN: {Event.WAITED: State.HALF_OPEN, **_FORCE},
    State.HALF_OPEN: {Event.PASSED: State.RECOVERING, Event.FAILED: State.OPEN, **_FORCE},
    State.RECOVERING: {Event.RAMPED: State.CLOSED, Event.TRIPPED: State.OPEN, **_FORCE},
    State.FORCED_OPEN: {Event.AUTOMATIC: State.RECOVERING, **_FORCE},
    State.FORCED_CLOSED: {Event.AUTOMATIC: State.CLOSED, **_FORCE},
}
"""Every move that there is. An event that a state does not know changes nothing."""


@dataclass(frozen=True, slots=True)
class BreakerReport:
    """A report on a breaker at one moment."""

    state: State
    since: float
    reason: str
    until: float | None  # of an open one: when the first trial may pass
    waiting: bool  # half open as its open time is over, and no call has come since
    calls: int  # in the window, or of the trials
    errors: int
    slow: int


class CircuitBreaker:
    """Gives a permit before each call, and learns once how the call ended.

    A permit stands for the period in which it was given: what ends in a later one says nothing about that, and is not
    counted.
    """

    __slots__ = (
        "_allowed",
        "_answered",
        "_calls",
        "_denied",
        "_errors",
        "_failures",
        "_outstanding",
        "_period",
        "_random",
        "_settings",
        "_slow",
        "_trials",
        "_trials_failed",
        "_trials_slow",
        "opened",
        "reason",
        "since",
        "state",
        "until",
    )

    def __init__(self, settings: BreakerSettings, now: float, random: Callable[[], float]) -> None:
        """`random` draws from [0, 1)."""
        self.state = State.CLOSED
        self.since = now
        self.reason = "no call was judged yet"
        self.until = now  # of an open one: when the open time is over
        self.opened = 0  # times, in all
        self._settings = settings
        self._random = random
        self._period = 1  # number of the period of one state, or of a ramp and what follows it
        self._failures = 0  # times that it opened since it was last closed
        self._calls = WindowedSum(settings.window)
        self._errors = WindowedSum(settings.window)
        self._slow = WindowedSum(settings.window)
        self._answered = False  # trials brought answers, of which none could be counted
        self._begin_trials()
        self._begin_ramp()

    def configure(self, settings: BreakerSettings) -> None:
        """Judge by these from now on. The state stays, and what is known of the window."""
        if settings.window != self._settings.window:
            for windowed in (self._calls, self._errors, self._slow):
                windowed.resize(settings.window)
        self._settings = settings

    # For calls.

    def acquire(self, now: float) -> int:
        """A permit for one call, or REFUSED. It must be given to `ended` or to `give_back`."""
        if self.state is State.CLOSED or self.state is State.FORCED_CLOSED:
            return self._period
        self._pass(now)
        if now >= self.until:
            self._move(Event.WAITED, now, "the open time is over")
        return self._period if self._admits(now) else REFUSED

    def ended(self, permit: int, now: float, *, failed: bool, seconds: float) -> None:
        """The call was answered, or failed by the fault of what is called."""
        self._pass(now)
        if permit != self._period:
            return
        slow = seconds >= self._settings.slow
        if self.state is State.HALF_OPEN:
            self._outstanding -= 1
            self._trials += 1
            self._trials_failed += failed
            self._trials_slow += slow
            number = max(self._settings.trials, self._trials)
            reason = self._too_many(number, self._trials_failed, self._trials_slow)
            if reason:
                self._move(Event.FAILED, now, f"{reason} as trials")
            elif self._trials >= self._settings.trials:
                self._move(Event.PASSED, now, f"{self._trials} trials went well")
            return
        calls = self._calls
        if now >= calls.ends:
            calls.turn(now)
        calls.latest += 1  # `calls.add(1, now)`, without the call
        if failed:
            self._errors.add(1, now)
        if slow:
            self._slow.add(1, now)
        if self.state is not State.CLOSED and self.state is not State.RECOVERING:
            return
        number = calls.total(now)
        if number < self._settings.minimum:
            return
        reason = self._too_many(number, self._errors.total(now), self._slow.total(now))
        if reason:
            self._move(Event.TRIPPED, now, f"{reason} within {self._settings.window} s")

    def give_back(self, permit: int, now: float, *, answered: bool) -> None:
        """The call says nothing: its client went away, or (`answered`) it was the client's fault, such as a 4xx."""
        self._pass(now)
        if permit == self._period and self.state is State.HALF_OPEN:
            self._outstanding -= 1
            self._answered = self._answered or answered

    # For operators.

    def force_open(self, now: float, reason: str) -> None:
        """Force the breaker open, until another call changes it."""
        self._move(Event.FORCE_OPEN, now, reason)

    def force_closed(self, now: float, reason: str) -> None:
        """Force the breaker closed, until another call changes it."""
        self._move(Event.FORCE_CLOSED, now, reason)

    def automatic(self, now: float, reason: str) -> None:
        """Judge by calls again. After it was forced open, the ramp leads back."""
        self._move(Event.AUTOMATIC, now, reason)

    def report(self, now: float) -> BreakerReport:
        """A report of the current state. An open one whose time is over waits half open for the next call."""
        self._pass(now)
        if self.state is State.OPEN and now >= self.until:
            reason = f"its open time is over, and the next request is a trial; it opened because {self.reason}"
            return BreakerReport(State.HALF_OPEN, self.until, reason, None, True, 0, 0, 0)
        until = self.until if self.state is State.OPEN else None
        if self.state is State.HALF_OPEN:
            counts = (self._trials, self._trials_failed, self._trials_slow)
        else:
            counts = (self._calls.total(now), self._errors.total(now), self._slow.total(now))
        return BreakerReport(self.state, self.since, self.reason, until, False, *counts)

    @property
    def trials_left(self) -> int:
        """How many more calls a half-open one lets pass."""
        return self._settings.trials - self._trials - self._outstanding

    def _admits(self, now: float) -> bool:
        if self.state is State.HALF_OPEN:
            if self.trials_left <= 0:
                return False
            self._outstanding += 1
            return True
        if self.state is State.RECOVERING:
            share = 0.5 * (now - self.since) / self._settings.ramp
            allowed = self._allowed < share * (self._allowed + self._denied) or not self._allowed
            if allowed:
                self._allowed += 1
            else:
                self._denied += 1
            return allowed
        return self.state is State.CLOSED

    # How it moves.

    def _pass(self, now: float) -> None:
        """State changes by time alone."""
        if self.state is State.HALF_OPEN and now >= self.since + self._settings.half_open:
            # The time is up: those without an answer have failed.
            at = self.since + self._settings.half_open
            number = self._trials + self._outstanding
            reason = self._too_many(number, self._trials_failed + self._outstanding, self._trials_slow)
            if reason:
                self._move(
                    Event.FAILED, at, f"{reason} as trials, or had no answer within {self._settings.half_open:g} s"
                )
            elif number or self._answered:
                self._move(Event.PASSED, at, f"{self._trials} trials went well within {self._settings.half_open:g} s")
            else:
                self._failures -= 1  # nothing was learnt: as long as before
                self._move(Event.FAILED, at, f"no trial was answered within {self._settings.half_open:g} s")
        if self.state is State.RECOVERING and now >= self.since + self._settings.ramp:
            self._move(Event.RAMPED, self.since + self._settings.ramp, "it has worked again")

    def _move(self, event: Event, at: float, reason: str) -> None:
        state = TRANSITIONS[self.state].get(event)
        if state is None:
            return
        self.state, self.since, self.reason = state, at, reason
        if event is Event.RAMPED or event is Event.AUTOMATIC:
            self._failures = 0
        if event is Event.RAMPED:
            return  # what was counted on the ramp counts on
        self._period += 1
        for windowed in (self._calls, self._errors, self._slow):
            windowed.clear()
        self._begin_trials()
        self._begin_ramp()
        if state is State.OPEN:
            settings = self._settings
            seconds = min(settings.open * 2.0 ** min(self._failures, 60), settings.longest_open)
            self.until = at + seconds * (1 + settings.jitter * self._random())
            self.opened += 1
            self._failures += 1

    # The trials: what is certain before the last has ended is not waited for.

    def _begin_trials(self) -> None:
        self._outstanding = 0
        self._trials = 0
        self._trials_failed = 0
        self._trials_slow = 0
        self._answered = False

    def _too_many(self, calls: int, errors: int, slow: int) -> str:
        """Which ratio has reached its limit, in words; empty where none has."""
        settings = self._settings
        if errors and errors / calls >= settings.error_ratio:
            return f"{errors} of {calls} calls failed"
        if slow and slow / calls >= settings.slow_ratio:
            return f"{slow} of {calls} calls took {settings.slow:g} s or longer"
        return ""

    # The ramp: of all calls since it began, half of the share of its time that has passed. So the share of those that
    # come in a moment grows linearly from none to all.

    def _begin_ramp(self) -> None:
        self._allowed = 0
        self._denied = 0
