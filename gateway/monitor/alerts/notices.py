"""Notices: the same for all receivers, each of which formats it in its own way."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.config.values.instants import format_instant
from gateway.events import ApiAlert
from gateway.monitor.alerts.states import Alert, Key, State
from gateway.plurals import counted

MOST_ALERTS: Final = 500  # of one notice; others are counted
MOST_URL: Final = 2048
MOST_TEXT: Final = 300  # characters of a name, or of what is said

Kind = Literal["alerts", "state", "summary", "test"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One message, not worded yet."""

    kind: Kind
    title: str
    firing: tuple[ApiAlert, ...] = ()
    resolved: tuple[ApiAlert, ...] = ()
    more_firing: int = 0  # that are not among those, as there are too many
    more_resolved: int = 0
    sections: tuple[tuple[str, tuple[str, ...]], ...] = ()  # of a summary: a heading, and lines
    repeated: bool = False
    link: str | None = None
    at: float = 0.0  # Unix time

    @property
    def left_out(self) -> int:
        """How many alerts are not in it."""
        return self.more_firing + self.more_resolved

    @property
    def alerts(self) -> tuple[ApiAlert, ...]:
        """All of them, what fires first."""
        return self.firing + self.resolved


@dataclass(frozen=True, slots=True)
class Wording:
    """Makes messages from alerts. `offset` converts the times of alerts to Unix time."""

    offset: float
    link: str | None
    runbooks: dict[str, str]  # by rule

    def message(self, alert: Alert) -> ApiAlert:
        """One alert, as it leaves the gateway."""
        over = alert.state is State.RESOLVED
        return ApiAlert(
            alert=alert.key.rule,
            state="resolved" if over else "firing",
            severity=alert.key.severity,
            subject=plain(subject_of(alert.key)),
            summary=plain(alert.says) or ("it is over" if over else "it fires"),
            since=format_instant(alert.since + self.offset) if alert.since else None,
            until=format_instant(alert.ended + self.offset) if over else None,
            figures={name: float(f"{value:.6g}") for name, value in alert.figures.items()},
            runbook=_bounded(self.runbooks.get(alert.key.rule)),
            link=_bounded(self.link),
        )


def plain(text: str) -> str:
    """A text of configurations or clients on one line, without control characters, and not too long."""
    shown = "".join(" " if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs") else char for char in text)
    return shown if len(shown) <= MOST_TEXT else shown[: MOST_TEXT - 3] + "..."


def _bounded(url: str | None) -> str | None:
    """A URL that is not too long for a message."""
    return url if url is not None and len(url) <= MOST_URL else None


def subject_of(key: Key) -> str:
    """The subject of an alert in words."""
    return f"{key.kind} {key.name}" if key.name else "all requests" if key.kind == "all" else key.kind


def notice_of(
    firing: Sequence[ApiAlert],
    resolved: Sequence[ApiAlert],
    more: int = 0,
    *,
    repeated: bool = False,
    link: str | None = None,
    at: float = 0.0,
) -> Notice:
    """A notice about alerts, of one rule or of several. `more` fire that are not among these."""
    room = max(0, MOST_ALERTS - len(firing))
    return Notice(
        "alerts",
        _title(firing, resolved, more, repeated=repeated),
        tuple(firing[:MOST_ALERTS]),
        tuple(resolved[:room]),
        max(0, len(firing) - MOST_ALERTS) + more,
        max(0, len(resolved) - room),
        repeated=repeated,
        link=link,
        at=at,
    )


def merged(former: Notice, later: Notice) -> Notice:
    """Both as one, where the first was not sent before the second came: what fires is what fires now."""
    if former.kind != "alerts" or later.kind != "alerts":
        return later
    again = {(each.alert, each.subject) for each in later.alerts}
    resolved = [*later.resolved, *(each for each in former.resolved if (each.alert, each.subject) not in again)]
    repeated = later.repeated and former.repeated
    return notice_of(later.firing, resolved, later.more_firing, repeated=repeated, link=later.link, at=later.at)


def _title(firing: Sequence[ApiAlert], resolved: Sequence[ApiAlert], more: int, *, repeated: bool) -> str:
    """`[page] errors: 2 firing (route orders, route users), 1 resolved`"""
    shown = firing or resolved
    rules = list(dict.fromkeys(each.alert for each in shown))
    severities = list(dict.fromkeys(each.severity for each in shown))
    parts = []
    if firing:
        still, names = "still " if repeated else "", _some([each.subject for each in firing], more)
        parts.append(f"{len(firing) + more} {still}firing ({names})")
    if resolved:
        names = "" if firing else f" ({_some([each.subject for each in resolved], 0)})"
        parts.append(f"{len(resolved)} resolved{names}")
    named = rules[0] if len(rules) == 1 else counted(len(rules), "rule")
    return f"[{'/'.join(severities)}] {named}: {', '.join(parts)}"


def _some(names: Sequence[str], more: int) -> str:
    """Three of them, and how many there are besides."""
    more += len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")
