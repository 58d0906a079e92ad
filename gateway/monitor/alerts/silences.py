"""Silences: alerts that are not sent for a while."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from gateway.monitor.alerts.states import Key

MOST: Final = 1000
LONGEST: Final = 90 * 86400.0  # seconds
REMEMBERED: Final = 3600.0  # for which one that is over is known, so that other gateways hear of it
MOST_TEXT: Final = 500  # characters
MATCHED: Final = ("rule", "subject", "severity")


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that fit all three patterns, in which `*` and `?` stand for others, until a point in time."""

    id: str
    rule: str
    subject: str  # `orders`, or with its kind: `route orders`
    severity: str
    until: float
    created: float
    changed: float
    comment: str
    author: str

    def matches(self, key: Key) -> bool:
        """Whether it is about this alert."""
        named = (key.name, f"{key.kind} {key.name}") if key.name else (key.kind,)
        return (
            fnmatchcase(key.rule, self.rule)
            and fnmatchcase(key.severity, self.severity)
            and any(fnmatchcase(name, self.subject) for name in named)
        )

    def holds(self, now: float) -> bool:
        """Whether it is in force."""
        return now < self.until


class SilencesFull(Exception):
    """There is no room for one more."""


class Silences:
    """All of them; the later change of one counts, wherever it was made."""

    def __init__(self) -> None:
        self._known: dict[str, Silence] = {}
        self.changed = False  # since the caller reset it to False

    def add(
        self, rule: str, subject: str, severity: str, until: float, now: float, comment: str, author: str
    ) -> Silence:
        """A new one. Raises SilencesFull."""
        if len(self.holding(now)) >= MOST:
            raise SilencesFull
        made = Silence(secrets.token_hex(6), rule, subject, severity, until, now, now, comment, author)
        self._put(made)
        return made

    def lift(self, identifier: str, now: float) -> Silence | None:
        """End one; None where there is none."""
        known = self._known.get(identifier)
        if known is None or not known.holds(now):
            return None
        lifted = replace(known, until=now, changed=max(now, known.changed + 0.001))
        self._put(lifted)
        return lifted

    def hear(self, silences: Iterable[Silence]) -> None:
        """Merge silences of other gateways, or stored ones."""
        for each in silences:
            known = self._known.get(each.id)
            if (known is None and len(self._known) < 2 * MOST) or (known is not None and known.changed < each.changed):
                self._put(each)

    def forget(self, now: float) -> None:
        """Drop silences that ended long ago."""
        for each in [each for each in self._known.values() if now >= each.until + REMEMBERED]:
            del self._known[each.id]
            self.changed = True

    def all(self) -> list[Silence]:
        """Those that are remembered."""
        return list(self._known.values())

    def holding(self, now: float) -> list[Silence]:
        """Those in force, the one that ends soonest first."""
        return sorted((each for each in self._known.values() if each.holds(now)), key=lambda each: each.until)

    def silencing(self, key: Key, now: float) -> Silence | None:
        """The one that keeps an alert from being sent; None where none does."""
        return next((each for each in self._known.values() if each.holds(now) and each.matches(key)), None)

    def _put(self, silence: Silence) -> None:
        self._known[silence.id] = silence
        self.changed = True


def from_fields(fields: Any) -> Silence:
    """One that was kept, or that another gateway made. Raises ValueError."""
    try:
        made = Silence(**fields)
    except TypeError as error:
        raise ValueError(str(error)) from None
    texts = (made.id, made.rule, made.subject, made.severity, made.comment, made.author)
    times = (made.until, made.created, made.changed)
    if not all(isinstance(text, str) and len(text) <= MOST_TEXT for text in texts):
        raise ValueError("a text is invalid, or too long")
    if not all(isinstance(time, int | float) and abs(time) < 1e11 for time in times):
        raise ValueError("a time is invalid")
    return made
