"""When a server asks to be left alone (RFC 9110, 10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

_SECONDS: Final = re.compile(rb"[0-9]+(?:\.[0-9]+)?")
"""Some servers write fractions, which clients understand."""


def seconds_to_wait(value: bytes | None, now: float) -> float:
    """Of a `Retry-After`, seconds or a date. `now` is Unix time; 0 where there is none, or none that can be read."""
    if not value or len(value) > 40:
        return 0.0
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        date = parsedate_to_datetime(value.decode("latin-1"))
        if date.tzinfo is None:  # as C's asctime writes it (RFC 9110, 5.6.7)
            date = date.replace(tzinfo=UTC)
        return max(0.0, date.timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0
