"""Groups alerts for a receiver: those of one rule together, each once, and again after a while."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from gateway.monitor.alerts.states import Alert, Key, State

GROUP_SECONDS: Final = 60.0  # between two messages about one group


class Group(NamedTuple):
    """Alerts that are sent together."""

    rule: str
    severity: str


@dataclass(frozen=True, slots=True)
class Notified:
    """The contents of the last message about a group."""

    at: float
    firing: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Notification:
    """The message to send about a group now."""

    group: Group
    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...]
    repeated: bool  # nothing is new


def group_of(key: Key) -> Group:
    """The group of an alert."""
    return Group(key.rule, key.severity)


def notifications_due(
    notified: dict[Group, Notified],
    firing: Iterable[Alert],
    known: Mapping[Key, Alert],
    silenced: Collection[Key],
    repeat: float,
    now: float,
) -> list[Notification]:
    """The messages to send to one receiver. `notified` is the state of the last messages, which is updated.

    `firing` are alerts that are for it, and `known` all that there are, also what is over. What is silenced is neither
    sent, nor said to be over.
    """
    groups: dict[Group, dict[Key, Alert]] = {group: {} for group in notified}
    for alert in firing:
        if alert.key not in silenced:
            groups.setdefault(group_of(alert.key), {})[alert.key] = alert
    found = []
    for group, alerts in groups.items():
        before = notified.get(group, Notified(float("-inf"), frozenset()))
        over = {
            key
            for key in before.firing
            if key not in alerts and not (key in known and known[key].state is State.FIRING)
        }
        quietly = {key for key in over if key in silenced}
        new = alerts.keys() - before.firing
        news = bool(new or over - quietly)
        due = now - before.at >= (GROUP_SECONDS if news else repeat)
        if due and (news or alerts):
            resolved = tuple(_over(key, known, now) for key in sorted(over - quietly))
            found.append(Notification(group, tuple(alerts.values()), resolved, not news))
            hushed = {key for key in before.firing if key not in alerts and key not in over}
            notified[group] = Notified(now, frozenset(alerts.keys() | hushed))
        elif quietly:
            notified[group] = replace(before, firing=before.firing - quietly)
        if group in notified and not notified[group].firing and now - notified[group].at >= GROUP_SECONDS:
            del notified[group]
    return found


def _over(key: Key, known: Mapping[Key, Alert], now: float) -> Alert:
    """An alert that is over, also where nothing is known of it any more."""
    alert = known.get(key)
    if alert is not None and alert.ended:
        return replace(alert, state=State.RESOLVED)
    return Alert(key, State.RESOLVED, ended=now)
