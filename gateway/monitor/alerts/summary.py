"""The summary of a day: how it went, which routes were worst, and what was sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from gateway.config.models.alert_senders import parse_daily
from gateway.config.values.instants import format_instant
from gateway.monitor.alerts.notices import Notice, plain
from gateway.monitor.alerts.wording import length, number, share
from gateway.plurals import counted

DAY: Final = 86400.0
LATE: Final = 3600.0  # seconds for which a summary that was not sent is made up for
WORST: Final = 5  # routes
INCIDENTS: Final = 20
FEWEST_REQUESTS: Final = 10  # of a route that may be among the worst


@dataclass(frozen=True, slots=True)
class Totals:
    """The figures of one route, or of all, in the period. `p99` is in seconds."""

    requests: int
    errors: int
    p99: float

    @property
    def error_rate(self) -> float:
        """The share, from 0 to 1."""
        return self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Day:
    """The last 24 hours. `seconds`: how much of them is known."""

    seconds: float
    all: Totals
    routes: Sequence[tuple[str, Totals]]


@dataclass(frozen=True, slots=True)
class Incident:
    """An alert that fired. Times are Unix times; `until` is None while it does."""

    what: str
    since: float
    until: float | None


def due(daily: str, now: float) -> float:
    """The last scheduled time of a summary, in Unix time."""
    hour, minute, zone = parse_daily(daily)
    local = datetime.fromtimestamp(now, ZoneInfo(zone))
    at = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if at.astimezone(UTC) > local.astimezone(UTC):
        at -= timedelta(days=1)
    return at.timestamp()


def is_due(daily: str, sent: float, now: float) -> bool:
    """Whether one is to be sent now; `sent` is when the last one was, or when this began."""
    at = due(daily, now)
    return sent < at <= now < at + LATE


def summary(day: Day | None, incidents: Iterable[Incident], link: str | None, now: float) -> Notice:
    """The notice. Without figures of the day, it lists incidents only."""
    found = sorted(incidents, key=lambda each: each.since)
    sections = [*(_figures(day) if day is not None else ()), ("Incidents", tuple(_incidents(found, now)))]
    return Notice("summary", _title(day, found), sections=tuple(sections), link=link, at=now)


def _title(day: Day | None, incidents: Sequence[Incident]) -> str:
    how_many = counted(len(incidents), "incident") if incidents else "no incident"
    if day is None:
        return f"Health of the last 24h: {how_many}"
    requests, errors = number(day.all.requests), share(day.all.error_rate)
    return f"Health of the last 24h: {requests} requests, error rate {errors}, {how_many}"


def _figures(day: Day) -> Iterable[tuple[str, tuple[str, ...]]]:
    lines = [
        f"requests: {number(day.all.requests)}",
        f"error rate: {share(day.all.error_rate)} ({number(day.all.errors)})",
        f"p99: {length(day.all.p99)}",
    ]
    if day.seconds < DAY - 600:
        lines.append(f"of {length(day.seconds)}: more is not known")
    yield "All requests", tuple(lines)
    many = [each for each in day.routes if each[1].requests >= FEWEST_REQUESTS]
    by_errors = sorted((each for each in many if each[1].errors), key=lambda each: -each[1].error_rate)[:WORST]
    slowest = sorted(many, key=lambda each: -each[1].p99)[:WORST]
    if by_errors:
        yield "Worst routes by errors", tuple(_route(*each) for each in by_errors)
    if slowest:
        yield "Slowest routes", tuple(_route(*each) for each in slowest)


def _route(name: str, totals: Totals) -> str:
    requests = number(totals.requests)
    return f"{plain(name)}: {share(totals.error_rate)} errors, p99 {length(totals.p99)}, {requests} requests"


def _incidents(incidents: Sequence[Incident], now: float) -> Iterable[str]:
    if not incidents:
        yield "none"
    for each in incidents[-INCIDENTS:]:
        lasted = length(max(0.0, (now if each.until is None else each.until) - each.since))
        end = "still firing" if each.until is None else "over"
        yield f"{plain(each.what)}, since {format_instant(each.since)} for {lasted}, {end}"
    if len(incidents) > INCIDENTS:
        yield f"and {len(incidents) - INCIDENTS} before"
