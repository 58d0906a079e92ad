"""Cache-Control (RFC 9111, 5.2), the seconds in it, and the dates beside it (RFC 9110, 5.6.7)."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from typing import Final

from gateway.http.bodies import Headers
from gateway.http.fields import values

MOST_SECONDS: Final = 2**31  # what larger numbers count as (RFC 9111, 1.2.2)
MOST_BYTES: Final = 4096  # of a Cache-Control that is read at all

Directives = Mapping[bytes, bytes]
"""Directives by name, in lower case; b"" if a directive has no value."""

NOT_READ: Final[Directives] = {b"no-store": b""}
"""The value of a field that is longer than MOST_BYTES."""

_MEMBER: Final = re.compile(rb'(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\\?$))+')
_MONTHS: Final = b"jan feb mar apr may jun jul aug sep oct nov dec".split()
_DAY: Final = rb"(?:mon|tue|wed|thu|fri|sat|sun)"
_TIME: Final = rb"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATES: Final = (  # which re compiles, and keeps, when a date is read
    _DAY + rb", (?P<day>\d\d) (?P<month>[a-z]{3}) (?P<year>\d{4}) " + _TIME + rb" gmt",
    rb"[a-z]{6,9}, (?P<day>\d\d)-(?P<month>[a-z]{3})-(?P<year>\d\d) " + _TIME + rb" gmt",
    _DAY + rb" (?P<month>[a-z]{3}) (?P<day>[ \d]\d) " + _TIME + rb" (?P<year>\d{4})",
)


def cache_control(headers: Headers) -> Directives:
    """The directives of all lines. Of a duplicated one, the stricter value counts."""
    text = b",".join(values(headers, b"cache-control"))
    if len(text) > MOST_BYTES:
        return NOT_READ
    found: dict[bytes, bytes] = {}
    for member in _MEMBER.findall(text) if b'"' in text else text.split(b","):
        name, _, value = member.strip(b" \t").partition(b"=")
        if name.endswith((b" ", b"\t")):  # no directive, but what it means is likely enough to be careful
            name, value = name.rstrip(b" \t"), b"?"
        name = name.lower()
        if value.startswith(b'"') and value.endswith(b'"') and len(value) > 1:
            value = value[1:-1]
        if name:
            found[name] = min(found[name], value, key=_allowance) if name in found else value
    return found


def _allowance(value: bytes) -> float:
    return int(value) if value.isdigit() and len(value) < 20 else -1


def seconds(directives: Directives, name: bytes) -> float | None:
    """The seconds of a directive; None where it is not there, 0 where it holds no number (RFC 9111, 4.2.1)."""
    value = directives.get(name)
    return None if value is None else _seconds(value)


def _seconds(value: bytes) -> float:
    if not value.isdigit():
        return 0
    return int(value) if len(value) <= 10 and int(value) < MOST_SECONDS else MOST_SECONDS


def age_said(headers: Headers) -> float:
    """The seconds of the first Age; 0 where there is none, or none that is a number (RFC 9111, 5.1)."""
    ages = values(headers, b"age")
    return _seconds(ages[0].partition(b",")[0].strip()) if ages else 0


def http_date(value: bytes) -> float | None:
    """Unix time of any of the three formats, in GMT; None where it is none of them."""
    value = value.strip().lower()
    for pattern in _DATES:
        match = re.fullmatch(pattern, value)
        if match is not None and match["month"] in _MONTHS:
            year, month = int(match["year"]), _MONTHS.index(match["month"]) + 1
            if year < 100:  # RFC 850, of which no server means a time before 1970
                year += 1900 if year >= 70 else 2000
            day, hour, minute, second = (int(match[name]) for name in ("day", "hour", "minute", "second"))
            if not (1 <= day <= calendar.monthrange(year, month)[1] and hour < 24 and minute < 60 and second <= 60):
                return None
            return float(calendar.timegm((year, month, day, hour, minute, second)))
    return None
