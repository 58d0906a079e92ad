"""Durations of programs in Go as ours."""

from __future__ import annotations

import re

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001, "ns": 0.000000001}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|us|ns|m|s)")


_UNITS = {1.0: "s", 60.0: "m", 3600.0: "h"}


def seconds_of(text: str) -> float:
    """`1m30s`, or a number of seconds, as 90.0."""
    if text.isdigit():
        return float(text)
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def rate(amount: float, seconds: float) -> str:
    """So many in so many seconds, as a limit of ours: a whole number of them in a whole number of seconds."""
    if seconds < 1:
        amount, seconds = amount / seconds, 1
    for factor in (1, 10, 60, 600, 3600):
        whole = amount * factor
        if whole >= 1 and abs(whole - round(whole)) < 0.001 and float(seconds * factor).is_integer():
            return f"{round(whole)}/{_UNITS.get(seconds * factor, f'{seconds * factor:.0f}s')}"
    factor = 3600
    return f"{max(1, round(amount * factor))}/{max(1, round(seconds * factor))}s"


def duration(text: str) -> str:
    """`1m30s`, or a number of seconds, as `90s`."""
    if text.isdigit():
        return f"{text}s"
    total = seconds_of(text)
    return f"{total * 1000:g}ms" if total < 1 else f"{total:.10g}s"
