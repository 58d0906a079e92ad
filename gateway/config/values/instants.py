"""Points in time and time zones, as people write them."""

import re
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator

from gateway.config.values.kinds import Kind, refuse

_TIME = r"[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
INSTANT_PATTERN = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}({_TIME})?$"


def parse_instant(value: object) -> float:
    """Seconds since 1970, of `2026-01-31T12:00:00Z`, of another zone as `+02:00`, or of a date: its midnight, UTC."""
    if not isinstance(value, str) or len(value) > 40 or re.match(INSTANT_PATTERN, value, re.ASCII) is None:
        raise refuse("expected a point in time such as 2026-01-31T12:00:00Z, or a date such as 2026-01-31")
    try:
        at = datetime.fromisoformat(value.upper())
    except ValueError:
        raise refuse("the day or time of day does not exist") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def format_instant(seconds: float) -> str:
    """A point in time as `2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_zone(name: str) -> str:
    """The name of a time zone that there is."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise refuse("unknown time zone; expected a name such as Europe/Berlin or UTC") from None
    return name


Instant = Annotated[
    float,
    Kind("point in time"),
    BeforeValidator(parse_instant, json_schema_input_type=Annotated[str, Kind("", INSTANT_PATTERN)]),
]
"""Seconds since 1970."""

Zone = Annotated[str, Kind("time zone"), AfterValidator(check_zone)]
