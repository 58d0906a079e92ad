"""The state that outlives a restart, and with which another gateway continues, as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from gateway.monitor.alerts.grouping import Group, Notified
from gateway.monitor.alerts.silences import Silence, from_fields
from gateway.monitor.alerts.states import Alert, Key, State
from gateway.monitor.alerts.summary import Incident

T = TypeVar("T")


@dataclass(slots=True)
class Spoken:
    """Notices sent to receivers, by their names: to distinguish a first message from a repetition."""

    notified: dict[str, dict[Group, Notified]] = field(default_factory=dict)
    summaries: dict[str, float] = field(default_factory=dict)  # when they had the last summary

    def to_json(self, undelivered: Mapping[str, Iterable[object]]) -> bytes:
        """All of it, without what waits to be sent: another one has to send that."""
        notified = {}
        for name, groups in self.notified.items():
            waiting = set(undelivered.get(name, ()))
            notified[name] = [
                [*group, each.at, [list(key) for key in sorted(each.firing)]]
                for group, each in groups.items()
                if group not in waiting
            ]
        return _json({"notified": notified, "summaries": self.summaries})


def spoken_of(text: bytes) -> Spoken:
    """Parses JSON. Raises ValueError."""

    def made() -> Spoken:
        fields = json.loads(text)
        notified = {
            str(name): {
                Group(str(rule), str(severity)): Notified(float(at), frozenset(_key(key) for key in keys))
                for rule, severity, at, keys in groups
            }
            for name, groups in fields["notified"].items()
        }
        return Spoken(notified, {str(name): float(at) for name, at in fields["summaries"].items()})

    return _checked(made)


def alerts_to_json(alerts: Iterable[Alert]) -> bytes:
    """Those that are worth keeping."""
    return _json([asdict(alert) | {"key": list(alert.key), "state": alert.state.value} for alert in alerts])


def alerts_of(text: bytes) -> list[Alert]:
    """Parses JSON. Raises ValueError."""

    def made() -> list[Alert]:
        return [
            Alert(**each | {"key": _key(each["key"]), "state": State(each["state"]), "fired": tuple(each["fired"])})
            for each in json.loads(text)
        ]

    return _checked(made)


def incidents_to_json(incidents: Iterable[Incident]) -> bytes:
    """All of them."""
    return _json([asdict(each) for each in incidents])


def incidents_of(text: bytes) -> list[Incident]:
    """Parses JSON. Raises ValueError."""
    return _checked(lambda: [Incident(**each) for each in json.loads(text)])


def silences_to_json(silences: Iterable[Silence]) -> bytes:
    """All of them."""
    return _json([asdict(each) for each in silences])


def silences_of(text: bytes) -> list[Silence]:
    """Parses JSON. Raises ValueError."""
    return _checked(lambda: [from_fields(each) for each in json.loads(text)])


def _json(value: Any) -> bytes:
    """With what clients may have in their names: also half surrogates, which `orjson` refuses."""
    return json.dumps(value, separators=(",", ":")).encode()


def _key(parts: Any) -> Key:
    rule, severity, kind, name = map(str, parts)
    return Key(rule, severity, kind, name)


def _checked(make: Callable[[], T]) -> T:
    """Whatever does not fit is a ValueError."""
    try:
        return make()
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
