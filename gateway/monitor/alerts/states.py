"""The states of an alert, as a table: what it is, and what is seen, make what it is next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, NamedTuple

from gateway.algorithms.backoff import doubled
from gateway.monitor.alerts.conditions import Verdict
from gateway.monitor.alerts.sight import Subject

KEPT_SECONDS: Final = 3600.0  # for which what is over is remembered
OFTEN: Final = 3  # times within that, from which on an alert is not over until its condition has been for a while
FIRST_CALM: Final = 60.0
LONGEST_CALM: Final = 900.0


class State(Enum):
    """The state of an alert."""

    INACTIVE = "inactive"
    PENDING = "pending"  # its condition holds, but not for long enough
    FIRING = "firing"
    RESOLVED = "resolved"  # it was firing


class Seen(Enum):
    """The observed result of its condition."""

    HOLDS = "holds"
    LASTS = "lasts"  # it has held for as long as the rule says
    FAILS = "fails"
    STAYS_AWAY = "stays away"  # it has failed for long enough


NEXT: Final[Mapping[State, Mapping[Seen, State]]] = {
    State.INACTIVE: {
        Seen.HOLDS: State.PENDING,
        Seen.LASTS: State.FIRING,
        Seen.FAILS: State.INACTIVE,
        Seen.STAYS_AWAY: State.INACTIVE,
    },
    State.PENDING: {
        Seen.HOLDS: State.PENDING,
        Seen.LASTS: State.FIRING,
        Seen.FAILS: State.INACTIVE,
        Seen.STAYS_AWAY: State.INACTIVE,
    },
    State.FIRING: {
        Seen.HOLDS: State.FIRING,
        Seen.LASTS: State.FIRING,
        Seen.FAILS: State.FIRING,
        Seen.STAYS_AWAY: State.RESOLVED,
    },
    State.RESOLVED: {
        Seen.HOLDS: State.PENDING,
        Seen.LASTS: State.FIRING,
        Seen.FAILS: State.RESOLVED,
        Seen.STAYS_AWAY: State.RESOLVED,
    },
}


class Key(NamedTuple):
    """The key that identifies the alert."""

    rule: str
    severity: str
    kind: str
    name: str

    @property
    def subject(self) -> Subject:
        """Its subject."""
        return Subject(self.kind, self.name)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, as of the last look. Times are those of `Sight`."""

    key: Key
    state: State = State.INACTIVE
    since: float = 0.0  # when its condition began to hold
    fired: tuple[float, ...] = ()  # when it began to fire, within KEPT_SECONDS
    away_since: float | None = None  # when its condition ceased to hold, while it fires
    ended: float = 0.0  # when it was over
    says: str = ""  # the figures, as long as it holds
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def calm(self) -> float:
        """Seconds that the condition must stay away until it is over: the more often it came back, the longer."""
        often = len(self.fired) - OFTEN + 1
        return doubled(FIRST_CALM, often, LONGEST_CALM) if often > 0 else 0.0

    def forgotten(self, now: float) -> bool:
        """Whether nothing of it need be remembered."""
        return self.state is State.INACTIVE or (self.state is State.RESOLVED and now - self.ended >= KEPT_SECONDS)


def look(alert: Alert, verdict: Verdict | None, lasting: float, now: float) -> Alert:
    """The alert after a look. None, or a verdict that does not hold: all is well. `lasting`: see `Rule`."""
    if verdict is not None and verdict.holds:
        since = alert.since
        if alert.state in (State.INACTIVE, State.RESOLVED):
            since = now if verdict.since is None else min(now, max(verdict.since, alert.ended))
        state = NEXT[alert.state][Seen.LASTS if now - since >= lasting else Seen.HOLDS]
        fired = alert.fired
        if state is State.FIRING and alert.state is not State.FIRING:
            fired = (*(at for at in fired if now - at < KEPT_SECONDS), now)
        return replace(
            alert, state=state, since=since, fired=fired, away_since=None, says=verdict.says, figures=verdict.figures
        )
    away_since = now if alert.away_since is None else alert.away_since
    state = NEXT[alert.state][Seen.STAYS_AWAY if now - away_since >= alert.calm else Seen.FAILS]
    if state is State.FIRING:
        return replace(alert, away_since=away_since)
    if alert.state is State.FIRING:
        return replace(alert, state=state, away_since=None, ended=now)
    # What was over, and then only nearly came back, is over since then.
    if alert.state is State.PENDING and alert.fired:
        return replace(alert, state=State.RESOLVED, away_since=None)
    return replace(alert, state=state)
