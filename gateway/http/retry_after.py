"""When a server asks to be left alone (RFC 9110, 10.2.3)."""

from __future__ import annotations

from email.utils import parsedate_to_datetime


def seconds_to_wait(value: bytes | None, now: float) -> float:
    """Of a `Retry-After`, seconds or a date. `now` is Unix time; 0 where there is none, or none that can be read."""
    if not value or len(value) > 40:
        return 0.0
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value.decode("latin-1")).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0
