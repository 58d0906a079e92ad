"""Days and months as a calendar on a wall has them: they begin at midnight of a time zone, whatever its clocks do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Unit = Literal["day", "month"]


@dataclass(frozen=True, slots=True)
class Span:
    """From `starts` until `ends`, which is no longer part of it; whole seconds since 1970 (UTC)."""

    starts: int
    ends: int


def span_at(unit: Unit, zone: ZoneInfo, now: float) -> Span:
    """The day or month in which `now` (seconds since 1970, UTC) lies."""
    first = datetime.fromtimestamp(now, zone).date()
    if unit == "month":
        first = first.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
    else:
        following = first + timedelta(days=1)
    return Span(_begins(first, zone), _begins(following, zone))


def _begins(day: date, zone: ZoneInfo) -> int:
    """When the clocks of the zone first show this day.

    Where midnight is left out because clocks go forward, the offset before the change (fold 0) gives the moment of
    the change. Where it comes twice, fold 0 is the first of the two.
    """
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
