"""Durations, sizes, percentages and shares."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.values.kinds import Kind, refuse

DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"
SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)?(B|KB|MB|GB|KiB|MiB|GiB)$"

PERCENT_PATTERN = r"^[0-9]+(\.[0-9]+)?%$"

_SECONDS: Mapping[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES: Mapping[str, int] = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_LONGEST = 366 * 24 * 3600  # event loops overflow on timers of centuries
_LARGEST = 2**53
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]+|%)", re.ASCII)


def parse_duration(value: object) -> float:
    """Seconds, of `"5s"`, `"250ms"`, `"1m"`, `"1h"`, `"1d"` or a bare number of seconds."""
    seconds = _quantity(value, _SECONDS)
    if seconds is None:
        raise refuse("expected a duration such as 250ms, 5s, 1m, 1h or 1d, or a number of seconds")
    if not 0 <= seconds <= _LONGEST:
        raise refuse("a duration is at most 366d, and not negative")
    return seconds


def parse_size(value: object) -> int:
    """Bytes, of `"10MiB"`, `"1MB"`, `"512KiB"` or a bare number of bytes."""
    size = _quantity(value, _BYTES)
    if size is None or size % 1 != 0:  # infinity % 1 is not 0 either
        raise refuse("expected a size such as 512KiB, 10MiB or 1GB, or a whole number of bytes")
    if not 1 <= size <= _LARGEST:
        raise refuse("a size is at least 1 byte, and at most 8388608GiB")
    return int(size)


def parse_percent(value: object) -> float:
    """Per cent, of `"50%"`, or 0."""
    if value == 0 and not isinstance(value, bool | str):
        return 0.0
    percent = _quantity(value, {"%": 1}) if isinstance(value, str) else None
    if percent is None:
        raise refuse("expected a percentage such as 50%, with its sign")
    if percent > 100:
        raise refuse("a percentage is at most 100%")
    return percent


def parse_share(value: object) -> float:
    """A share of 1, of `"1%"`, or a number from 0 to 1."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 <= value <= 1:
            raise refuse("a share is a percentage such as 1%, or a number from 0 to 1")
        return float(value)
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) and len(value) < 40 else None
    if match is None or match[2] != "%" or float(match[1]) > 100:
        raise refuse("expected a share: a percentage such as 1%, or a number from 0 to 1")
    return float(match[1]) / 100


def _quantity(value: object, units: Mapping[str, float]) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) and len(value) < 40 else None
    if match is None or match[2] not in units:
        return None
    # Rounding to whole milliseconds or bytes hides that 0.1 is not a binary fraction.
    return round(float(match[1]) * units[match[2]], 3)


def _positive(seconds: float) -> float:
    if seconds == 0:
        raise refuse("a duration must be more than 0 here")
    return seconds


_DurationInput = Annotated[str, Field(pattern=DURATION_PATTERN)] | Annotated[float, Field(ge=0, le=_LONGEST)]
_SizeInput = Annotated[str, Field(pattern=SIZE_PATTERN)] | Annotated[int, Field(ge=1, le=_LARGEST)]

DurationOrZero = Annotated[
    float, Kind("duration, or 0"), BeforeValidator(parse_duration, json_schema_input_type=_DurationInput)
]
"""Seconds, 0 allowed."""

Duration = Annotated[
    float,
    Kind("duration"),
    AfterValidator(_positive),
    BeforeValidator(parse_duration, json_schema_input_type=_DurationInput),
]
"""Seconds, more than 0."""

Size = Annotated[int, Kind("size"), BeforeValidator(parse_size, json_schema_input_type=_SizeInput)]
"""Bytes, at least 1."""

Percent = Annotated[
    float,
    Kind("percentage"),
    BeforeValidator(parse_percent, json_schema_input_type=Annotated[str, Field(pattern=PERCENT_PATTERN)] | Literal[0]),
]
"""Per cent, from 0 to 100."""

Share = Annotated[
    float,
    Kind("percentage, or number from 0 to 1"),
    BeforeValidator(
        parse_share,
        json_schema_input_type=Annotated[str, Field(pattern=PERCENT_PATTERN)] | Annotated[float, Field(ge=0, le=1)],
    ),
]
"""A share of 1."""
