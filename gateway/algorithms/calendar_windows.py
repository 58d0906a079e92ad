"""Windows of time: days, weeks and months as a calendar on a wall has them, and stretches of a fixed length.

Days begin at midnight of a time zone, whatever its clocks do, weeks on Monday (ISO 8601). Minutes, hours and lengths in
seconds are counted from the beginning of 1970 (UTC).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

Unit = Literal["minute", "hour", "day", "week", "month"]
Length = Unit | int
"""A unit, or a number of seconds."""

_FIXED: Final = {"minute": 60, "hour": 3600}


@dataclass(frozen=True, slots=True)
class Span:
    """From `starts` until `ends`, which is no longer part of it; whole seconds since 1970 (UTC)."""

    starts: int
    ends: int


def span_at(length: Length, zone: ZoneInfo, now: float) -> Span:
    """The window in which `now` (seconds since 1970, UTC) lies."""
    seconds = length if isinstance(length, int) else _FIXED.get(length)
    if seconds is not None:
        starts = int(now // seconds) * seconds
        return Span(starts, starts + seconds)
    first = datetime.fromtimestamp(now, zone).date()
    if length == "month":
        first = first.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
    elif length == "week":
        first -= timedelta(days=first.weekday())
        following = first + timedelta(days=7)
    else:
        following = first + timedelta(days=1)
    return Span(_begins(first, zone), _begins(following, zone))


def _begins(day: date, zone: ZoneInfo) -> int:
    """When the clocks of the zone first show this day.

    Where midnight is left out because clocks go forward, the offset before the change (fold 0) gives the moment of
    the change. Where it comes twice, fold 0 is the first of the two.
    """
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
