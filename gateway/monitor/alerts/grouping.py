"""What a receiver is told, and when: alerts of one rule together, each once, and again after a while."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from gateway.monitor.alerts.states import Alert, Key, State

GROUP_SECONDS: Final = 60.0  # between two messages about one group


class Group(NamedTuple):
    """Alerts that are told together."""

    rule: str
    severity: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the last message about a group has said."""

    at: float
    firing: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Telling:
    """What is to be told of a group now."""

    group: Group
    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...]
    repeated: bool  # nothing is new


def group_of(key: Key) -> Group:
    """The group of an alert."""
    return Group(key.rule, key.severity)


def to_tell(
    told: dict[Group, Told],
    firing: Iterable[Alert],
    known: Mapping[Key, Alert],
    silenced: Collection[Key],
    repeat: float,
    now: float,
) -> list[Telling]:
    """What one receiver is to be told, whom `told` says what it was; that is brought up to date.

    `firing` are alerts that are for it, and `known` all that there are, also what is over. What is silenced is neither
    told, nor told to be over.
    """
    groups: dict[Group, dict[Key, Alert]] = {group: {} for group in told}
    for alert in firing:
        if alert.key not in silenced:
            groups.setdefault(group_of(alert.key), {})[alert.key] = alert
    found = []
    for group, alerts in groups.items():
        before = told.get(group, Told(float("-inf"), frozenset()))
        over = {key for key in before.firing if key not in alerts and not _still_fires(key, known)}
        quietly = {key for key in over if key in silenced}
        new = alerts.keys() - before.firing
        news = bool(new or over - quietly)
        due = now - before.at >= (GROUP_SECONDS if news else repeat)
        if due and (news or alerts):
            resolved = tuple(_over(key, known, now) for key in sorted(over - quietly))
            found.append(Telling(group, tuple(alerts.values()), resolved, not news))
            hushed = {key for key in before.firing if key not in alerts and key not in over}
            told[group] = Told(now, frozenset(alerts.keys() | hushed))
        elif quietly:
            told[group] = replace(before, firing=before.firing - quietly)
        if group in told and not told[group].firing and now - told[group].at >= GROUP_SECONDS:
            del told[group]
    return found


def _still_fires(key: Key, known: Mapping[Key, Alert]) -> bool:
    """One that is silenced, or not for this receiver any more."""
    return key in known and known[key].state is State.FIRING


def _over(key: Key, known: Mapping[Key, Alert], now: float) -> Alert:
    """An alert that is over, also where nothing is known of it any more."""
    alert = known.get(key)
    if alert is not None and alert.ended:
        return replace(alert, state=State.RESOLVED)
    return Alert(key, State.RESOLVED, ended=now)
